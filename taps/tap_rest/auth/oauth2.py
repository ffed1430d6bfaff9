"""`oauth2`: a token that `token_url` gives to a client, or to a user (RFC 6749)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode

import msgspec

from singerkit_shell.secrets import redactor
from tap_rest.auth.endpoint import Endpoint, Question
from tap_rest.auth.fixed import basic_credentials
from tap_rest.auth.found import TokenFinder
from tap_rest.auth.places import placer_of
from tap_rest.auth.scheme import Scheme
from tap_rest.auth.tokens import Token, TokenScheme
from tap_rest.masking import register_secrets
from tap_rest.settings.auth.types import OAuth2Settings

__all__ = ["oauth2", "question_of"]

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


def oauth2(settings: OAuth2Settings, endpoint: Endpoint) -> Scheme:
    for secret in (settings.client_secret, settings.password):
        redactor.add(secret or "")
    register_secrets(settings.token_params)
    register_secrets(settings.token_headers)
    finder = TokenFinder(settings.token_path, settings.lifetime, endpoint.shown)

    def ask(_refused: str | None) -> Token:
        began = time.monotonic()
        question = question_of(settings, _granted(settings))
        return endpoint.ask(question, lambda answer: finder.token(answer, began))

    return TokenScheme(ask, placer_of(settings))


def _granted(settings: OAuth2Settings) -> dict[str, str]:
    """Return the parameters that say what a token is given for."""
    if settings.grant == "password":
        return {
            "grant_type": "password",
            "username": settings.username or "",
            "password": settings.password or "",
        }
    return {"grant_type": "client_credentials"}


def question_of(settings: OAuth2Settings, granted: Mapping[str, str]) -> Question:
    """Return the request for a token that is given for ``granted``."""
    params = dict(granted)
    headers = dict(settings.token_headers)
    if settings.scopes:
        params["scope"] = " ".join(settings.scopes)
    if settings.audience is not None:
        params["audience"] = settings.audience
    if settings.client_id is not None:
        _show_client(settings, settings.client_id, params, headers)
    params |= settings.token_params
    is_form = settings.body_format == "form"
    body = urlencode(params).encode() if is_form else msgspec.json.encode(params)
    return Question(
        settings.token_url,
        body=body,
        headers={**headers, "Content-Type": _FORM if is_form else _JSON, "Accept": _JSON},
    )


def _show_client(
    settings: OAuth2Settings, client_id: str, params: dict[str, str], headers: dict[str, str]
) -> None:
    secret = settings.client_secret
    if secret is not None and settings.client_auth == "header":
        # Both are written as in a form first (RFC 6749, 2.3.1), which changes few of them.
        headers["Authorization"] = basic_credentials(quote_plus(client_id), quote_plus(secret))
        return
    params["client_id"] = client_id
    if secret is not None:
        params["client_secret"] = secret
