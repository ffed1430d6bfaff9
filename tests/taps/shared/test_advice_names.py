"""A sentence of the rooms that taps share names no setting that one of the taps does not have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from singerkit_sql_tap.advice import ADVICE as sql
from singerkit_tap.advice import Advice
from singerkit_tap.shell import SingerkitTap
from tap_rest.advice import ADVICE as rest
from tap_rest.tap import TapRest
from tap_sqlite.tap import TapSqlite

ROOT = Path(__file__).parents[3]
TAPS: list[type[SingerkitTap]] = [TapRest, TapSqlite]
ROOMS = {
    "taps/singerkit_tap": TAPS,
    "taps/singerkit_sql_tap": [TapSqlite],
    "state/singerkit_state": TAPS,
    "catalog/singerkit_catalog": TAPS,
}
NO_SETTINGS = {
    "bookmarks": "of a state",
    "stream": "a stream and its fields in a rule of `select`",
    "template": "a word of dates",
}
REACHED_BY_ONE = {
    "parent.bookmarks": "of streams below others, which are tap-rest's",
    "sweep": "of streams that are swept, which are tap-rest's",
    "time_zone": "of a pattern, which only tap-rest's `replication_key_format` takes",
}


def settings_of(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each setting."""
    if isinstance(schema, Mapping):
        for name, inner in (schema.get("properties") or {}).items():
            yield (*path, name)
            yield from settings_of(inner, (*path, name))
        for key, inner in schema.items():
            if key != "properties":
                for one in inner if isinstance(inner, list) else [inner]:
                    yield from settings_of(one, path)


def known_to(tap: type[SingerkitTap]) -> set[str]:
    """The ends of all paths, with points: `memory`, `bookmark.memory`, `streams.bookmark.memory`."""
    schema = dict(tap.config_jsonschema)
    tap.append_builtin_config(schema)
    return {".".join(path[at:]) for path in settings_of(schema) for at in range(len(path))}


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the texts that code uses, which docstrings are not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def named_in(room: str) -> Iterator[tuple[str, str]]:
    for file in sorted((ROOT / room).glob("*.py")):
        for line, text in texts(ast.parse(file.read_text())):
            for name in re.findall(r'`"?([a-z_]+(?:\.[a-z_]+)*)"?[`:]', text):
                yield f"{room}/{file.name}:{line}", name


@pytest.mark.parametrize("room", ROOMS)
def test_shared_rooms_name_settings_of_all_taps(room: str) -> None:
    known = {tap.name: known_to(tap) for tap in TAPS}
    of_any = set().union(*known.values()) - {*NO_SETTINGS, *REACHED_BY_ONE}
    strange = [
        f"{place}: `{name}`, which {tap.name} does not have"
        for place, name in named_in(room)
        for tap in ROOMS[room]
        if name in of_any and name not in known[tap.name]
    ]
    assert strange == []


@pytest.mark.parametrize(("advice", "tap"), [(rest, TapRest), (sql, TapSqlite)], ids=["rest", "sql"])
def test_advice_names_settings_of_its_tap(advice: Advice, tap: type[SingerkitTap]) -> None:
    said = " ".join(text for text in vars(advice).values() if isinstance(text, str))
    named = {*re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)`", said + " ".join(advice.places.values()))}
    assert {name for name in named if name not in known_to(tap)} <= {"date_header", "read_before"}
