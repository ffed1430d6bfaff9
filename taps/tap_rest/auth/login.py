"""`login`: a token or a cookie that an API of its own making gives to whoever shows a user and password."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.secrets import names_secret
from tap_rest.answers.answer import Response
from tap_rest.asking.payloads import CONTENT_TYPES, payload_of
from tap_rest.auth.endpoint import Endpoint, Question
from tap_rest.auth.found import TokenFinder
from tap_rest.auth.jwts import Signer
from tap_rest.auth.keeping import Given, Keeper, file_of
from tap_rest.auth.places import in_cookie, placer_of
from tap_rest.auth.scheme import Scheme
from tap_rest.auth.tokens import TokenScheme
from tap_rest.masking import register_secrets
from tap_rest.settings.auth.types import LoginSettings

__all__ = ["login"]

_JWT = "{jwt}"
_SIGNED_FOR = 300.0


def login(settings: LoginSettings, endpoint: Endpoint) -> Scheme:
    signer = Signer(settings) if settings.algorithm is not None else None
    finder = TokenFinder(
        settings.token_path,
        settings.lifetime,
        endpoint.shown,
        place=settings.found_in,
        name=settings.found_as,
    )
    register_secrets(settings.token_headers)
    if isinstance(settings.body, dict):
        register_secrets(settings.body)

    def question() -> Question:
        signed = signer.signed({}, _SIGNED_FOR) if signer is not None else _JWT
        return _question(settings, signed)

    def give(_refresh_token: str | None) -> Given:
        began = time.monotonic()

        def read(answer: Response, cookies: Mapping[str, str]) -> Given:
            return Given(finder.token(answer, cookies, began))

        return endpoint.ask(settings.token_url, question, read)

    said = _who(settings.body)
    of = [settings.token_url, settings.method, sorted(settings.token_headers), said, settings.claims]
    keeper = Keeper(give, file_of(settings, endpoint, of))
    place = in_cookie(settings.found_as) if settings.found_in == "cookie" else placer_of(settings)
    return TokenScheme(keeper.ask, place)


def _question(settings: LoginSettings, signed: str) -> Question:
    headers = _filled(settings.token_headers, signed)
    takes_redirect = settings.found_in == "cookie"
    if settings.body is None:
        return Question(settings.method, None, headers, takes_redirect)
    written = settings.body_format or ("text" if isinstance(settings.body, str) else "json")
    try:
        content = payload_of(_filled(settings.body, signed), written).content
    except BadDataError as error:
        raise ConfigurationError(f"`auth.body` cannot be sent: {error}") from None
    if "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = CONTENT_TYPES[written]
    return Question(settings.method, content, headers, takes_redirect)


def _filled(value: Any, signed: str) -> Any:
    """Put a JWT where the config says `{jwt}`."""
    if isinstance(value, dict):
        return {name: _filled(part, signed) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, signed) for part in value]
    return value.replace(_JWT, signed) if isinstance(value, str) else value


def _who(body: Any) -> Any:
    """Return what tells one login from another, without passwords."""
    if not isinstance(body, dict):
        return None
    return {
        name: _who(part) if isinstance(part, dict) else part
        for name, part in body.items()
        if not names_secret(name)
    }
