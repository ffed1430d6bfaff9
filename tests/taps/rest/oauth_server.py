"""An authorization server and an API behind it, by Authlib: it checks clients, users, signed texts, scopes and tokens itself.

    with authorization_server() as server:
        server.token_url, server.url

Refresh tokens are good once: each answer has another one, and the one before is void from then on, as many providers have it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2 import rfc6749, rfc6750
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from flask import Flask, jsonify, request
from taps.rest.wsgi import serving_app

__all__ = ["Client", "Server", "authorization_server"]

METHODS = ["client_secret_basic", "client_secret_post", "none", "client_assertion_jwt"]


@dataclass
class Client(rfc6749.ClientMixin):
    id: str
    secret: str = ""
    methods: tuple[str, ...] = ("client_secret_basic",)
    scope: str = "read write"
    public_key: Any = None

    def get_client_id(self) -> str:
        return self.id

    def get_allowed_scope(self, scope: str | None) -> str:
        asked = (scope or self.scope).split()
        return " ".join(word for word in asked if word in self.scope.split())

    def check_client_secret(self, secret: str) -> bool:
        return secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in self.methods

    def check_grant_type(self, grant: str) -> bool:
        return True


@dataclass
class Token(rfc6749.TokenMixin):
    client: Client
    user: str | None
    answer: dict[str, Any]
    issued_at: float = field(default_factory=time.time)
    is_void: bool = False
    is_used: bool = False

    def check_client(self, client: Client) -> bool:
        return client.id == self.client.id

    def get_scope(self) -> str:
        return str(self.answer.get("scope", ""))

    def get_expires_in(self) -> int:
        return int(self.answer["expires_in"])

    def is_expired(self) -> bool:
        return time.time() > self.issued_at + self.answer["expires_in"]

    def is_revoked(self) -> bool:
        return self.is_void

    def get_user(self) -> str | None:
        return self.user

    def get_client(self) -> Client:
        return self.client


class Server:
    """What it knows, and what it has been asked."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.users: dict[str, str] = {}
        self.tokens: list[Token] = []
        self.answered: list[tuple[int, dict[str, str]]] = []
        self.seen_ids: set[str] = set()
        self.expires_in = 3600
        self.url = ""

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    @property
    def logins(self) -> int:
        return sum(status == 200 for status, _ in self.answered)

    def first_refresh_token(self, client: Client, token: str) -> str:
        """Let a user have agreed in a browser."""
        answer = {"access_token": f"of-the-browser-{token}", "refresh_token": token, "scope": "read"}
        self.tokens.append(Token(client, "ann", answer | {"expires_in": 0}))
        return token

    def save(self, answer: dict[str, Any], asked: Any) -> None:
        self.tokens.append(Token(asked.client, asked.user, answer))

    def by(self, member: str, value: str) -> Token | None:
        return next((token for token in self.tokens if token.answer.get(member) == value), None)


def _app(server: Server) -> Flask:
    app = Flask("authorization")
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    issuer = AuthorizationServer(app, server.clients.get, server.save)
    issuer.register_token_generator(
        "default",
        rfc6750.BearerTokenGenerator(
            lambda **_: os.urandom(20).hex(), lambda **_: os.urandom(20).hex(), lambda *_: server.expires_in
        ),
    )

    class ByClient(grants.ClientCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    class ByPassword(grants.ResourceOwnerPasswordCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = METHODS

        def authenticate_user(self, username: str, password: str) -> str | None:
            return username if server.users.get(username) == password else None

    class ByRefresh(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = METHODS
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
            token = server.by("refresh_token", refresh_token)
            return None if token is None or token.is_used else token

        def authenticate_user(self, refresh_token: Token) -> str | None:
            return refresh_token.user

        def revoke_old_credential(self, refresh_token: Token) -> None:
            refresh_token.is_used = refresh_token.is_void = True

    class BySignature(JWTBearerGrant):
        def resolve_issuer_client(self, issuer: str) -> Client | None:
            return server.clients.get(issuer)

        def resolve_client_public_key(self, client: Client) -> Any:
            return client.public_key

        def get_audiences(self) -> list[str]:
            return [server.token_url]

        def authenticate_user(self, subject: str) -> str | None:
            return subject if subject in server.users else None

        def has_granted_permission(self, client: Client, user: str) -> bool:
            return True

    class Signed(JWTBearerClientAssertion):
        def get_audiences(self) -> list[str]:
            return [server.token_url]

        def validate_jti(self, claims: Any, jti: str) -> bool:
            is_new = jti not in server.seen_ids
            server.seen_ids.add(jti)
            return is_new

        def resolve_client_public_key(self, client: Client) -> Any:
            return client.public_key

    issuer.register_client_auth_method(Signed.CLIENT_AUTH_METHOD, Signed())
    for grant in (ByClient, ByPassword, ByRefresh, BySignature):
        issuer.register_grant(grant)

    class Known(rfc6750.BearerTokenValidator):
        def authenticate_token(self, text: str) -> Token | None:
            return server.by("access_token", text)

    protector = ResourceProtector()
    protector.register_token_validator(Known())

    @app.post("/token")
    def token() -> Any:
        answer = issuer.create_token_response()
        server.answered.append((answer.status_code, request.form.to_dict()))
        return answer

    @app.get("/rows")
    @protector("read")
    def rows() -> Any:
        page = int(request.args.get("page", 1))
        return jsonify([{"id": page}] if page < 4 else [])

    return app


@contextlib.contextmanager
def authorization_server() -> Iterator[Server]:
    server = Server()
    former = os.environ.get("AUTHLIB_INSECURE_TRANSPORT")
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    try:
        with serving_app(_app(server)) as server.url:
            yield server
    finally:
        if former is None:
            del os.environ["AUTHLIB_INSECURE_TRANSPORT"]
        else:
            os.environ["AUTHLIB_INSECURE_TRANSPORT"] = former
