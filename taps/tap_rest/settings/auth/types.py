"""`auth` of the config, a type each."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

__all__ = [
    "ApiKeySettings",
    "AuthSettings",
    "AwsSettings",
    "BasicSettings",
    "BearerSettings",
    "DigestSettings",
    "HmacSettings",
    "JwtSettings",
    "LoginSettings",
    "NoneSettings",
    "OAuth1Settings",
    "OAuth2Settings",
    "Placed",
    "ServiceAccountSettings",
    "Signing",
    "TokenSettings",
    "type_of",
]


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a key or a token goes."""

    place: str = msgspec.field(default="header", name="in")
    name: str = ""
    prefix: str | None = None

    @property
    def named(self) -> str:
        """The name of the header, parameter or cookie."""
        return self.name or ("Authorization" if self.place == "header" else "access_token")

    @property
    def text_before(self) -> str:
        """What stands before the token in a header."""
        if self.prefix is not None:
            return self.prefix
        return "Bearer " if self.place == "header" and self.named.lower() == "authorization" else ""


class NoneSettings(msgspec.Struct, frozen=True, tag_field="type", tag="none"):
    """No credentials."""


class ApiKeySettings(Placed, frozen=True, kw_only=True, tag_field="type", tag="api_key"):
    """A key that is sent as it is."""

    name: str = "X-API-Key"
    prefix: str | None = ""
    api_key: str


class BearerSettings(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="bearer"):
    """A token that is sent as it is."""

    token: str


class BasicSettings(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="basic"):
    """HTTP basic authentication."""

    username: str
    password: str


class Signing(Placed, frozen=True, kw_only=True):
    """With what a JWT is signed, and what it says."""

    algorithm: str | None = None
    private_key: str | None = None
    secret: str | None = None
    key_encoding: str = "text"
    key_id: str | None = None
    claims: dict[str, Any] = {}
    jwt_headers: dict[str, Any] = {}


class JwtSettings(Signing, frozen=True, kw_only=True, tag_field="type", tag="jwt"):
    """A token that is signed here."""

    algorithm: str
    lifetime: float = 300


class TokenSettings(Signing, frozen=True, kw_only=True):
    """A token that `token_url` gives."""

    token_url: str
    token_path: str = "$.access_token"  # noqa: S105  a path
    token_headers: dict[str, str] = {}
    token_file: str | None = None
    lifetime: float | None = None


class DigestSettings(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="digest"):
    """HTTP digest authentication."""

    username: str
    password: str


class AwsSettings(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="aws_sigv4"):
    """Signature Version 4."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    region: str
    service: str


class OAuth1Settings(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="oauth1"):
    """OAuth 1.0a."""

    consumer_key: str
    consumer_secret: str | None = None
    token: str | None = None
    token_secret: str | None = None
    signature_method: str = "HMAC-SHA1"
    private_key: str | None = None
    realm: str | None = None


class HmacSettings(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="hmac"):
    """A signature of the API's own making."""

    secret: str
    key_encoding: str = "text"
    hash: str = "sha256"
    message: str
    signature_encoding: str = "hex"
    timestamp: str = "epoch"
    sign_headers: dict[str, str] = {}
    sign_params: dict[str, str] = {}


class OAuth2Settings(TokenSettings, frozen=True, kw_only=True, tag_field="type", tag="oauth2"):
    """A token of RFC 6749."""

    grant: str = "client_credentials"
    client_id: str | None = None
    client_secret: str | None = None
    client_auth: str = "header"
    scopes: tuple[str, ...] = ()
    audience: str | None = None
    token_params: dict[str, str] = {}
    body_format: str = "form"
    username: str | None = None
    password: str | None = None
    refresh_token: str | None = None
    refresh_token_rotates: bool = True


class ServiceAccountSettings(Placed, frozen=True, kw_only=True, tag_field="type", tag="service_account"):
    """A token for a service account, as Google has them."""

    account_key: dict[str, Any]
    token_url: str | None = None
    scopes: tuple[str, ...] = ()
    audience: str | None = None
    subject: str | None = None
    token_file: str | None = None


class LoginSettings(TokenSettings, frozen=True, kw_only=True, tag_field="type", tag="login"):
    """A token or a cookie that a request of the API's own making is answered with."""

    method: str = "POST"
    body: Any = None
    body_format: str | None = None
    found_in: str = msgspec.field(default="body", name="token_in")
    found_as: str = msgspec.field(default="", name="token_name")


AuthSettings: TypeAlias = (
    NoneSettings
    | ApiKeySettings
    | BearerSettings
    | BasicSettings
    | OAuth2Settings
    | JwtSettings
    | ServiceAccountSettings
    | LoginSettings
    | DigestSettings
    | AwsSettings
    | OAuth1Settings
    | HmacSettings
)


def type_of(settings: AuthSettings) -> str:
    """Return `auth.type`."""
    return str(settings.__struct_config__.tag)
