"""Credentials that are sent as the config has them: `api_key`, `bearer` and `basic`."""

from __future__ import annotations

from requests import PreparedRequest
from requests.auth import _basic_auth_str

from singerkit_shell.secrets import redactor
from tap_rest.auth.places import Placer, in_header, placer_of
from tap_rest.auth.scheme import Scheme
from tap_rest.settings.auth.types import ApiKeySettings, BasicSettings, BearerSettings

__all__ = ["FixedScheme", "api_key", "basic", "basic_credentials", "bearer"]


class FixedScheme(Scheme):
    """The same text in the same place of each request."""

    def __init__(self, place: Placer, secret: str) -> None:
        self._place, self._secret = place, secret

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        self._place(request, self._secret)
        return request


def api_key(settings: ApiKeySettings) -> Scheme:
    redactor.add(settings.api_key)
    return FixedScheme(placer_of(settings), settings.api_key)


def bearer(settings: BearerSettings) -> Scheme:
    redactor.add(settings.token)
    return FixedScheme(in_header("Authorization", "Bearer "), settings.token)


def basic(settings: BasicSettings) -> Scheme:
    return FixedScheme(in_header("Authorization"), basic_credentials(settings.username, settings.password))


def basic_credentials(user: str, password: str) -> str:
    """Return the header of HTTP basic authentication; what is a secret of it is masked from now on."""
    redactor.add(password or user)  # without a password the user is the key
    text = _basic_auth_str(user.encode(), password.encode())
    redactor.add(text.removeprefix("Basic "))
    return text
