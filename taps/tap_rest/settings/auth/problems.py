"""What a JSON Schema cannot say about `auth`: which keys go with which type, and what they may hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from singerkit_shell.errors import ConfigurationError
from tap_rest.addresses import configured_origin
from tap_rest.paths import parse_path
from tap_rest.settings import setting
from tap_rest.settings.auth.keys import KEYS, NEEDS

__all__ = ["auth_problems"]


def auth_problems(auth: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each of them."""
    kind = auth["type"]
    problems = setting.keys_for_type(auth, "auth", KEYS[kind], NEEDS.get(kind, ()))
    return [*problems, *_of_paths(auth), *(_of_oauth2(auth) if kind == "oauth2" else ())]


def _of_paths(auth: Mapping[str, Any]) -> Iterator[str]:
    try:
        if "token_url" in auth:
            configured_origin(auth["token_url"], "auth.token_url")
            if "#" in auth["token_url"]:
                yield "Expected `auth.token_url` without `#`, behind which nothing is sent"
        if "token_path" in auth:
            parse_path(auth["token_path"], "auth.token_path")
    except ConfigurationError as error:
        yield str(error).rstrip(".")


_OF_GRANTS: Mapping[str, Sequence[str]] = {
    "client_credentials": ("client_id",),
    "password": ("username", "password"),
    "refresh_token": ("refresh_token",),
}
"""What each grant needs, and no other takes, but for `client_id`."""


def _of_oauth2(auth: Mapping[str, Any]) -> Iterator[str]:
    grant = auth.get("grant", "client_credentials")
    for key in _OF_GRANTS[grant]:
        if key not in auth:
            yield f"Expected the key `auth.{key}`, which `auth.grant` `{grant}` needs"
    of_others = {key for keys in _OF_GRANTS.values() for key in keys} - {"client_id", *_OF_GRANTS[grant]}
    if grant != "refresh_token":
        of_others.add("refresh_token_rotates")
    elif "token_file" not in auth and auth.get("refresh_token_rotates", True):
        yield (
            "Expected the key `auth.token_file`, a file that keeps the refresh token of the last answer, which may be the only one that is good then. "
            "Where this server never gives another one, say `auth.refresh_token_rotates` `false`"
        )
    for key in sorted(of_others & set(auth)):
        yield f"`auth.{key}` does not go with `auth.grant` `{grant}`"
    if "client_secret" in auth and "client_id" not in auth:
        yield "`auth.client_secret` has no effect without `auth.client_id`"
    if "client_auth" in auth and "client_secret" not in auth:
        yield "`auth.client_auth` has no effect without `auth.client_secret`"
