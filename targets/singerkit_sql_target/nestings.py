"""What becomes of objects inside records: `nested`, for all streams or by globs over their names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from singerkit_catalog.patterns import EVERY, ByPattern, said_by_pattern
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import nearest
from singerkit_sql_target.methods import Method, Methods
from singerkit_sql_target.newest import NewestBy
from singerkit_target.unnesting import TakingApart

__all__ = ["SETTING", "Nestings", "nesting_problems", "nestings_of", "way_of"]

_WHOLE, _FLATTEN, _CHILDREN = "jsonb", "flatten", "child_tables"
_WORDS = (_WHOLE, _FLATTEN, _CHILDREN)
_KEYS = ("as", "depth", "separator")
_DEEPEST = 100
_SEPARATOR = "__"

SETTING: Mapping[str, Any] = {
    "type": ["string", "object"],
    "minProperties": 1,
    "default": _WHOLE,
    "description": "What becomes of objects inside records: `jsonb` stores each in one column; `flatten` gives each of its fields a column "
    "(`address__city`), at any depth or down to `depth`, with `separator` between the names (`__`); `child_tables` does that, and "
    "gives the elements of lists rows in tables of their own (`orders__items`), with the key of the record and their position. For all streams or by globs over their names, of "
    'which the most exact one counts: `{"orders": {"as": "flatten", "depth": 2}, "log_*": "flatten", "*": "jsonb"}`.',
}


@dataclass(frozen=True)
class Nestings(ByPattern[TakingApart | None]):
    """What is done by pattern; None: objects stay whole."""

    by_pattern: Mapping[str, TakingApart | None] = field(default_factory=dict)
    setting: str = "nested"
    default: TakingApart | None = None


def nestings_of(value: Any) -> Nestings:
    """Return what `nested` says; of what has `nesting_problems` nothing."""
    return Nestings(
        {pattern: _way(said) for pattern, said in _read(value).items() if not _problems("", said)}
    )


def nesting_problems(value: Any) -> list[str]:
    """Say what is wrong with `nested`, a sentence each without its full stop."""
    said = _read(value)
    is_one = said.keys() == {EVERY} and (value is said[EVERY] or isinstance(value, str))
    return [
        problem
        for pattern, way in said.items()
        for problem in _problems("nested" if is_one else f"nested.{pattern}", way)
    ]


def _read(value: Any) -> Mapping[str, Any]:
    return said_by_pattern(value, is_one=lambda said: "as" in said)


def _way(said: Any) -> TakingApart | None:
    if isinstance(said, str):
        said = {"as": said}
    if said["as"] == _WHOLE:
        return None
    depth, separator = said.get("depth", _DEEPEST), said.get("separator", _SEPARATOR)
    return TakingApart(depth, separator, lists=said["as"] == _CHILDREN)


def way_of(nestings: Nestings, methods: Methods, newest_by: NewestBy, stream: str) -> TakingApart | None:
    """Return how the records of a stream are taken apart; None: not at all.

    Raises:
        ConfigurationError: the rows of its lists would not be known.
    """
    way, method = nestings.of(stream), methods.of(stream)
    if way is not None and method is Method.APPEND:
        return replace(way, appends=True)
    if way is not None and way.lists and method is Method.HISTORY:
        raise ConfigurationError(
            f"Expected another method at `load_method` for stream `{stream}`, whose lists have tables of their own (`child_tables` at `nested`), got "
            f'`{method.value}`, under which elements would need ranges of their own; nothing of this stream was written: keep its lists whole with `"{stream}": "flatten"` or `"jsonb"` there, and '
            "let a view give their elements rows (docs/target-postgres/nested.md), or upsert it, then run again."
        )
    if way is not None and way.lists and newest_by.of(stream) is not None:
        raise ConfigurationError(
            f"Expected nothing at `newest_by` for stream `{stream}`, whose lists have tables of their own (`child_tables` at `nested`), got "
            f"`{newest_by.of(stream)}`: of an older record its elements would be taken; nothing of this stream was written: leave it out "
            f'(`{{"newest_by": {{"{stream}": null}}}}`), or keep its lists whole with `"{stream}": "flatten"` or `"jsonb"` at `nested`, '
            "and let a view give their elements rows (docs/target-postgres/nested.md), then run again."
        )
    return way


def _problems(place: str, said: Any) -> list[str]:
    if isinstance(said, str):
        return _word_problems(place, said)
    if not isinstance(said, Mapping):
        return [f"Expected a word, or an object with `as`, at {place}, got `{json.dumps(said)[:80]}`"]
    problems = [
        f"Expected one of {_listed(_KEYS)} at {place}, got `{key}`{_hint(key, _KEYS)}"
        for key in said
        if key not in _KEYS
    ]
    if problems:
        return problems
    if "as" not in said:
        return [f"Expected `as` at {place}, which says what becomes of objects"]
    if problems := _word_problems(f"{place}.as", said["as"]):
        return problems
    if said["as"] == _WHOLE and len(said) > 1:
        return [
            f"Expected nothing but `as` at {place}, since `{_WHOLE}` takes no object apart, got `{list(said)[-1]}`"
        ]
    depth, separator = said.get("depth", 1), said.get("separator", _SEPARATOR)
    if isinstance(depth, bool) or not isinstance(depth, int) or not 1 <= depth <= _DEEPEST:
        problems.append(
            f"Expected a whole number from 1 to {_DEEPEST} at {place}.depth, got `{json.dumps(depth)[:80]}`"
        )
    if not isinstance(separator, str) or not separator:
        problems.append(f"Expected text at {place}.separator, got `{json.dumps(separator)[:80]}`")
    return problems


def _word_problems(place: str, word: Any) -> list[str]:
    if word in _WORDS:
        return []
    got = word[:80] if isinstance(word, str) else json.dumps(word)[:80]
    return [f"Expected one of {_listed(_WORDS)}, got `{got}` at {place}{_hint(word, _WORDS)}"]


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _hint(word: Any, words: tuple[str, ...]) -> str:
    near = nearest(word, list(words)) if isinstance(word, str) else None
    return f" (did you mean `{near}`?)" if near else ""
