"""`oauth1`: each request signed by OAuth 1.0a (RFC 5849)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from requests import PreparedRequest

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.auth.endpoint import Endpoint
from tap_rest.auth.jwts import in_lines
from tap_rest.auth.scheme import Scheme
from tap_rest.extras import imported
from tap_rest.settings.auth.types import OAuth1Settings

__all__ = ["oauth1"]

_FORM = "application/x-www-form-urlencoded"


class OAuth1(Scheme):
    """Signs by ``client`` of oauthlib."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        head, mark, query = str(request.url).partition("?")
        request.url = (
            head + mark + quote(query, safe="%=&;+~,*@!()/?'$:.-_")
        )  # the library refuses other characters
        is_form = str(request.headers.get("Content-Type", "")).lower().startswith(_FORM)
        body = bytes(request.body or b"").decode() if is_form and isinstance(request.body, bytes) else None
        headers = {"Content-Type": _FORM} if body is not None else {}
        _, signed, _ = self._client.sign(request.url, str(request.method), body, headers)
        request.headers["Authorization"] = signed["Authorization"]
        return request


def oauth1(settings: OAuth1Settings, _endpoint: Endpoint) -> Scheme:
    library = imported("oauthlib.oauth1", "`auth.type` `oauth1`")
    for secret in (settings.consumer_secret, settings.token, settings.token_secret, settings.private_key):
        redactor.add(secret or "")
    client = library.Client(
        settings.consumer_key,
        client_secret=settings.consumer_secret,
        resource_owner_key=settings.token,
        resource_owner_secret=settings.token_secret,
        signature_method=settings.signature_method,
        rsa_key=in_lines(settings.private_key) if settings.private_key is not None else None,
        realm=settings.realm,
    )
    if settings.private_key is not None:
        _check(client, settings.signature_method)
    return OAuth1(client)


def _check(client: Any, method: str) -> None:
    """Sign once, so that a key that is none is told before anything is asked.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        client.sign("https://localhost/")
    except (imported("jwt", "`auth.private_key`").PyJWTError, ValueError, TypeError, AttributeError):
        raise ConfigurationError(
            f"Expected a private key in PEM, without a password, at `auth.private_key`, got something that `{method}` does not sign with."
        ) from None
