"""Records that say that their row is gone at the source: they are marked with `_sdc_deleted_at`, all others with null there.

What such a record leaves out stays as it is in the target, since it may have no more than its key.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from singerkit_shell.walltime import wall_time
from singerkit_state.instants import Instant, iso_of, zone_named
from singerkit_state.order import UnorderableError, ValueKind, instant_of
from singerkit_wire import jsonexact as exact
from singerkit_wire.encode import Record
from singerkit_wire.stream import DELETED_AT
from tap_rest.paths import Column, Found, Path, column_of
from tap_rest.records.bodies import kind_of
from tap_rest.records.withmembers import member, with_members
from tap_rest.settings.fields import names_of
from tap_rest.settings.stream import StreamSettings

__all__ = ["Deletions", "living"]

_THERE = member(DELETED_AT, b"null")
_TEXTS = ("date-time", "rfc2822", "json_date")
_NUMBERS = {"epoch": 10**8, "epoch_ms": 10**11, "epoch_us": 10**14, "epoch_ns": 10**17}
"""From which number on it is taken for one of these: times from 1973 on."""


class Deletions:
    """Marks the records of one stream; ``tell`` takes a sentence."""

    def __init__(self, settings: StreamSettings, tell: Callable[[str], None]) -> None:
        self._settings, self._deletes, self._tell = settings, settings.deletes, tell
        zone = None if settings.time_zone is None else zone_named(settings.time_zone)
        told = settings.replication_key_format
        names = [*([] if told is None else [told]), *_TEXTS]
        self._kinds = [kind for name in names if (kind := ValueKind.named(name, zone)).is_time]
        self._is_met = self._is_told = False
        self._own = _column(DELETED_AT)
        self._times: list[Column] = []
        if self._deletes is not None:
            self._field = _column(self._deletes.field)
            wanted = (self._deletes.at, self._deletes.field)
            self._times = [_column(text) for text in wanted if text is not None]
            if settings.replication_key is not None:
                self._times.append(column_of(Path("", (settings.replication_key,), False)))
            self._is_marked = names_of(self._deletes.field) == (DELETED_AT,)
            wanted_values = self._deletes.equals
            listed = wanted_values if isinstance(wanted_values, list) else [wanted_values]
            self._equals = {_text(one) for one in listed if one is not UNSET}
            self._near_to_equals = {_loosely(text) for text in self._equals}

    def marked(self, records: Sequence[Raw], where: str) -> Sequence[Raw]:
        """Return the records with their marks.

        Raises:
            BadDataError: a field of that name is there already, or what is to say whether a row is gone does not.
        """
        if self._deletes is None or not records:
            return records
        found = self._field(records, where)
        self._is_met = self._is_met or any(one is not None for one in found)
        own = found if self._is_marked else self._own(records, where)
        gone = [self._says_gone(one, where) for one in found]
        marks = [_THERE] * len(records)
        numbers = [number for number, is_gone in enumerate(gone) if is_gone]
        if numbers:
            times = self._times_of([records[number] for number in numbers], where)
            for number, text in zip(numbers, times, strict=True):
                marks[number] = member(DELETED_AT, json.dumps(text).encode())
        if not self._is_marked and any(one is not None for one in own):
            raise BadDataError(
                f"A record of stream {self._settings.name} has a field `{DELETED_AT}` of its own, where `deletes` puts its mark; name that field in "
                "`deletes.field`."
            )
        return with_members(
            records, [[mark] if there is None else [] for mark, there in zip(marks, own, strict=True)]
        )

    def tell_at_end(self) -> None:
        """Say that no record had the field."""
        if self._deletes is not None and not self._is_met:
            self._tell(
                f"No record of stream {self._settings.name} has `{self._deletes.field}`, by which `deletes` knows that a row is gone. If only deleted "
                "ones have it, all is well; if not, correct it, or ask the API for deleted ones, too (in `params`)."
            )

    def _tell_of_another_spelling(self, raw: bytes) -> None:
        assert self._deletes is not None  # noqa: S101  of the caller
        self._is_told = True
        self._tell(
            f"A record of stream {self._settings.name} has `{redactor.mask_foreign(raw[:20].decode('utf-8', 'replace'))}` at `{self._deletes.field}`, which is near to what "
            "`deletes.equals` has for rows that are gone, and is not that: it is taken for a row that is there. If it is gone, name that value, too."
        )

    def _says_gone(self, found: Found, where: str) -> bool:
        raw = bytes(found) if isinstance(found, Raw) else b"null"
        assert self._deletes is not None  # noqa: S101  of the caller
        if self._deletes.equals is not UNSET:
            text = _scalar(raw)
            is_gone = text in self._equals
            if not is_gone and not self._is_told and _loosely(text) in self._near_to_equals:
                self._tell_of_another_spelling(raw)
            return is_gone
        if raw in (b"null", b"false", b"0", b'""'):
            return False
        # An object there is `"@removed": {"reason": "deleted"}` of OData.
        if raw in (b"true", b"1") or raw[:1] == b"{" or self._moment(raw) is not None:
            return True
        raise BadDataError(
            f"Expected a time, true, an object, false or null at `{self._deletes.field}` in the records of {where}, by which `deletes` of stream "
            f"{self._settings.name} knows whether a row is gone, got another `{kind_of(raw)}`; say which values mean that in `deletes.equals`."
        )

    def _times_of(self, records: Sequence[Raw], where: str) -> list[str]:
        times: list[str | None] = [None] * len(records)
        for column in self._times:
            for number, found in enumerate(column(records, where)):
                if times[number] is None and isinstance(found, Raw):
                    instant = self._moment(bytes(found))
                    times[number] = None if instant is None else iso_of(instant)
        now = (
            datetime.fromtimestamp(wall_time.now(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        )
        return [now if text is None else text for text in times]

    def _moment(self, raw: bytes) -> Instant | None:
        """Return the point in time that a value is, of the replication key's format or another that is known; None: it is none."""
        value = exact.loads(raw)
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            return None
        is_number = not isinstance(value, str) or (value.isascii() and value.isdigit())
        for kind in [*self._kinds, *(_kinds_of_number(Decimal(value)) if is_number else ())]:
            with contextlib.suppress(UnorderableError):
                return instant_of(value, kind)
        return None


def _kinds_of_number(number: Decimal) -> list[ValueKind]:
    """Return the unit since 1970 that a number has by its size, if any."""
    fits = [name for name, least in _NUMBERS.items() if least <= number < least * 1000]
    return [ValueKind.named(name) for name in fits]


def living(records: Sequence[Record]) -> list[Record]:
    """Return the raw records whose rows are not marked as gone: nothing stands below the others any more."""
    raw = [record if isinstance(record, Raw) else Raw(bytes(record)) for record in records]
    marks = _column(DELETED_AT)(raw, "a record")
    return [
        record
        for record, mark in zip(records, marks, strict=True)
        if not isinstance(mark, Raw) or bytes(mark) == b"null"
    ]


def _column(text: str) -> Column:
    return column_of(Path("", names_of(text), False))


def _scalar(raw: bytes) -> str:
    return str(exact.loads(raw)) if raw[:1] == b'"' else raw.decode("utf-8", "replace")


def _loosely(text: str) -> str:
    """Return what a value means by all likelihood, in whatever way it is spelt."""
    plain = text.strip().lower()
    return "true" if plain in ("1", "1.0", "yes", "y", "t") else plain


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
