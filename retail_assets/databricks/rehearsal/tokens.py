"""Who may call: personal access tokens, and OAuth tokens for a client's id and secret."""

import base64
import binascii
import secrets
import time
from urllib.parse import parse_qs

from retail_assets.databricks.rehearsal.rest import Answer, ApiError, Request, Route

OPEN = ("/oidc/",)


class Tokens:
    """`token` is a personal access token; `client_id` and `client_secret` are those of a service principal."""

    def __init__(self, host: str = "") -> None:
        self.host = host
        self.token = "dapi" + secrets.token_hex(16)
        self.client_id = "00000000-0000-4000-8000-" + secrets.token_hex(6)
        self.client_secret = "dose" + secrets.token_hex(16)
        self.lifetime = 3600.0
        self._oauth: dict[str, float] = {}  # token -> when it expires, in seconds of the epoch

    def expire(self) -> None:
        """All tokens given out so far are refused from now on; the client's id and secret get new ones."""
        self.token = "dapi" + secrets.token_hex(16)
        self._oauth = dict.fromkeys(self._oauth, 0.0)

    def authorize(self, request: Request) -> None:
        """Raises ApiError unless the call carries a token that holds."""
        if request.path.startswith(OPEN):
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise ApiError(401, "401", "Credential was not sent or was of an unsupported type for this API.")
        if token in self._oauth:
            if time.time() >= self._oauth[token]:
                raise ApiError(401, "401", "Token is expired.")
        elif token != self.token:
            raise ApiError(403, "403", "Invalid access token.")

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/oidc/.well-known/oauth-authorization-server", self._endpoints),
            Route("POST", "/oidc/v1/token", self._grant),
        ]

    def _endpoints(self, request: Request) -> Answer:
        return Answer(
            {
                "issuer": f"{self.host}/oidc",
                "authorization_endpoint": f"{self.host}/oidc/v1/authorize",
                "token_endpoint": f"{self.host}/oidc/v1/token",
                "grant_types_supported": ["client_credentials"],
            }
        )

    def _grant(self, request: Request) -> Answer:
        form = {name: values[-1] for name, values in parse_qs(request.content.decode()).items()}
        client = (form.get("client_id"), form.get("client_secret"))
        basic = request.headers.get("authorization", "").removeprefix("Basic ")
        try:
            client_id, _, secret = base64.b64decode(basic).decode().partition(":")
            client = (client_id, secret) if basic else client
        except (binascii.Error, UnicodeDecodeError):
            return Answer({"error": "invalid_request", "error_description": "Malformed credentials"}, 400)
        if client != (self.client_id, self.client_secret):
            return Answer({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        if form.get("grant_type") != "client_credentials" or form.get("scope") != "all-apis":
            return Answer({"error": "invalid_scope", "error_description": "Expected the scope all-apis"}, 400)
        token = secrets.token_hex(24)
        self._oauth[token] = time.time() + self.lifetime
        return Answer({"access_token": token, "token_type": "Bearer", "expires_in": int(self.lifetime)})
