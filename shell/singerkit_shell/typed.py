"""Make of the texts that a config takes from elsewhere what their settings take: numbers, flags, lists and objects; of `1.0` the whole number.

The environment and files hold texts. What a setting is, its JSON Schema says; a setting that may be a text stays one. A setting
whose schema has `"secret": False` (a name, a path) is shown wherever it comes from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from singerkit_shell.configfile import Referred, resolved
from singerkit_shell.configtext import without_repeats
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import SHORTEST_PART, names_secret, redactor
from singerkit_shell.variables import stand_ins

__all__ = ["take_as_typed"]

_PLAIN: Mapping[str, Any] = {"secret": False}
_MOST_VARIABLES = 10  # that lead to one another
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,100}(\.[0-9]{1,100})?([eE][+-]?[0-9]{1,3})?")


def take_as_typed(config: dict[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Replace the texts from elsewhere in ``config``, at any depth; return a sentence for each that is not what is wanted.

    What is no secret is masked no more (`_is_plain`).

    Raises:
        ConfigurationError: JSON from elsewhere refers to what is not there.
    """
    taking = _Taking()
    config.update(taking.taken(config, list(_parts([schema])), "", ""))
    redactor.release(taking.plain, taking.secret)
    redactor.add_from_config(config)
    return taking.problems


class _NoneError(ValueError):
    """A text is not what is wanted, which the message names."""


class _Taking:
    """The walk through a config: what is wrong, and which texts from elsewhere are secrets."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.plain: list[str] = []
        self.secret: list[str] = []

    def taken(
        self, value: Any, schemas: list[Mapping[str, Any]], place: str, key: str, variables: int = 0
    ) -> Any:
        """Return ``value`` with what it takes from elsewhere; it stands in JSON in so many variables or files."""
        if isinstance(value, Referred):
            return self._taken_reference(value, schemas, place, key, variables)
        if isinstance(value, dict):
            return {
                name: self.taken(
                    item, _of_key(schemas, name), f"{place}.{name}" if place else name, name, variables
                )
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [
                self.taken(item, _of_items(schemas), f"{place}[{index}]", key, variables)
                for index, item in enumerate(value)
            ]
        # A shorter part of JSON is a secret where its name says so, which `add_from_config` sees.
        if variables and len(str(value)) >= SHORTEST_PART:
            self._judge(str(value), value, schemas, key)
        if isinstance(value, float) and value.is_integer() and "integer" in (types := _types(schemas)):
            return value if "number" in types else int(value)  # `1.0` is one to a JSON Schema
        return value

    def _taken_reference(
        self, text: Referred, schemas: list[Mapping[str, Any]], place: str, key: str, variables: int
    ) -> Any:
        try:
            made = _made_of(text, schemas)
        except _NoneError as error:
            self.problems.append(f"Expected {error} in {text.origin}, got something else, at `{place}`")
            return str(text)
        if not isinstance(made, dict | list):
            for part in (text, *text.parts):
                self._judge(part, made, schemas, key)
            return made
        if variables >= _MOST_VARIABLES:
            raise ConfigurationError(
                f"{place} takes its value from {text.origin}, which leads back to itself."
            )
        self.plain.append(text)  # each of its parts is judged by its own setting
        return self.taken(resolved(made, place), schemas, place, key, variables + 1)

    def _judge(self, text: str, made: Any, schemas: list[Mapping[str, Any]], key: str) -> None:
        (self.plain if _is_plain(made, schemas, key) else self.secret).append(text)


def _is_plain(value: Any, schemas: list[Mapping[str, Any]], key: str) -> bool:
    """Tell whether a value from elsewhere is no secret: masked, it would blank out a sentence or a statement to copy.

    That are numbers and flags, one of the words that a setting knows, and what a setting with `"secret": False` holds:
    names and paths. What is not known is a secret.
    """
    if names_secret(key):
        return False
    if isinstance(value, bool | int | float):
        return bool(types := _types(schemas)) and "string" not in types
    return any(_has_plain(schema) or value in schema.get("enum", ()) for schema in schemas)


def _has_plain(schema: Mapping[str, Any]) -> bool:
    return schema.get("secret") is False


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
    return _inner(schemas, found)


def _of_items(schemas: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return _inner(schemas, [schema.get("items", {}) for schema in schemas])


def _inner(schemas: list[Mapping[str, Any]], found: list[Any]) -> list[Mapping[str, Any]]:
    """Return the schemas of what stands inside; where a whole holds no secret, no part of it does."""
    whole: list[Mapping[str, Any]] = [_PLAIN] if any(map(_has_plain, schemas)) else []
    return [*_parts([schema for schema in found if isinstance(schema, Mapping)]), *whole]


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
    if "object" in types and text == stand_ins.text:
        return {str(text): str(text)}
    refused: list[_NoneError] = []
    for reader in wanted:
        try:
            return reader(text.strip())
        except _NoneError as error:
            refused.append(error)
    is_json = text.lstrip()[:1] in ("[", "{")
    if "array" in types and not is_json and "string" in _types(_of_items(schemas)):
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
