"""`filter`: records stay of which one field compares as it should; the state goes on for those that do not."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from singerkit_catalog.admitted import string_formats, types_of
from singerkit_map.block import Bad, Block, texts_of
from singerkit_map.contract import BadValue, Impossible, Operation, Schema, Shape
from singerkit_map.jsontexts import check_readable, values
from singerkit_map.paths import path_of, schema_at, value_at
from singerkit_shell.errors import ConfigurationError
from singerkit_wire.stream import DELETED_AT

__all__ = ["SETTINGS", "made", "moment_of"]

_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "less": operator.lt,
    "at_most": operator.le,
    "greater": operator.gt,
    "at_least": operator.ge,
}
_TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": operator.contains,
}
_SAME = ("equal", "not_equal", "in", "not_in")
_NOTHING = ("null", "not_null")

SETTINGS: Mapping[str, Any] = {
    "description": "Records stay of which one field compares as it should, with values of the kind that its SCHEMA says. Null, and a field that is left out, is equal to nothing and in no order. "
    "A record that says that its row was deleted always stays; of a stream that tells of deleted rows one that leaves the field out is a bad value, since nobody "
    "knows what it is. A row that changes so that it would not stay any more is in the target what it was.",
    "required": ["field", "is"],
    "properties": {
        "field": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The field, inside objects too.",
        },
        "is": {
            "type": "string",
            "secret": False,
            "enum": [*_SAME, *_ORDERS, *_TEXTS, *_NOTHING],
            "description": "How it compares. Points in time (`format: date-time` in the SCHEMA) compare as such, other texts by their characters.",
        },
        "value": {
            "description": "What with: a text, a number, a boolean; with `in` and `not_in` a list of them, with `null` and `not_null` nothing.",
        },
    },
}


@dataclass(frozen=True)
class _Filter:
    place: str
    field: str
    stays: Callable[[Any], bool]
    """Of a value; what is left out is null."""
    in_time: Callable[[Any], bool]
    """The same where the field holds points in time."""
    wanted: Sequence[Any] = ()
    """What it compares with."""
    is_of_text: bool = False
    """Whether it compares characters, whatever the text is."""
    is_of_rows = True

    def outcome(self, shape: Shape) -> Shape:
        path = path_of(self.field, shape.fields)
        if path.in_lists:
            raise Impossible(f"`{self.field}` is in a list: which element is meant?")
        schema = schema_at(shape.fields, path)
        for value in self.wanted:
            self._check_comparable(value, schema)
        return shape

    def _check_comparable(self, value: Any, schema: Schema) -> None:
        """See that a value is of a kind that the field may hold.

        Raises:
            Impossible: it equals no value of the field, whatever comes.
        """
        kind = _JSON_KINDS[_kind(value)]
        has = {"number" if one == "integer" else one for one in types_of(schema) - {"null"}}
        if has and kind not in has:
            raise Impossible(
                f"`{self.field}` is {' or '.join(sorted(map(_named, has)))}, and is compared with {_named(kind)}",
                "value",
            )
        formats = set(string_formats(schema))
        if kind == "string" and not self.is_of_text and len(formats) == 1:
            [format_] = formats
            is_such = _TIMES.get(format_)
            if is_such is not None and not is_such(value):
                raise Impossible(
                    f"`{self.field}` is of the format `{format_}`, and is compared with another text", "value"
                )

    def apply(self, block: Block, before: Shape, /) -> None:
        path = path_of(self.field, before.fields)
        is_time = "date-time" in string_formats(schema_at(before.fields, path))
        stays = self.in_time if is_time else self.stays
        keys = texts_of(block.columns[path.top])
        distinct = [key for key in dict.fromkeys(keys) if key is not None]
        verdicts: dict[bytes | None, bool | str] = {None: stays(None)}
        for text, value in zip(distinct, values(distinct), strict=True):
            try:
                check_readable(value)
                verdicts[text] = stays(value_at(value, path.steps, None))
            except BadValue as bad:
                verdicts[text] = str(bad)
        marks = block.columns.get(DELETED_AT)
        if marks is None and not block.bad and not any(map(_is_bad, verdicts.values())):
            block.keep(list(map(verdicts.__getitem__, keys)))  # type: ignore[arg-type]
            return
        found: list[bool] = []
        deleted = frozenset(block.deleted())
        for row, key in enumerate(keys):
            verdict = verdicts[key]
            is_gone = row in deleted
            if key is None and marks is not None:
                verdict = "expected the field, which a change that leaves it out does not tell"
            if isinstance(verdict, str) and not is_gone:
                is_null = block.nulled(row, Bad(self.field, verdict, self.place))
                verdict = stays(None) if is_null else True
            found.append(is_gone or bool(verdict) or row in block.bad)
        block.keep(found)


def _is_bad(verdict: bool | str) -> bool:
    return isinstance(verdict, str)


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says.

    Raises:
        ConfigurationError: the value does not go with the comparison.
    """
    how, value = said["is"], said.get("value")
    if how in _NOTHING:
        if "value" in said:
            raise _wrong(place, f"no `value` beside `{how}`")
        stays = (lambda found: found is None) if how == "null" else (lambda found: found is not None)
        return _Filter(place, said["field"], stays, stays)
    is_of_text = how in _TEXTS
    wanted = value if isinstance(value, list) else [value]
    if how in ("in", "not_in") and not isinstance(value, list):
        raise _wrong(place, f"a list at `value` beside `{how}`")
    if how not in ("in", "not_in") and (isinstance(value, list) or value is None):
        raise _wrong(place, f"one value at `value` beside `{how}`")
    if not wanted or any(one is None or isinstance(one, dict | list) for one in wanted):
        raise _wrong(place, "texts, numbers or booleans at `value`")
    if how in _TEXTS and not isinstance(value, str):
        raise _wrong(place, f"a text at `value` beside `{how}`")
    exact = [Decimal(repr(one)) if isinstance(one, float) else one for one in wanted]
    stays = _judge(how, exact)
    in_time = stays if is_of_text else _judge(how, [moment_of(one) for one in exact], moment_of)
    return _Filter(place, said["field"], stays, in_time, exact, is_of_text)


