"""Serves the dashboard's pages to browsers of this machine, so that links in the Dagster UI open them.

`python -m retail_assets.reports.serving DIRECTORY PORT PARENT`. Pages and their pictures by name, nothing else
of the directory, to nobody but this machine. It ends with the process PARENT, which started it.
"""

import os
import re
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

KINDS = {".html": "text/html; charset=utf-8", ".png": "image/png"}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_HERE = ("localhost", "127.0.0.1", "[::1]")


class PageServer(ThreadingHTTPServer):
    """Listens on this machine alone. Raises OSError where the port is taken."""

    daemon_threads = True

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.directory = directory

    def file(self, path: str) -> Path | None:
        """The page or picture that an address asks for, if there is one; the index where it asks for none."""
        name = unquote(urlsplit(path).path).removeprefix("/") or "index.html"
        file = self.directory / name
        return file if _NAME.fullmatch(name) and file.suffix in KINDS and file.is_file() else None


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "retail", ""

    def do_GET(self) -> None:
        """The file, or why there is none."""
        # A name of somebody's that leads to this machine must not make their script read our pages.
        asked_of = re.sub(r":[0-9]+\Z", "", self.headers.get("Host", ""))
        if asked_of not in _HERE:
            return self._answer(HTTPStatus.MISDIRECTED_REQUEST, b"This is served to this machine alone.\n")
        file = self.server.file(self.path)
        if file is None:
            return self._answer(
                HTTPStatus.NOT_FOUND, b"There is no such page. Make it: retail run --select dashboard\n"
            )
        return self._answer(HTTPStatus.OK, file.read_bytes(), KINDS[file.suffix])

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is Dagster's."""


def _end_with(parent: int, server: PageServer) -> None:
    """Ends serving when the process that started this one is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    server.shutdown()


def main(directory: str, port: str, parent: str) -> int:
    """Serves until it is interrupted or left alone."""
    try:
        server = PageServer(Path(directory), int(port))
    except OSError as error:
        sys.stderr.write(
            f"The dashboard's pages are not served: port {port} cannot be used ({error.strerror}). Free it, or set "
            "RETAIL_DASHBOARDS_URL=http://localhost:<another port>.\n"
        )
        return 1
    threading.Thread(target=_end_with, args=(int(parent), server), daemon=True).start()
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
