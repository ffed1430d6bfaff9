"""Make of the texts that a config takes from elsewhere what their settings take: numbers, flags, lists and objects.

The environment and files hold texts. What a setting is, its JSON Schema says; a setting that may be a text stays one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from singerkit_shell.configfile import Referred, without_repeats
from singerkit_shell.secrets import names_secret, redactor

__all__ = ["take_as_typed"]

_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,100}(\.[0-9]{1,100})?([eE][+-]?[0-9]{1,3})?")


def take_as_typed(config: dict[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Replace the texts from elsewhere in ``config``, at any depth; return a sentence for each that is not what is wanted.

    A number or a flag is no secret, unless its name says so: masked, it would blank out each such number that a log shows.
    """
    problems: list[str] = []
    plain: list[str] = []
    secret: list[Referred] = []

    def taken(value: Any, schemas: list[Mapping[str, Any]], place: str, key: str) -> Any:
        if isinstance(value, Referred):
            try:
                made = _made_of(value, schemas)
            except _NoneError as error:
                problems.append(f"Expected {error} in {value.origin}, got something else, at `{place}`")
                return str(value)
            if isinstance(made, bool | int | float) and not names_secret(key):
                plain.append(value)
            else:
                secret.append(value)
            return made
        if isinstance(value, dict):
            return {
                name: taken(item, _of_key(schemas, name), f"{place}.{name}" if place else name, name)
                for name, item in value.items()
            }
        if isinstance(value, list):
            items = [part["items"] for part in schemas if isinstance(part.get("items"), Mapping)]
            return [
                taken(item, list(_parts(items)), f"{place}[{index}]", key) for index, item in enumerate(value)
            ]
        return value

    config.update(taken(config, list(_parts([schema])), "", ""))
    redactor.release(plain, secret)
    redactor.add_from_config(config)
    return problems


class _NoneError(ValueError):
    """A text is not what is wanted, which the message names."""


def _parts(schemas: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield schemas, and what they allow besides."""
    for schema in schemas:
        yield schema
        for name in ("anyOf", "oneOf", "allOf"):
            yield from _parts(schema.get(name) or [])


def _of_key(schemas: list[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    found = [
        schema.get("properties", {}).get(key, schema.get("additionalProperties", {})) for schema in schemas
    ]
    return list(_parts([schema for schema in found if isinstance(schema, Mapping)]))


def _types(schemas: list[Mapping[str, Any]]) -> set[str]:
    types: set[str] = set()
    for schema in schemas:
        named = schema.get("type", [])
        types |= {named} if isinstance(named, str) else set(named)
    return types


def _made_of(text: Referred, schemas: list[Mapping[str, Any]]) -> Any:
    types = _types(schemas)
    readers: list[tuple[str, Callable[[str], Any]]] = [
        ("boolean", _flag),
        ("integer", _integer),
        ("number", _number),
        ("array", lambda word: _of_json(word, list)),
        ("object", lambda word: _of_json(word, dict)),
    ]
    wanted = [reader for name, reader in readers if name in types]
    if "string" in types or not wanted:
        return str(text)
    refused: list[_NoneError] = []
    for reader in wanted:
        try:
            return reader(text.strip())
        except _NoneError as error:
            refused.append(error)
    if types == {"array"} and "string" in _types([schema.get("items", {}) for schema in schemas]):
        return text.split(",")  # a list of texts may stand there without brackets
    raise refused[0]


def _flag(text: str) -> bool:
    if text.lower() in (*_YES, *_NO):
        return text.lower() in _YES
    raise _NoneError("`true` or `false`")


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text):
        return int(text)
    raise _NoneError("a whole number")


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    raise _NoneError("a number")


def _of_json(text: str, kind: type) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=without_repeats, parse_constant=_refused)
        plain = json.dumps(value, ensure_ascii=False)
        plain.encode()
    except (ValueError, RecursionError):
        value = plain = None
    if not isinstance(value, kind) or "\\u0000" in str(plain):
        raise _NoneError("JSON with a list" if kind is list else "JSON with an object")
    return value


def _refused(name: str) -> NoReturn:
    raise ValueError(name)
