"""`oauth2`: a token that `token_url` gives to a client, or to a user (RFC 6749)."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from urllib.parse import quote, urlencode

import msgspec

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.answers.answer import Response
from tap_rest.auth.endpoint import Endpoint, Question
from tap_rest.auth.fixed import basic_credentials
from tap_rest.auth.found import TokenFinder
from tap_rest.auth.jwts import Signer
from tap_rest.auth.keeping import Given, Keeper, file_of
from tap_rest.auth.places import placer_of
from tap_rest.auth.scheme import Scheme
from tap_rest.auth.tokens import TokenScheme
from tap_rest.masking import register_secrets
from tap_rest.settings.auth.types import OAuth2Settings

__all__ = ["oauth2"]

_URN = "urn:ietf:params:oauth"
_SIGNED_FOR = 50.0
"""Seconds that what is signed to ask for a token is good for; some servers take no more than a minute."""
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


def oauth2(settings: OAuth2Settings, endpoint: Endpoint) -> Scheme:
    for secret in (settings.client_secret, settings.password, settings.refresh_token):
        redactor.add(secret or "")
    register_secrets(settings.token_params)
    register_secrets(settings.token_headers)
    login = _Login(settings, endpoint)
    who = [settings.grant, settings.client_id, settings.username, settings.refresh_token]
    what = [settings.token_url, settings.scopes, settings.audience, settings.token_params, settings.claims]
    keeper = Keeper(login.give, file_of(settings, endpoint, [who, what]), settings.refresh_token)
    return TokenScheme(keeper.ask, placer_of(settings))


class _Login:
    """Asks for a token as the config says."""

    def __init__(self, settings: OAuth2Settings, endpoint: Endpoint) -> None:
        self._settings, self._endpoint = settings, endpoint
        self._signer = Signer(settings) if settings.algorithm is not None else None
        self._finder = TokenFinder(settings.token_path, settings.lifetime, endpoint.shown)

    def give(self, refresh_token: str | None) -> Given:
        """Return a token that was given for ``refresh_token``, where that is the grant."""
        began = time.monotonic()
        url = self._settings.token_url
        given = self._endpoint.ask(
            url, lambda: self._question(refresh_token), lambda answer, _: self._read(answer, began)
        )
        if given.refresh_token in (None, refresh_token):
            return replace(given, refresh_token=refresh_token)
        if not self._settings.refresh_token_rotates:
            raise ConfigurationError(
                f"{self._endpoint.shown(url)} gave another refresh token, although `auth.refresh_token_rotates` is false, so that the "
                "one at `auth.refresh_token` may be void by now; nothing was read. Take that out, name a file at `auth.token_file`, and give "
                "a new `auth.refresh_token`."
            )
        return given

    def _question(self, refresh_token: str | None) -> Question:
        settings = self._settings
        params = self._granted(refresh_token)
        headers = dict(settings.token_headers)
        if settings.scopes:
            params["scope"] = " ".join(settings.scopes)
        if settings.audience is not None:
            params["audience"] = settings.audience
        if settings.client_id is not None:
            self._show_client(settings.client_id, params, headers)
        params |= settings.token_params
        is_form = settings.body_format == "form"
        body = urlencode(params).encode() if is_form else msgspec.json.encode(params)
        headers |= {"Content-Type": _FORM if is_form else _JSON, "Accept": _JSON}
        return Question(body=body, headers=headers)

    def _granted(self, refresh_token: str | None) -> dict[str, str]:
        """Return the parameters that say what a token is given for."""
        settings = self._settings
        if settings.grant == "password":
            return {
                "grant_type": "password",
                "username": settings.username or "",
                "password": settings.password or "",
            }
        if settings.grant == "refresh_token":
            return {"grant_type": "refresh_token", "refresh_token": refresh_token or ""}
        if settings.grant == "jwt_bearer":
            return {"grant_type": f"{_URN}:grant-type:jwt-bearer", "assertion": self._signed()}
        return {"grant_type": "client_credentials"}

    def _show_client(self, client_id: str, params: dict[str, str], headers: dict[str, str]) -> None:
        secret, way = self._settings.client_secret, self._settings.client_auth
        if way == "jwt":
            params["client_assertion_type"] = f"{_URN}:client-assertion-type:jwt-bearer"
            params["client_assertion"] = self._signed(jti=uuid.uuid4().hex)
        elif secret is not None and way == "header":
            # Both are escaped first (RFC 6749, 2.3.1), a blank as every server reads it.
            headers["Authorization"] = basic_credentials(quote(client_id, safe=""), quote(secret, safe=""))
        else:
            params["client_id"] = client_id
            params |= {"client_secret": secret} if secret is not None else {}

    def _signed(self, **claims: str) -> str:
        assert self._signer is not None  # noqa: S101  for mypy
        settings = self._settings
        who = {} if settings.client_id is None else {"iss": settings.client_id, "sub": settings.client_id}
        return self._signer.signed({"aud": settings.token_url, **who, **claims}, _SIGNED_FOR)

    def _read(self, answer: Response, began: float) -> Given:
        token = self._finder.token(answer, {}, began)
        is_used = self._settings.grant == "refresh_token"
        return Given(token, self._finder.member(answer, "refresh_token") if is_used else None)
