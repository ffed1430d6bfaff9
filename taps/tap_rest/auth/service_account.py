"""`service_account`: a token for the account whose key is at hand, as Google gives them (RFC 7523)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_shell.errors import ConfigurationError
from tap_rest.auth.endpoint import Endpoint
from tap_rest.auth.oauth2 import oauth2
from tap_rest.auth.scheme import Scheme
from tap_rest.settings.auth.types import OAuth2Settings, ServiceAccountSettings

__all__ = ["service_account"]

_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  a URL


def service_account(settings: ServiceAccountSettings, endpoint: Endpoint) -> Scheme:
    key = _read(settings.account_key)
    url = settings.token_url or str(key.get("token_uri") or _TOKEN_URL)
    claims = {"iss": key["client_email"], "aud": url}
    if settings.subject is not None:
        claims["sub"] = settings.subject
    if settings.scopes:
        claims["scope"] = " ".join(settings.scopes)
    if settings.audience is not None:
        claims["target_audience"] = settings.audience
    return oauth2(
        OAuth2Settings(
            place=settings.place,
            name=settings.name,
            prefix=settings.prefix,
            grant="jwt_bearer",
            token_url=url,
            algorithm="RS256",
            private_key=key["private_key"],
            key_id=key.get("private_key_id"),
            claims=claims,
            token_path="$.access_token" if settings.audience is None else "$.id_token",
            token_file=settings.token_file,
        ),
        endpoint,
    )


def _read(key: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the members of a key.

    Raises:
        ConfigurationError: it is none of a service account.
    """
    if all(isinstance(key.get(name), str) for name in ("client_email", "private_key")):
        return key
    is_other = key.get("type") not in (None, "service_account")
    raise ConfigurationError(
        "Expected the JSON key of a service account (with `client_email` and `private_key`) at `auth.account_key`, got "
        f"{'one of another type' if is_other else 'something else'}; nothing was asked."
    )
