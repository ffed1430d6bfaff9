"""At which line of a config each part of it stands, by its place (`streams[0].path`)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["line_at", "lines_of"]

Place = tuple[str | int, ...]
_MOST_LINES = 200_000


def line_at(text: str, kind: str, place: str) -> int | None:
    """Return the line of what stands at ``place`` in a text of several lines, else of the nearest thing around it."""
    if "\n" not in text.strip():
        return None
    lines = lines_of(text, kind)
    while place and place not in lines:
        place = place[: max(place.rfind("."), place.rfind("["), 0)]
    return lines.get(place)


@lru_cache(maxsize=8)
def lines_of(text: str, kind: str) -> Mapping[str, int]:
    """Return the line of each key and item of a text that is JSON, YAML or TOML, as far as that can be told."""
    if kind == "YAML":
        return _lines_of_yaml(text)
    found = _lines_of_toml(text).items() if kind == "TOML" else _lines_of_json(text)
    try:
        return {_text_of(place): line for place, line in found}
    except (ValueError, IndexError):  # it is no JSON
        return {}


def _text_of(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


# YAML


def _lines_of_yaml(text: str) -> Mapping[str, int]:
    import yaml  # type: ignore[import-untyped]  # it has no types

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    found: dict[str, int] = {}
    _note_lines(root, "", found, yaml)
    return found


def _note_lines(node: Any, place: str, found: dict[str, int], yaml: Any) -> None:
    if len(found) > _MOST_LINES:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = f"{place}.{key.value}" if place else str(key.value)
            found.setdefault(below, key.start_mark.line + 1)
            _note_lines(value, below, found, yaml)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            found.setdefault(f"{place}[{index}]", item.start_mark.line + 1)
            _note_lines(item, f"{place}[{index}]", found, yaml)


# JSON

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')


def _lines_of_json(text: str) -> Iterator[tuple[Place, int]]:
    """Yield each key and item with its line; of a text that is JSON."""
    place: list[str | int] = []
    kinds: list[str] = []
    key: str | None = None
    line, at = 1, 0
    for token in _TOKEN.finditer(text):
        line, at = line + text.count("\n", at, token.start()), token.start()
        word = token[0]
        if word == ",":
            if kinds and kinds[-1] == "[":
                place[-1] = int(place[-1]) + 1
            continue
        if word == ":":
            continue
        if word in "]}":
            kinds.pop()
            place.pop()
            continue
        if kinds and kinds[-1] == "{" and key is None:
            key = json.loads(word)
            place[-1] = key
            yield tuple(place), line
            continue
        if kinds and kinds[-1] == "[":
            yield tuple(place), line
        key = None
        if word in "[{":
            kinds.append(word)
            place.append(0 if word == "[" else "")


# TOML

_KEY = r"(?:[A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*')"
_KEYS = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_TABLE = re.compile(rf"\s*(\[\[?)\s*({_KEYS})\s*\]\]?\s*(?:#.*)?")
_PAIR = re.compile(rf"\s*({_KEYS})\s*=\s*(.*)")
_TEXTS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|#.*")
_QUOTES = ('"""', "'''")


def _lines_of_toml(text: str) -> dict[Place, int]:
    """Return the lines of tables and of keys that begin a line; inside of a value that goes over several lines nothing is found."""
    lines: dict[Place, int] = {}
    table: Place = ()
    counts: Counter[Place] = Counter()
    for number, line in _beginnings(text):
        header, pair = _TABLE.fullmatch(line), _PAIR.fullmatch(line)
        if header:
            names = _names(header[2])
            above = _with_indexes(names[:-1], counts)
            table = (*above, names[-1])
            if header[1] == "[[":
                counts[table] += 1
                table = (*table, counts[table] - 1)
            lines.setdefault(table, number)
        elif pair:
            place = table
            for name in _names(pair[1]):
                place = (*place, name)
                lines.setdefault(place, number)
    return lines


def _with_indexes(names: tuple[str, ...], counts: Counter[Place]) -> Place:
    """Return the place of a table inside the last one of each list of tables."""
    place: Place = ()
    for name in names:
        place = (*place, name)
        if counts[place]:
            place = (*place, counts[place] - 1)
    return place


def _names(keys: str) -> tuple[str, ...]:
    return tuple(key[1:-1] if key[0] in "\"'" else key for key in re.findall(_KEY, keys))


def _beginnings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not inside of a text of several lines or of a list that goes on."""
    quote, depth = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        if quote:
            quote = "" if quote in line else quote
            continue
        if depth <= 0:
            yield number, line
        pair = _PAIR.fullmatch(line)
        rest = pair[2] if pair and depth <= 0 else line if depth > 0 else ""
        plain = "" if any(one in rest for one in _QUOTES) else _TEXTS.sub("", rest)
        depth = max(0, depth + plain.count("[") - plain.count("]"))
        for one in _QUOTES:
            if rest.count(one) == 1:
                quote = one
