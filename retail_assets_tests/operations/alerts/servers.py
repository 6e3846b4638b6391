"""Real servers on this machine: an HTTP endpoint that answers as told, and a mail server with TLS and login."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HANG, DRIP, REDIRECT = -1, -2, 302

ALERTS = """
check_every_seconds = 2
gather_seconds = 1
[channels.hook]
kind = "webhook"
url_from = "HOOK_URL"
[channels.office]
kind = "email"
host = "127.0.0.1"
port = {port}
security = "none"
from = "retail@example.org"
to = ["data@example.org"]
"""
"""Alert settings of an endpoint and of a mail server on `port`, which look at once."""


@dataclass
class Endpoint:
    """What was posted, and how the next posts are answered: 200 once the list is used up."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    body: str = "ok"
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    taken_and_then: Callable[[], None] | None = None
    """What happens to whoever posted once the message is taken and before the answer."""

    @property
    def messages(self) -> list[Any]:
        """The JSON of all that was posted and taken."""
        return [json.loads(body) for _, body in self.requests]


@contextmanager
def http_endpoint() -> Iterator[Endpoint]:
    """An endpoint on a port of its own. What it refuses is not among its messages."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = endpoint.answers.pop(0) if endpoint.answers else 200
            if answer == HANG:
                endpoint.released.wait(30)
                return
            if answer == DRIP:
                for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 1000:
                    if endpoint.released.wait(0.1):
                        return
                    self.wfile.write(bytes([letter]))
                return
            if 200 <= answer < 300:
                endpoint.requests.append((dict(self.headers), body))
                if endpoint.taken_and_then:
                    endpoint.taken_and_then()
                    return
            self.send_response(answer)
            if answer == REDIRECT:
                self.send_header("Location", endpoint.url)
            self.end_headers()
            self.wfile.write(endpoint.body.encode())

        def do_GET(self) -> None:
            endpoint.requests.append((dict(self.headers), b'"a redirected GET"'))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/hooks/supersecretpath"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MailServer:
    """What was mailed, and how the next mails are answered."""

    port: int = 0
    answers: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd for each mail."""
        if self.answers:
            return self.answers.pop(0)
        self.mails.append(message_from_bytes(cast(bytes, envelope.content), policy=policy.default))
        self.recipients.append(list(envelope.rcpt_tos))
        transport = server.transport
        self.encrypted.append(transport is not None and transport.get_extra_info("sslcontext") is not None)
        return "250 OK"


@contextmanager
def mail_server(
    certificate: Path | None = None, *, tls: bool = False, user: str | None = None, password: str | None = None
) -> Iterator[MailServer]:
    """A mail server; with a certificate it wants STARTTLS, or speaks TLS at once; with a user it wants a login."""
    handler = MailServer()
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and data == LoginPassword(
            (user or "").encode(), (password or "").encode()
        )
        return AuthResult(success=known, handled=known)

    options: dict[str, Any] = {"tls_context": context, "require_starttls": True} if context and not tls else {}
    if user:
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": not tls}
    controller = Controller(
        handler, hostname="127.0.0.1", port=_free_port(), ssl_context=context if tls else None, **options
    )
    controller.start()
    handler.port = controller.port
    try:
        yield handler
    finally:
        controller.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def make_certificate(path: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(tz=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def wait_for(condition: Any, seconds: float = 30) -> None:
    """Until the condition holds; a test that waits in vain fails."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
