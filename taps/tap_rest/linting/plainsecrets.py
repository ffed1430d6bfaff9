"""Secrets that stand in the file of a config, where everybody who may read it finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from singerkit_shell.configfile import read_text
from singerkit_shell.configtext import kind_of, value_of
from singerkit_shell.secrets import names_secret
from tap_rest.config import CONFIG_SCHEMA
from tap_rest.linting.finding import Finding
from tap_rest.masking import is_secret_of_request

__all__ = ["places_with_references", "plain_secrets"]

_MOST_BYTES = 16 << 20
_URL_PASSWORD = re.compile(r"://[^/@\s:]*:[^/@\s]+@")
_REFERENCES = ({"env"}, {"file"})


def plain_secrets(path: str) -> Iterator[Finding]:
    """Yield the places in a file that hold a secret itself; one that cannot be read holds none."""
    for place, name in _secrets(_value_of(path), CONFIG_SCHEMA, ""):
        yield Finding(
            "plain-secret",
            place,
            f"`{place}` holds a secret in plain text; write `${{{name}}}`, and set that variable, which may stand in a file `.env` beside the "
            "config that is kept out of version control.",
        )


def places_with_references(path: str) -> Iterator[str]:
    """Yield the places in a file whose value comes from elsewhere, as a whole or in part."""
    yield from _references(_value_of(path), "")


def _value_of(path: str) -> Any:
    try:
        return value_of(read_text(path, _MOST_BYTES).removeprefix("\ufeff"), kind_of(path), dict)
    except (OSError, ValueError):
        return None


def _references(value: Any, place: str) -> Iterator[str]:
    if (isinstance(value, str) and "${" in value) or (
        isinstance(value, Mapping) and set(value) in _REFERENCES
    ):
        yield place
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _references(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, f"{place}[{index}]")


def _secrets(value: Any, schema: Any, place: str) -> Iterator[tuple[str, str]]:
    said = schema if isinstance(schema, Mapping) else {}
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _secrets(item, said.get("items"), f"{place}[{index}]")
    if not isinstance(value, Mapping):
        return
    known = said.get("properties") or {}
    for key, item in value.items():
        inner = known.get(key, said.get("additionalProperties"))
        at = f"{place}.{key}" if place else str(key)
        is_plain = isinstance(inner, Mapping) and inner.get("secret") is False
        names_one = names_secret(str(key)) if key in known else is_secret_of_request(str(key), item)
        if key == "path" and isinstance(item, str):
            yield from _secrets_in_query(item, at)
        if is_plain:
            continue
        if _is_literal(item, names_one=names_one):
            yield at, "".join(char if char.isascii() and char.isalnum() else "_" for char in str(key)).upper()
        else:
            yield from _secrets(item, inner, at)


def _secrets_in_query(path: str, place: str) -> Iterator[tuple[str, str]]:
    for name, value in parse_qsl(path.partition("?")[2]):
        if is_secret_of_request(name, value) and _is_literal(value, names_one=True):
            yield place, re.sub(r"\W", "_", name, flags=re.ASCII).upper()


def _is_literal(value: Any, *, names_one: bool) -> bool:
    """Tell whether a value is a secret that stands there itself."""
    if isinstance(value, str):
        return "${" not in value and (bool(_URL_PASSWORD.search(value)) or (names_one and _is_whole(value)))
    return (
        names_one and isinstance(value, Mapping) and "private_key" in value and set(value) not in _REFERENCES
    )


def _is_whole(value: str) -> bool:
    """Tell whether a text is more than what other settings are put into (`Bearer {token}`)."""
    return len(value) > 1 and "{" not in value
