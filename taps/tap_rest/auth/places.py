"""Where a key or a token goes: into a header, the query or a cookie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from requests import PreparedRequest

from tap_rest.settings.auth import AuthSettings, Placed
from tap_rest.settings.auth.types import HmacSettings

__all__ = ["Placer", "add_params", "in_cookie", "in_header", "placer_of", "query_keys_of"]

Placer = Callable[[PreparedRequest, str], None]
"""Writes a secret into a request."""


def placer_of(settings: Placed) -> Placer:
    """Return what puts a secret where the config says."""
    if settings.place == "query":
        return in_query(settings.named)
    if settings.place == "cookie":
        return in_cookie(settings.named)
    return in_header(settings.named, settings.text_before)


def in_header(name: str, prefix: str = "") -> Placer:
    def place(request: PreparedRequest, secret: str) -> None:
        request.headers[name] = prefix + secret

    return place


def in_query(name: str) -> Placer:
    def place(request: PreparedRequest, secret: str) -> None:
        add_params(request, {name: secret})

    return place


def add_params(request: PreparedRequest, params: Mapping[str, str]) -> None:
    """Put parameters at the end of the query; those that the URL already has, from a next link, are replaced."""
    parts = urlsplit(str(request.url))
    names = {form for name in params for form in (name, quote(name, safe=""))}
    pairs = [pair for pair in parts.query.split("&") if pair and pair.split("=", 1)[0] not in names]
    pairs += [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in params.items()]
    request.url = urlunsplit(parts._replace(query="&".join(pairs)))


def in_cookie(name: str) -> Placer:
    """Beside the cookies that the server has set."""

    def place(request: PreparedRequest, secret: str) -> None:
        others = request.headers.get("Cookie")
        own = f"{name}={secret}"
        request.headers["Cookie"] = f"{others}; {own}" if others else own

    return place


def query_keys_of(settings: AuthSettings) -> frozenset[str]:
    """Return the query parameters that carry secrets."""
    if isinstance(settings, HmacSettings):
        return frozenset(settings.sign_params)
    is_there = isinstance(settings, Placed) and settings.place == "query"
    return frozenset({settings.named} if is_there and isinstance(settings, Placed) else ())
