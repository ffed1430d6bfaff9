"""Credentials, as requests' auth objects: each puts its secret into one prepared request.

A new scheme is a class here, a line in `_SCHEMES`, and its keys in `settings/auth.py`. The client calls the object
only for requests to the origin of `base_url`; everywhere else `NoAuth` stands.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth, _basic_auth_str

from singerkit_shell.configfile import renewed
from singerkit_shell.secrets import redactor
from tap_rest.headers import header_problems
from tap_rest.settings.auth import AuthSettings
from tap_rest.transport import NoAuth

__all__ = ["auth_of", "query_key_of", "renewed_auth"]

_FROM_FILES = ("api_key", "token", "username", "password")


class HeaderAuth(AuthBase):
    """A key or a bearer token in a header."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers[self._name] = self._value
        return request


class QueryAuth(AuthBase):
    """A key as a query parameter; one that the URL already has, from a next link, is replaced."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        parts = urlsplit(str(request.url))
        pairs = [pair for pair in parts.query.split("&") if pair and not _is_named(pair, self._name)]
        pairs.append(f"{quote(self._name, safe='')}={quote(self._value, safe='')}")
        request.url = urlunsplit(parts._replace(query="&".join(pairs)))
        return request


def _is_named(pair: str, name: str) -> bool:
    return pair.split("=", 1)[0] in (name, quote(name, safe=""))


class CookieAuth(AuthBase):
    """A key as a cookie, beside the cookies that the server has set."""

    def __init__(self, name: str, value: str) -> None:
        self._pair = f"{name}={value}"

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        others = request.headers.get("Cookie")
        request.headers["Cookie"] = f"{others}; {self._pair}" if others else self._pair
        return request


def auth_of(settings: AuthSettings) -> AuthBase:
    """Return the auth object of the config and register its secrets for masking."""
    return _SCHEMES[settings.type](settings)


def renewed_auth(settings: AuthSettings) -> AuthSettings | None:
    """Return the credentials as the files that they came from hold them by now; None: they are as they were, or unfit."""
    texts = {name: renewed(getattr(settings, name) or "") for name in _FROM_FILES}
    changed = {name: text for name, text in texts.items() if text}
    now = msgspec.structs.replace(settings, **changed)
    config = {name: text for name, text in msgspec.to_builtins(now).items() if text is not None}
    return None if not changed or any(header_problems({"auth": config, "streams": []})) else now


def query_key_of(settings: AuthSettings) -> str | None:
    """Return the query parameter that carries the key, if one does."""
    return settings.name if settings.type == "api_key" and settings.place == "query" else None


def _api_key(settings: AuthSettings) -> AuthBase:
    key = settings.api_key or ""
    redactor.add(key)
    if settings.place == "query":
        return QueryAuth(settings.name, key)
    if settings.place == "cookie":
        return CookieAuth(settings.name, key)
    return HeaderAuth(settings.name, settings.prefix + key)


def _bearer(settings: AuthSettings) -> AuthBase:
    token = settings.token or ""
    redactor.add(token)
    return HeaderAuth("Authorization", f"Bearer {token}")


def _basic(settings: AuthSettings) -> AuthBase:
    user, password = (settings.username or "").encode(), (settings.password or "").encode()
    redactor.add(settings.password or settings.username or "")  # without a password the user is the key
    redactor.add(_basic_auth_str(user, password).removeprefix("Basic "))
    return HTTPBasicAuth(user, password)


def _none(_settings: AuthSettings) -> AuthBase:
    return NoAuth()


_SCHEMES: dict[str, Callable[[AuthSettings], AuthBase]] = {
    "none": _none,
    "api_key": _api_key,
    "bearer": _bearer,
    "basic": _basic,
}
