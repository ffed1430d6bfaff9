"""What `auth` sends, which nothing else can send beside it, and its settings that would do nothing where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tap_rest.settings.auth.keys import KEYS

__all__ = ["auth_effects", "sent_by_auth"]

Group = Mapping[str, Any]


def sent_by_auth(auth: Group) -> tuple[frozenset[str], frozenset[str]]:
    """Return the headers, in small letters, and the query parameters that `auth` sends."""
    kind, place = auth.get("type", "none"), auth.get("in", "header")
    if auth.get("token_in") == "cookie":
        return frozenset(), frozenset()
    if kind == "hmac":
        headers = (name.lower() for name in auth.get("sign_headers", {}))
        return frozenset(headers), frozenset(auth.get("sign_params", {}))
    if kind == "aws_sigv4":
        return frozenset(
            {"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
        ), frozenset()
    if "in" not in KEYS[kind]:
        return frozenset({"authorization"} if kind != "none" else ()), frozenset()
    of_tokens = "Authorization" if place == "header" else "access_token"
    name = auth.get("name", "X-API-Key" if kind == "api_key" else of_tokens)
    if place == "header":
        return frozenset({name.lower()}), frozenset()
    return frozenset(), frozenset({name} if place == "query" else ())


def auth_effects(auth: Group) -> Iterator[str]:
    """Yield a sentence for each setting of `auth` without effect."""
    place = auth.get("in", "header")
    if "prefix" in auth and place != "header":
        yield f"`auth.prefix` has no effect with `auth.in` `{place}`"
    yield from _of_token_params(auth)


def _of_token_params(auth: Group) -> Iterator[str]:
    """Name the parameters and headers of a request for a token that have a setting of their own."""
    own = {
        "grant_type",
        "scope",
        "client_id",
        "client_secret",
        "username",
        "password",
        "refresh_token",
        "audience",
    }
    for name in sorted(own.intersection(auth.get("token_params", {}))):
        fits = {"grant_type": "grant", "scope": "scopes"}.get(name, name)
        yield f"`auth.token_params.{name}` is what `auth.{fits}` says; say it there"
    for name in auth.get("token_headers", {}):
        sets_client = "client_secret" in auth and auth.get("client_auth", "header") == "header"
        if name.lower() in ("content-type", "content-length") or (
            name.lower() == "authorization" and sets_client
        ):
            yield f"`auth.token_headers.{name}` has no effect, since that header is written by `auth` itself; take it out"
