"""`oauth2`: a token that `token_url` gives to a client, or to a user (RFC 6749)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote, urlencode

import msgspec

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.answers import Response
from tap_rest.auth.endpoint import Endpoint, Question
from tap_rest.auth.fixed import basic_credentials
from tap_rest.auth.found import TokenFinder
from tap_rest.auth.keeping import Given, Keeper, file_of
from tap_rest.auth.places import placer_of
from tap_rest.auth.scheme import Scheme
from tap_rest.auth.tokens import TokenScheme
from tap_rest.masking import register_secrets
from tap_rest.settings.auth.types import OAuth2Settings

__all__ = ["oauth2", "question_of"]

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


def oauth2(settings: OAuth2Settings, endpoint: Endpoint) -> Scheme:
    for secret in (settings.client_secret, settings.password, settings.refresh_token):
        redactor.add(secret or "")
    register_secrets(settings.token_params)
    register_secrets(settings.token_headers)
    login = _Login(settings, endpoint)
    who = [settings.grant, settings.client_id, settings.username, settings.refresh_token]
    what = [settings.token_url, settings.scopes, settings.audience, settings.token_params]
    keeper = Keeper(login.give, file_of(settings, endpoint, [who, what]), settings.refresh_token)
    return TokenScheme(keeper.ask, placer_of(settings))


class _Login:
    """Asks for a token as the config says."""

    def __init__(self, settings: OAuth2Settings, endpoint: Endpoint) -> None:
        self._settings, self._endpoint = settings, endpoint
        self._finder = TokenFinder(settings.token_path, settings.lifetime, endpoint.shown)

    def give(self, refresh_token: str | None) -> Given:
        """Return a token that was given for ``refresh_token``, where that is the grant."""
        began = time.monotonic()
        question = question_of(self._settings, _granted(self._settings, refresh_token))
        given = self._endpoint.ask(question, lambda answer: self._read(answer, began))
        if given.refresh_token in (None, refresh_token):
            return replace(given, refresh_token=refresh_token)
        if self._settings.token_file is None:
            raise ConfigurationError(
                f"{self._endpoint.shown(question.url)} gave another refresh token, although `auth.refresh_token_rotates` is false, so that the "
                "one at `auth.refresh_token` may be void by now; nothing was read. Take that out, name a file at `auth.token_file`, and give "
                "a new `auth.refresh_token`."
            )
        return given

    def _read(self, answer: Response, began: float) -> Given:
        token = self._finder.token(answer, began)
        is_used = self._settings.grant == "refresh_token"
        return Given(token, self._finder.member(answer, "refresh_token") if is_used else None)


def _granted(settings: OAuth2Settings, refresh_token: str | None) -> dict[str, str]:
    """Return the parameters that say what a token is given for."""
    if settings.grant == "password":
        return {
            "grant_type": "password",
            "username": settings.username or "",
            "password": settings.password or "",
        }
    if settings.grant == "refresh_token":
        return {"grant_type": "refresh_token", "refresh_token": refresh_token or ""}
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
        # Both are escaped first (RFC 6749, 2.3.1), a blank as every server reads it.
        headers["Authorization"] = basic_credentials(quote(client_id, safe=""), quote(secret, safe=""))
        return
    params["client_id"] = client_id
    if secret is not None:
        params["client_secret"] = secret
