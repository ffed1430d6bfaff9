"""From the text of a config to its value: JSON, YAML or TOML, by the ending of the file's name.

YAML here means what JSON can say, in another spelling: `true`, `false`, `null` and numbers as JSON writes them are what they are in JSON,
and everything else is text, `on`, `no`, `0123`, `1_000`, `12:30` and dates among them. Dates of TOML become their text, too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time
from typing import Any, NoReturn

__all__ = ["ConfigTextError", "RepeatedKeyError", "kind_of", "value_of", "without_repeats"]

_KINDS = {".yaml": "YAML", ".yml": "YAML", ".toml": "TOML"}
_MOST_NODES = 200_000
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,400})")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_TAGS = frozenset(("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge", "value"))
"""What PyYAML takes plain values for."""
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


class ConfigTextError(ValueError):
    """Why a text is no config, in a few words that follow the name of its file."""


class RepeatedKeyError(ConfigTextError):
    """A key stands twice in one object; a reader takes one of the two, and nobody knows which."""

    def __init__(self, key: str, lines: Sequence[int] = ()) -> None:
        where = f" (lines {lines[0]} and {lines[1]})" if len(lines) == 2 else ""
        super().__init__(f"has the key `{key[:60]}` twice in one object{where}; leave one of them out")
        self.key = key


def kind_of(path: str) -> str:
    """Return `JSON`, `YAML` or `TOML`."""
    return next((kind for ending, kind in _KINDS.items() if path.lower().endswith(ending)), "JSON")


def value_of(text: str, kind: str, object_of: Callable[[Iterable[tuple[str, Any]]], Any]) -> Any:
    """Return what a text says.

    Raises:
        ConfigTextError: it is not of this kind, or says what JSON cannot.
    """
    try:
        return {"JSON": _json, "YAML": _yaml, "TOML": _toml}[kind](text, object_of)
    except RecursionError:
        raise ConfigTextError("is nested too deeply") from None


def without_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, for `object_pairs_hook`; of a key that stands twice one would be without effect.

    Raises:
        RepeatedKeyError: there is one; the message says what the text does.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RepeatedKeyError(key)
        found[key] = value
    return found


def _json(text: str, object_of: Callable[..., Any]) -> Any:
    try:
        return json.loads(text, object_pairs_hook=object_of, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise ConfigTextError(
            f"is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except RepeatedKeyError as error:
        raise RepeatedKeyError(error.key, _lines_with(error.key, text)) from None
    except ConfigTextError:
        raise
    except ValueError:  # Python's own limit against numbers that take minutes to read
        raise ConfigTextError("holds a number of more than 4300 digits; write a shorter one") from None


def _lines_with(key: str, text: str) -> Sequence[int]:
    """Return the lines of a key in a JSON text, in whichever objects."""
    found = re.finditer(rf"{re.escape(json.dumps(key, ensure_ascii=False))}\s*:", text)
    return [text.count("\n", 0, one.start()) + 1 for one in found] if "\n" in text.strip() else ()


def _no_number(name: str) -> NoReturn:
    raise ConfigTextError(f"holds `{name}`, which is no JSON number")


def _yaml(text: str, object_of: Callable[..., Any]) -> Any:
    # Imported here: most configs are JSON, and it takes a while.
    import yaml  # type: ignore[import-untyped]  # it has no types

    try:
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        if len(documents) > 1:
            raise ConfigTextError("holds more than one document; leave one")
        return _Nodes(yaml, object_of).value(documents[0]) if documents else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise ConfigTextError(f"is not YAML: {problem}{where}") from None


class _Nodes:
    """Makes values of the nodes of YAML; an alias is what it stands for, up to a limit."""

    def __init__(self, yaml: Any, object_of: Callable[..., Any]) -> None:
        self._yaml, self._object_of = yaml, object_of
        self._count = 0

    def value(self, node: Any) -> Any:
        self._count += 1
        line = node.start_mark.line + 1
        if self._count > _MOST_NODES:
            raise ConfigTextError(f"is more than {_MOST_NODES:,} values by its aliases; write them out")
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if tag not in _TAGS:
            raise ConfigTextError(
                f"has the tag `{tag[:40]}` at line {line}, which stands for nothing that JSON has"
            )
        if isinstance(node, self._yaml.MappingNode):
            return self._object(node)
        if isinstance(node, self._yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        return _scalar(node)

    def _object(self, node: Any) -> Any:
        pairs = [(self._key(key), self.value(item)) for key, item in node.value]
        try:
            return self._object_of(pairs)
        except RepeatedKeyError as error:
            lines = [key.start_mark.line + 1 for key, _ in node.value if key.value == error.key]
            raise RepeatedKeyError(error.key, lines) from None

    def _key(self, node: Any) -> str:
        line = node.start_mark.line + 1
        if not isinstance(node, self._yaml.ScalarNode):
            raise ConfigTextError(f"has a key at line {line} that is no text")
        if node.value == "<<" and node.style is None:
            raise ConfigTextError(f"merges by `<<` at line {line}; write the keys out")
        return str(node.value)


def _scalar(node: Any) -> Any:
    text = str(node.value)
    if node.style is not None:  # quoted, or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return _number(text, f" at line {node.start_mark.line + 1}") if _NUMBER.fullmatch(text) else text


def _number(text: str, where: str = "") -> float:
    """Return a number that says all that its text does: `1.10` may be a version."""
    number = float(text)
    if not math.isfinite(number):
        raise ConfigTextError("holds a number that JSON has not (`inf` or `nan`)")
    if text.isascii() and not re.search("[eE_]", text) and repr(number) != text.removeprefix("+"):
        raise ConfigTextError(
            f"holds `{text[:60]}`{where}, which is the number {number!r}; write that, or put it in quotes to have the text"
        )
    return number


def _toml(text: str, _object_of: Callable[..., Any]) -> Any:
    import tomllib

    try:
        return _as_json(tomllib.loads(text, parse_float=_number))
    except tomllib.TOMLDecodeError as error:
        raise ConfigTextError(f"is not TOML: {error}") from None


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat().replace("+00:00", "Z")
    return value
