"""What a rule of a row makes of a value, and what shows that a whole column keeps it without a look at each value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec

from singerkit_quality.columns import ColumnView
from singerkit_quality.matching import Pattern, pattern_of
from singerkit_quality.rules import Rule
from singerkit_quality.textrules import SIGNS, TYPES
from singerkit_wire.kinds import Kind

__all__ = ["NUMBERS", "CannotJudge", "RowTest", "row_test"]

NUMBERS = frozenset({Kind.INTEGER, Kind.BIG_INTEGER, Kind.NUMBER})
_SHORT_BOUND = 15
"""Characters of a bound that no rounding moves to another number of as few."""


class CannotJudge(ValueError):
    """A rule is none for a field of this kind; says why, as in `needs a text`."""


class RowTest:
    """A rule of values that are there: ``keeps`` tells of one; ``surely_kept`` tells of a column that all do, where that is cheap to see."""

    def __init__(
        self,
        keeps: Callable[[Any], bool],
        surely_kept: Callable[[ColumnView], bool] = lambda _column: False,
        *,
        judges_null: bool = False,
    ) -> None:
        self._keeps, self._surely_kept, self._judges_null = keeps, surely_kept, judges_null

    def broken(self, column: ColumnView) -> Sequence[int]:
        """Return the places in a column whose values break the rule."""
        if self._judges_null:
            return column.nulls() if column.has_null else ()
        if self._surely_kept(column):
            return ()
        bad = {value for value in column.distinct() if value is not None and not self._is_kept(value)}
        return [place for place, value in enumerate(column.values) if value in bad] if bad else ()

    def is_broken_by(self, value: Any) -> bool:
        """Tell whether a value, not null, breaks the rule."""
        return not self._is_kept(value)

    def _is_kept(self, value: Any) -> bool:
        try:
            return self._keeps(value)
        except (TypeError, InvalidOperation):  # not even of the kind that its schema says, or no number
            return False


def row_test(rule: Rule, kind: Kind) -> RowTest:
    """Return what judges a rule on a field whose schema says ``kind``.

    Raises:
        CannotJudge: it is none for such a field.
    """
    return _MAKERS[rule.kind](rule.said, kind)


def _not_null(_said: Mapping[str, Any], _kind: Kind) -> RowTest:
    return RowTest(lambda value: value is not None, judges_null=True)


def _range(said: Mapping[str, Any], kind: Kind) -> RowTest:
    read = _BOUNDS.get(kind)
    if read is None:
        raise CannotJudge("needs a number, a date or a date-time")
    low, high = (read(said[name]) if name in said else None for name in ("min", "max"))

    def keeps(value: Any) -> bool:
        return (low is None or value >= low) and (high is None or value <= high)

    return RowTest(keeps, _between(low, high, kind))


def _between(low: Any, high: Any, kind: Kind) -> Callable[[ColumnView], bool]:
    """A number that is rounded is strictly between two others only where it is itself, and is one of them only where it has few digits."""
    if kind not in NUMBERS:
        return lambda column: column.is_between(low, high)
    bounds = [one for one in (low, high) if one is not None]
    inside, up_to = _reader(low, high, "gt", "lt"), _reader(low, high, "ge", "le")
    are_short = all(len(str(one)) <= _SHORT_BOUND for one in bounds)

    def surely(column: ColumnView) -> bool:
        if column.raw_lines is None:
            return column.is_between(low, high)
        return column.has_numbers_of(inside) or (
            are_short and column.has_short_numbers() and column.has_numbers_of(up_to)
        )

    return surely


def _reader(low: Decimal | None, high: Decimal | None, above: str, below: str) -> msgspec.json.Decoder[Any]:
    said = {name: _rounded(bound) for name, bound in ((above, low), (below, high)) if bound is not None}
    limits = {name: bound for name, bound in said.items() if math.isfinite(bound)}
    return msgspec.json.Decoder(list[Annotated[float, msgspec.Meta(**limits)] | None])


def _rounded(bound: Decimal) -> float:
    try:
        return float(bound)
    except OverflowError:
        return math.copysign(math.inf, bound)


def _number(value: Any) -> Decimal:
    if isinstance(value, str):
        raise CannotJudge("has a text for a bound, and needs a number, as its field is one")
    return Decimal(str(value))


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise CannotJudge("has a bound that is no date (`2026-11-29`), and its field is one") from None


def _moment(value: Any) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise CannotJudge(
            "has a bound that is no date-time (`2026-11-29T12:00:00Z`), and its field is one"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_BOUNDS: Mapping[Kind, Callable[[Any], Any]] = {
    **dict.fromkeys(NUMBERS, _number),
    Kind.DATE: _date,
    Kind.DATE_TIME: _moment,
}


def _accepted(said: Mapping[str, Any], kind: Kind) -> RowTest:
    values = said["values"]
    texts = all(isinstance(value, str) for value in values)
    truths = all(isinstance(value, bool) for value in values)
    numbers = not any(isinstance(value, str | bool) for value in values)
    if kind is Kind.STRING and texts:
        return _one_of(frozenset(values), [msgspec.json.encode(value) for value in values])
    if kind in NUMBERS and numbers:
        return _one_of(frozenset(map(_number, values)), [str(value).encode() for value in values])
    if kind is Kind.BOOLEAN and truths:
        return _one_of(frozenset(values), [])
    raise CannotJudge(
        "needs a text, a number or a boolean, and values that are all of the same kind as the field"
    )


def _one_of(values: frozenset[Any], written: Sequence[bytes]) -> RowTest:
    admitted, on_wire = values | {None}, frozenset([*written, b"null"])
    return RowTest(values.__contains__, lambda column: column.is_within(admitted, on_wire))


def _length(said: Mapping[str, Any], kind: Kind) -> RowTest:
    _need_text(kind)
    least, most = said.get("min", 0), said.get("max", math.inf)

    return RowTest(lambda value: least <= len(value) <= most, lambda column: column.has_lengths(least, most))


def _matches(said: Mapping[str, Any], kind: Kind) -> RowTest:
    _need_text(kind)
    return _of_pattern(pattern_of(said["pattern"]))


def _type(said: Mapping[str, Any], kind: Kind) -> RowTest:
    _need_text(kind)
    return _of_pattern(TYPES[said["type"]])


def _of_pattern(pattern: Pattern) -> RowTest:
    are_all = pattern.matches_lines

    def surely(column: ColumnView) -> bool:
        texts = column.texts
        return (
            texts is not None
            and are_all(texts.lines, texts.are_quoted)
            and all(map(pattern.matches, texts.others))
        )

    return RowTest(pattern.matches, surely)


def _encoding(_said: Mapping[str, Any], kind: Kind) -> RowTest:
    _need_text(kind)
    found = re.compile(SIGNS.in_words_of("re")).search

    def surely(column: ColumnView) -> bool:
        texts = column.texts
        return texts is not None and not any(
            not text.isascii() and found(text) for text in (texts.lines, *texts.others)
        )

    return RowTest(lambda value: found(value) is None, surely)


def _need_text(kind: Kind) -> None:
    if kind is not Kind.STRING:
        raise CannotJudge("needs a text")


_MAKERS: Mapping[str, Callable[[Mapping[str, Any], Kind], RowTest]] = {
    "not_null": _not_null,
    "range": _range,
    "accepted": _accepted,
    "matches": _matches,
    "length": _length,
    "type": _type,
    "encoding": _encoding,
}
