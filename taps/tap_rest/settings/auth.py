"""`auth`: credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tap_rest.settings import setting

__all__ = ["AUTH", "AuthSettings", "auth_problems"]

AUTH = setting.group(
    "Credentials. They are sent to the origin (scheme, host, port) of `base_url` and nowhere else.",
    {
        "type": setting.text("The scheme.", enum=["none", "api_key", "bearer", "basic"]),
        "in": setting.text(
            "`api_key`: where the key is sent. Default `header`.", enum=["header", "query", "cookie"]
        ),
        "name": setting.name(
            "`api_key`: name of the header, query parameter or cookie. Default `X-API-Key`."
        ),
        "api_key": setting.text(
            '`api_key`: the key. Any value may be written as `{"env": "NAME"}`.', minLength=1
        ),
        "prefix": setting.text("`api_key` in a header: text before the key, for instance `Token `."),
        "token": setting.text("`bearer`: the token.", minLength=1),
        "username": setting.text("`basic`: the user."),
        "password": setting.text("`basic`: the password; may be empty."),
    },
    ["type"],
)


class AuthSettings(msgspec.Struct, frozen=True):
    """`auth` of the config."""

    type: str = "none"
    place: str = msgspec.field(default="header", name="in")
    name: str = "X-API-Key"
    api_key: str | None = None
    prefix: str = ""
    token: str | None = None
    username: str | None = None
    password: str | None = None


_KEYS = {
    "none": (),
    "api_key": ("in", "name", "api_key", "prefix"),
    "bearer": ("token",),
    "basic": ("username", "password"),
}
_NEEDS = {"api_key": ("api_key",), "bearer": ("token",), "basic": ("username", "password")}


def auth_problems(auth: Mapping[str, Any]) -> list[str]:
    kind = auth["type"]
    return setting.keys_for_type(auth, "auth", _KEYS[kind], _NEEDS.get(kind, ()))
