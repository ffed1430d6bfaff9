"""What a child takes of the records of its parent, and what becomes of it where they lack that.

APIs leave out what is null, so a record without a field says no more than that it is null: it has no children by it, and what
is copied is null. A field that no record has is another matter, since it may be mistyped.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from singerkit_shell.errors import BadDataError
from singerkit_wire import jsonexact as exact
from singerkit_wire.encode import Record
from tap_rest.asking.placeholders import ABSENT
from tap_rest.settings.stream import StreamSettings

__all__ = ["ParentRecords", "as_sent", "value_at"]

_DIGITS = 10_000
_DEPTH = 200
_NO_OBJECT = object()


class ParentRecords:
    """The fields that one stream takes, and which of them the records of this run have had."""

    def __init__(self, settings: StreamSettings) -> None:
        self._name = settings.name
        self._parent = settings.parent.stream if settings.parent else ""
        self._on_missing = settings.parent.on_missing if settings.parent else None
        self._fills = settings.parent_fields
        self._had: set[str] = set()
        self._lacking: set[str] = set()
        self.passed_over: set[str] = set()
        """The fields by which records were passed over that lack them, though nobody has said that they may."""

    def taken(
        self,
        records: Sequence[Record],
        inherited: Mapping[str, Any],
        wanted: Mapping[str, str],
        keys: Mapping[str, str],
        needed: Collection[str],
        schema: Mapping[str, Any],
    ) -> Iterator[dict[str, Any]]:
        """Yield what is taken of each record that has all that fills the request.

        ``inherited`` is what these records carry of those above them, ``schema`` is theirs. ``wanted`` names what is taken of
        them, ``keys`` what tells them apart and may be missing, ``needed`` what of both may not.

        Raises:
            BadDataError: a record lacks what it needs, or no record has what fills the request.
        """
        for record in records:
            parent = as_sent(record, inherited)
            if not all(
                [self._fills_request(parent, field, records, inherited, schema) for field in self._fills]
            ):
                continue
            found = {
                name: self._field(parent, field, is_needed=name in needed) for name, field in wanted.items()
            }
            yield found | {name: self._told(parent.get(key), key) for name, key in keys.items()}

    def unknown(self, schema: Mapping[str, Any]) -> list[str]:
        """Return the fields that no parent of this run had, though one could have, and that the parents' ``schema`` does not name."""
        return sorted(field for field in self._lacking - self._had if not _is_named(field.split("."), schema))

    def _fills_request(
        self,
        parent: Mapping[str, Any],
        field: str,
        records: Sequence[Record],
        inherited: Mapping[str, Any],
        schema: Mapping[str, Any],
    ) -> bool:
        """Tell whether a record has a field that fills the request; ``records`` are those of its page."""
        value = self._value(parent, field)
        if value is not ABSENT:
            self._had.add(field)
            return value is not None
        if self._on_missing == "fail":
            raise BadDataError(
                f"Expected the field `{field}` in every record of stream {self._parent}, which stream {self._name} "
                "is read by (`parent.on_missing` `fail`), got a record without it; correct `path` or `params`."
            )
        if self._on_missing is None:
            is_known = field in self._had or _is_named(field.split("."), schema)
            if not is_known and not any(
                self._value(as_sent(record, inherited), field) is not ABSENT for record in records
            ):
                raise BadDataError(self._told_of_no_such_field(field))
            self.passed_over.add(field)
        self._lacking.add(field)
        return False

    def _told_of_no_such_field(self, field: str) -> str:
        above = (
            " A field of a stream further up is a field of this record once it is copied to it (`parent.copy` there)."
            if field.startswith("parent.")
            else ""
        )
        return (
            f"Expected the field `{field}` in records of stream {self._parent}, which stream {self._name} is read by, got none that "
            'has it; correct `path` or `params`, or set `"on_missing": "skip"` in `parent` if records may lack it.'
            f"{above}"
        )

    def _field(self, parent: Mapping[str, Any], field: str, *, is_needed: bool) -> Any:
        value = self._value(parent, field)
        if value is not ABSENT:
            self._had.add(field)
            return self._told(value, field)
        if is_needed:
            raise BadDataError(
                f"Expected the field `{field}` in every record of stream {self._parent}, as a part of a key of stream {self._name} or of "
                "its own, got a record without it; correct `primary_keys` or `parent.copy`."
            )
        self._lacking.add(field)
        return None

    def _value(self, parent: Mapping[str, Any], field: str) -> Any:
        value = value_at(parent, field)
        if value is _NO_OBJECT:
            raise BadDataError(
                f"Expected the field `{field}` in records of stream {self._parent}, which stream {self._name} is read by, got "
                "one that has text, a number or a list where an object should be; correct `path`, `params` or `parent.copy`."
            )
        return value

    def _told(self, value: Any, field: str) -> Any:
        told = self._plain(value, field)
        self._check_whole(told, field)
        return told

    def _plain(self, value: Any, field: str, depth: int = 0) -> Any:
        """Return a value of JSON with each number at any depth as one that all who write it know, its digits kept."""
        if depth > _DEPTH:
            raise BadDataError(
                f"Expected no more than {_DEPTH} levels as `{field}`, which stream {self._name} is read by, got more; correct "
                "`parent.copy`."
            )
        if isinstance(value, dict):
            return {name: self._plain(part, field, depth + 1) for name, part in value.items()}
        if isinstance(value, list):
            return [self._plain(part, field, depth + 1) for part in value]
        if not isinstance(value, exact.ExactNumber):
            return value
        if not value.is_finite() or abs(value.adjusted()) > _DIGITS:
            raise BadDataError(
                f"Expected a number of less than {_DIGITS} digits as `{field}`, which stream {self._name} is read by, got a "
                "longer one; correct `path` or `parent.copy`."
            )
        return Decimal(value.text)

    def _check_whole(self, value: Any, field: str) -> None:
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise BadDataError(
                f"Expected whole characters as `{field}` of the parent, which stream {self._name} is read by, got half of one "
                "(a lone surrogate); correct the record at the source, `path` or `parent.copy`."
            ) from None


def as_sent(record: Record, inherited: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with what it carries of those above it."""
    return {**inherited, **exact.loads(bytes(record))}


def value_at(record: Mapping[str, Any], field: str) -> Any:
    """Return what a field holds, `ABSENT` where a record lacks it; below a null it is null, and below text it is none of both."""
    value: Any = record
    for part in _way_to(field, record):
        if value is None:
            return None
        if not isinstance(value, dict):
            return _NO_OBJECT
        if part not in value:
            return ABSENT
        value = value[part]
    return value


def _way_to(field: str, record: Mapping[str, Any]) -> Sequence[str]:
    """Return the names that lead to a field: one of the record itself may have been copied to it under a name with dots."""
    way = field.split(".")
    return [field] if field in record and way[0] not in record else way


def _is_named(parts: Sequence[str], schema: Mapping[str, Any]) -> bool:
    first, rest = parts[0], parts[1:]
    named = [one for one in (schema, *schema.get("anyOf", ())) if first in one.get("properties", {})]
    return bool(named) and (not rest or any(_is_named(rest, one["properties"][first]) for one in named))
