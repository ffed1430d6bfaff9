"""What a request header can hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["IN_A_HEADER", "fits_a_header", "header_problems"]

IN_A_HEADER = (
    "text that a header can hold (on one line, no control characters, Latin-1, no blank at its ends)"
)
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_COOKIE_VALUE = re.compile(r"[!-+\--:<-~]*")


def fits_a_header(value: str) -> bool:
    """Tell whether a header can hold ``value``."""
    return _FIELD_VALUE.fullmatch(value) is not None


def header_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting that cannot be written into a header; its value is not shown."""
    yield from _problems_of_group(config.get("headers", {}), "headers")
    for index, stream in enumerate(config["streams"]):
        yield from _problems_of_group(stream.get("headers", {}), f"streams[{index}].headers")
    if not fits_a_header(config.get("user_agent", "")):
        yield f"Expected {IN_A_HEADER} at `user_agent`, got other characters"
    yield from _problems_of_auth(config.get("auth", {}))


def _problems_of_group(headers: Mapping[str, str], place: str) -> Iterator[str]:
    for name, value in headers.items():
        if not _FIELD_NAME.fullmatch(name):
            yield f"Expected the name of a header at `{place}`, got something else"
        if not fits_a_header(value):
            yield f"Expected {IN_A_HEADER} at `{place}.{name}`, got other characters"


def _problems_of_auth(auth: Mapping[str, Any]) -> Iterator[str]:
    place = auth.get("in", "header")
    for key in ("api_key", "prefix", "token"):
        is_prefix = key == "prefix"  # ends with a blank before what follows it
        if place != "query" and not fits_a_header(auth.get(key, "") + ("." if is_prefix else "")):
            yield f"Expected {IN_A_HEADER} at `auth.{key}`, got other characters"
    if auth.get("type") == "basic" and ":" in auth.get("username", ""):
        yield (
            "Expected a user without a colon at `auth.username`: HTTP basic authentication (RFC 7617) ends the user at the first "
            "one, and what follows would be taken for the password"
        )
    if place == "cookie" and not _COOKIE_VALUE.fullmatch(auth.get("api_key", "")):
        yield "Expected a key without blanks, commas, semicolons and quotes at `auth.api_key`, got others"
    yield from _problems_of_group(auth.get("token_headers", {}), "auth.token_headers")
    yield from _problems_of_group(auth.get("sign_headers", {}), "auth.sign_headers")
    if place != "query" and not _FIELD_NAME.fullmatch(auth.get("name", "X-API-Key")):
        yield f"Expected the name of a {place} at `auth.name`, got something else"
