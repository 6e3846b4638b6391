"""The HTTP server: connections, tokens, ordered faults, and a list of what was received."""

import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from retail_assets.databricks.rehearsal.faults import Faults
from retail_assets.databricks.rehearsal.rest import Answer, ApiError, Request, Route, answer


@dataclass(frozen=True)
class Received:
    """One call as it came in: `body` is the parsed JSON, or the bytes; `status` is what was answered, or the break."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | str


class RestServer:
    """Serves routes on a free local port, in threads of its own. `authorize` raises ApiError for a bad token."""

    def __init__(self, routes: Sequence[Route], authorize: Callable[[Request], None], faults: Faults) -> None:
        self.requests: list[Received] = []
        self._routes = routes
        self._authorize = authorize
        self._faults = faults
        server = self

        class Connection(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet for headers and body: two would wait for each other
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                server.serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

            def log_message(self, *_: Any) -> None:
                """Nothing: the calls are kept in `requests`."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Connection)
        self._http.daemon_threads = True
        self.host = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, name="rehearsal-server", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def serve(self, connection: BaseHTTPRequestHandler) -> None:
        request = _read(connection)
        breaks: str | None = None
        try:
            breaks = self._faults.strike(request.path)
            if breaks == "drop" or self._faults.moment(request.path, handled=False):
                breaks = "drop"
                return self._break(connection, request, breaks)
            self._authorize(request)
            result = answer(self._routes, request)
            if self._faults.moment(request.path, handled=True):
                breaks = "lose"
        except ApiError as error:
            result = _error_answer(error)
        except Exception as error:  # a fault of the rehearsal itself: say so instead of hanging the client
            result = _error_answer(ApiError(500, "INTERNAL_ERROR", f"The rehearsal failed: {error!r}"))
        if breaks:
            return self._break(connection, request, breaks)
        self._note(request, result.status)
        return _write(connection, result)

    def _break(self, connection: BaseHTTPRequestHandler, request: Request, how: str) -> None:
        self._note(request, how)
        connection.close_connection = True
        connection.connection.shutdown(socket.SHUT_RDWR)

    def _note(self, request: Request, status: int | str) -> None:
        try:
            body = request.json()
        except ApiError:
            body = request.content  # type: ignore[assignment]
        self.requests.append(Received(request.method, request.path, request.query, body, status))


def _read(connection: BaseHTTPRequestHandler) -> Request:
    address = urlsplit(connection.path)
    headers = {name.lower(): value for name, value in connection.headers.items()}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        content = b"".join(iter(lambda: _chunk(connection), b""))
    else:
        content = connection.rfile.read(int(headers.get("content-length", 0)))
    query = dict(parse_qsl(address.query, keep_blank_values=True))
    return Request(connection.command, unquote(address.path), query, headers, content)


def _chunk(connection: BaseHTTPRequestHandler) -> bytes:
    size = int(connection.rfile.readline().split(b";")[0], 16)
    content = connection.rfile.read(size)
    connection.rfile.readline()
    return content


def _error_answer(error: ApiError) -> Answer:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return Answer({"error_code": error.error_code, "message": error.message}, error.status, headers)


def _write(connection: BaseHTTPRequestHandler, result: Answer) -> None:
    raw = isinstance(result.body, bytes)
    content = result.body if isinstance(result.body, bytes) else json.dumps(result.body).encode()
    connection.send_response(result.status)
    headers = {"Content-Type": "application/octet-stream" if raw else "application/json", **result.headers}
    headers.setdefault("Content-Length", str(len(content)))
    for name, value in headers.items():
        connection.send_header(name, value)
    connection.end_headers()
    if connection.command != "HEAD" and result.status != 204:
        connection.wfile.write(content)
    connection.wfile.flush()
