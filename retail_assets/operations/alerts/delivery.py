"""Delivery of a message to a channel: by HTTP or by SMTP, within a time, with nothing secret in what is said of it."""

import hashlib
import hmac
import http.client
import json
import smtplib
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

from retail_assets.operations.alerts.messages import Message, as_email, as_json, as_slack, as_teams
from retail_assets.operations.alerts.settings import Channel, Http, Mail

ANSWER_SECONDS = 10
"""So long a server may be silent."""

DELIVERY_SECONDS = 25
"""So long a delivery may take in all; below the minute after which Dagster gives up a tick."""

SIGNATURE_HEADER, TIMESTAMP_HEADER, ID_HEADER = "X-Retail-Signature", "X-Retail-Timestamp", "X-Retail-Message-Id"


def deliver(
    channel: Channel,
    message: Message,
    now: float,
    answer_seconds: float = ANSWER_SECONDS,
    delivery_seconds: float = DELIVERY_SECONDS,
) -> str | None:
    """Sends a message; None once the other side has taken it, else why not, in words without any secret.

    What takes too long counts as not delivered, though it may have been: a message is sent at least once.
    """
    target = channel.target
    send: Callable[[], None]
    if isinstance(target, Mail):
        send = lambda: _mail(target, message, now, answer_seconds)  # noqa: E731
    else:
        send = lambda: _post(target, channel, message, now, answer_seconds)  # noqa: E731
    outcome = _within(delivery_seconds, send)
    return None if outcome is None else redacted(outcome, target.secrets)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret struck out, longest first, as one may hold another."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def signature(key: str, timestamp: str, body: bytes) -> str:
    """What the receiver of a signed webhook compares: HMAC-SHA256 of timestamp, a full stop and the body."""
    return f"sha256={hmac.new(key.encode(), timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def _within(seconds: float, send: Callable[[], None]) -> str | None:
    """Runs it in a thread that may be left behind: a server can keep a socket alive for ever, byte by byte."""
    outcome: list[str | None] = []

    def run() -> None:
        try:
            send()
            outcome.append(None)
        except Exception as error:
            # Only words leave this thread: an exception's traceback and causes would carry the URL along.
            outcome.append(_in_words(error))

    thread = threading.Thread(target=run, name="alert delivery", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"the delivery took more than {seconds:g} seconds"


def _in_words(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}: {_read(error)}".rstrip(": ")
    if isinstance(error, urllib.error.URLError):
        return f"no connection: {error.reason}"
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"the mail server refused every recipient: {'; '.join(_reply(*r) for r in error.recipients.values())}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {_reply(error.smtp_code, error.smtp_error)}"
    return f"{type(error).__name__}: {error}"


def _reply(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"


def _read(answer: Any) -> str:
    try:
        return " ".join(answer.read(300).decode(errors="replace").split())
    except (OSError, http.client.HTTPException):
        return ""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without the message; it counts as refused."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _post(target: Http, channel: Channel, message: Message, now: float, answer_seconds: float) -> None:
    forms: dict[str, Callable[[], dict[str, Any]]] = {
        "slack": lambda: as_slack(message),
        "teams": lambda: as_teams(message),
        "webhook": lambda: as_json(message, channel.name),
    }
    body = json.dumps(forms[channel.kind]()).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "retail-assets", ID_HEADER: message.id}
    if target.signing_key:
        timestamp = str(int(now))
        headers |= {
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: signature(target.signing_key, timestamp, body),
        }
    opener = urllib.request.build_opener(
        _NoRedirects, urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=target.ca_file))
    )
    request = urllib.request.Request(target.url, body, headers, method="POST")
    with opener.open(request, timeout=answer_seconds):
        pass  # its status is in the two hundreds: it has the message


def _mail(target: Mail, message: Message, now: float, answer_seconds: float) -> None:
    mail = as_email(message, target.sender, target.recipients, now)
    context = ssl.create_default_context(cafile=target.ca_file)
    server: smtplib.SMTP = (
        smtplib.SMTP_SSL(target.host, target.port, timeout=answer_seconds, context=context)
        if target.security == "tls"
        else smtplib.SMTP(target.host, target.port, timeout=answer_seconds)
    )
    taken = False
    try:
        if target.security == "starttls":
            server.starttls(context=context)
        if target.user and target.password:
            server.login(target.user, target.password)
        # Someone refused is someone else's mail delivered: only a mail that nobody gets is tried again.
        server.send_message(mail)
        taken = True
        server.quit()
    except (smtplib.SMTPException, OSError):
        if not taken:
            raise
    finally:
        server.close()