def _judge(
    how: str, wanted: list[Any], read: Callable[[Any], Any] = lambda value: value
) -> Callable[[Any], bool]:
    if how in _TEXTS:
        holds = _TEXTS[how]
        return lambda found: found is not None and holds(_like(found, wanted[0]), wanted[0])
    if how in _ORDERS:
        compares = _ORDERS[how]
        return lambda found: found is not None and compares(_like(read(found), wanted[0]), wanted[0])
    is_wanted = how in ("equal", "in")
    known = {(_kind(one), one) for one in wanted}

    def stays(found: Any) -> bool:
        if found is None or isinstance(found, dict | list):
            return not is_wanted
        value = read(found)
        return ((_kind(value), value) in known) == is_wanted

    return stays


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | Decimal) else type(value).__name__


def _like(found: Any, wanted: Any) -> Any:
    """Return a value of the kind of what it is compared with.

    Raises:
        BadValue: it is of another.
    """
    if _kind(found) != _kind(wanted) or (isinstance(found, Decimal) and found.is_nan()):
        names = {"str": "a text", "number": "a number", "boolean": "a boolean", "datetime": "a point in time"}
        raise BadValue(f"expected {names.get(_kind(wanted), 'another value')} to compare")
    return found


def moment_of(value: Any) -> Any:
    """Return a text as the point in time that it says, in UTC where it has no offset; what is none as it is."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


_JSON_KINDS = {"str": "string", "number": "number", "boolean": "boolean"}
_TIMES: Mapping[str, Callable[[str], bool]] = {
    "date-time": lambda value: isinstance(moment_of(value), datetime),
    "date": _is_date,
}


def _named(kind: str) -> str:
    return {
        "string": "text",
        "number": "a number",
        "boolean": "a boolean",
        "object": "an object",
        "array": "a list",
    }.get(kind, kind)


def _wrong(place: str, expected: str) -> ConfigurationError:
    return ConfigurationError(f"Expected {expected} at `{place}`. Nothing was read.")
