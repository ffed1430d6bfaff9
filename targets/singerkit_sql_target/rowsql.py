"""Rules of a record as conditions on a column, with the verdict that the judge of records gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from singerkit_quality.matching import PatternError, pattern_of
from singerkit_quality.rules import Rule
from singerkit_quality.textrules import SIGNS, TYPES
from singerkit_sql_target.dialect import Words
from singerkit_sql_target.letters import literal

__all__ = ["NotHere", "family_of", "row_condition"]


class NotHere(ValueError):
    """A rule cannot be judged on a column so that it means what it does in a load; says why."""


_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "number": ("bigint", "integer", "smallint", "numeric", "decimal", "hugeint", "tinyint", "int"),
    "rounded": ("double", "real", "float"),
    "text": ("text", "character varying", "varchar"),
    "date": ("date",),
    "instant": ("timestamp with time zone", "timestamptz"),
    "moment": ("timestamp",),
    "boolean": ("boolean",),
}


def family_of(type_: str) -> str:
    """Return what the types of a database have in common that have the same values; of others their name."""
    lower = type_.lower()
    return next((family for family, names in _FAMILIES.items() if lower.startswith(names)), lower)


def row_condition(rule: Rule, column: str, type_: str, words: Words) -> str:
    """Return the condition of rows that break a rule, of those in which ``column`` is not null; of `not_null` of all.

    Raises:
        NotHere: the column is none for which that can be said.
    """
    return _CONDITIONS[rule.kind](rule.said, column, family_of(type_), words)


def _not_null(_said: Mapping[str, Any], column: str, _family: str, _words: Words) -> str:
    return f"{column} IS NULL"


def _range(said: Mapping[str, Any], column: str, family: str, _words: Words) -> str:
    as_literal = _BOUNDS.get(family)
    if as_literal is None:
        why = "its numbers are rounded" if family == "rounded" else "it has no numbers, dates or date-times"
        raise NotHere(f"the type of its column is one of which it cannot be said as of a record: {why}")
    bounds = (("min", ">="), ("max", "<="))
    kept = [f"{column} {sign} {as_literal(said[name])}" for name, sign in bounds if name in said]
    return f"NOT ({' AND '.join(kept)})"


def _number(value: Any) -> str:
    if isinstance(value, str | bool):
        raise NotHere("a bound is no number, and its column has numbers")
    return f"({Decimal(str(value)):f})"


def _date(value: Any) -> str:
    return f"CAST({literal(_read(date.fromisoformat, value).isoformat())} AS date)"


def _instant(value: Any) -> str:
    return f"CAST({literal(_utc(value).isoformat())} AS timestamp with time zone)"


def _moment(value: Any) -> str:
    return f"CAST({literal(_utc(value).replace(tzinfo=None).isoformat())} AS timestamp)"


def _utc(value: Any) -> datetime:
    found: datetime = _read(datetime.fromisoformat, value)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _read(read: Callable[[str], Any], value: Any) -> Any:
    try:
        return read(value)
    except (TypeError, ValueError):
        raise NotHere("a bound is no date or date-time, and its column has such") from None


_BOUNDS: Mapping[str, Callable[[Any], str]] = {
    "number": _number,
    "date": _date,
    "instant": _instant,
    "moment": _moment,
}


def _accepted(said: Mapping[str, Any], column: str, family: str, words: Words) -> str:
    values = said["values"]
    if family == "text" and all(isinstance(value, str) for value in values):
        return f"{words.plain_text(column)} NOT IN ({', '.join(map(literal, values))})"
    if family == "number" and not any(isinstance(value, str | bool) for value in values):
        return f"{column} NOT IN ({', '.join(map(_number, values))})"
    if family == "boolean" and all(isinstance(value, bool) for value in values):
        return f"{column} NOT IN ({', '.join(str(value).lower() for value in values)})"
    raise NotHere("the type of its column is one of which it cannot be said as of a record")


def _length(said: Mapping[str, Any], column: str, family: str, _words: Words) -> str:
    _need_text(family)
    bounds = (("min", ">="), ("max", "<="))
    kept = [f"char_length({column}) {sign} {int(said[name])}" for name, sign in bounds if name in said]
    return f"NOT ({' AND '.join(kept)})"


def _matches(said: Mapping[str, Any], column: str, family: str, words: Words) -> str:
    _need_text(family)
    try:
        return f"NOT {words.matches(column, pattern_of(said['pattern']))}"
    except PatternError as error:
        raise NotHere(f"its pattern {error}") from None


def _type(said: Mapping[str, Any], column: str, family: str, words: Words) -> str:
    _need_text(family)
    return f"NOT {words.matches(column, TYPES[said['type']])}"


def _encoding(_said: Mapping[str, Any], column: str, family: str, words: Words) -> str:
    _need_text(family)
    return words.matches(column, SIGNS, whole=False)


def _need_text(family: str) -> None:
    if family != "text":
        raise NotHere("its column has no texts that are kept as they came")


_CONDITIONS: Mapping[str, Callable[[Mapping[str, Any], str, str, Words], str]] = {
    "not_null": _not_null,
    "range": _range,
    "accepted": _accepted,
    "matches": _matches,
    "length": _length,
    "type": _type,
    "encoding": _encoding,
}
