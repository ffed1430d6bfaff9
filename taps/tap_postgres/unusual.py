"""Values that JSON, or the format that a SCHEMA declares, does not have: NaN and infinite numbers; times that are infinite, BC, or beyond the year 9999."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec

from singerkit_shell.encoding import holds
from singerkit_shell.errors import BadDataError
from singerkit_shell.words import counted
from singerkit_sql_tap.tables import Table
from singerkit_wire.encode import members_of
from tap_postgres.catalog import PgColumn
from tap_postgres.types import MAY_BE_INFINITE, Kind

__all__ = ["UnusualValues", "setting_of", "settings_of"]

_NUMBERS = frozenset((b'"NaN"', b'"Infinity"', b'"-Infinity"'))
_SIGNS = (b'NaN"', b'nfinity"')
"""What a page holds that has such a number, or a time that is marked."""
_TYPES = {Kind.DATE: "date", Kind.INSTANT: "timestamptz", Kind.LOCAL: "timestamp"}
_encoder = msgspec.json.Encoder()


class UnusualValues:
    """What the config says of them (`infinity` of numbers, `unusual_times`), and how many were sent as null."""

    def __init__(
        self,
        stream: str,
        columns: Mapping[str, str],
        config: Mapping[str, Any],
        *,
        keys: Collection[str] = (),
        goes_on_by: str | None = None,
        is_of_log: bool = False,
    ) -> None:
        """``columns``: the setting of each that may hold such a value (`settings_of`). ``keys``: the primary key, in which null stands for nothing.

        ``goes_on_by``: the replication key, which has to have an order. ``is_of_log``: what is corrected at the source comes again all the same.
        """
        self._correct = "correct the value at the source"
        if is_of_log:
            self._correct = "the log keeps it, whatever becomes of it at the source: correct it there and start the stream over"
        self._stream, self._keys, self._goes_on_by = stream, frozenset(keys), goes_on_by
        self._policies = {
            "infinity": config.get("infinity", "fail"),
            "unusual_times": config.get("unusual_times", "text"),
        }
        self._settings = {
            name: setting
            for name, setting in columns.items()
            if self._policies[setting] != "text" or name == goes_on_by
        }
        """The columns that are looked at."""
        self.looks_at_more = "unusual_times" in self._settings.values()
        self._nulled = 0

    @property
    def is_needed(self) -> bool:
        """Whether rows have to be looked at."""
        return bool(self._settings)

    def marking(self, table: Table) -> Table:
        """Return a table of whose times the server makes `infinity` where they are to be settled."""
        columns = cast("Sequence[PgColumn]", table.columns)
        return replace(
            table,
            columns=tuple(
                replace(column, expression=_marked(column)) if column.name in self._settings else column
                for column in columns
            ),
        )

    def settled(self, rows: list[bytes]) -> list[bytes]:
        """Return rows of what is `marking` as they are to be sent.

        Raises:
            BadDataError: one holds such a value, and may not.
        """
        is_clean = not self._settings or not self.may_be_in(b"".join(rows))
        return rows if is_clean else [*map(self.settled_row, rows)]

    def may_be_in(self, rows: bytes) -> bool:
        """Tell whether rows of what is `marking` may hold such a value."""
        return bool(self._settings) and any(holds(rows, sign) for sign in _SIGNS)

    def settled_unmarked(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        """Return rows of the log, or of a table that is not `marking`, as they are to be sent."""
        if not self.looks_at_more:
            return self.settled([*rows])
        return [*map(self.settled_row, rows)]

    def settled_row(self, row: bytes) -> bytes:
        """Return a row as it is to be sent; what it leaves out is no matter."""
        values = members_of(row, f"a row of stream `{self._stream}`")
        found = [
            name
            for name, setting in self._settings.items()
            if name in values and _IS_UNUSUAL[setting](bytes(values[name]))
        ]
        for name in found:
            self._refuse(name, self._settings[name])
        self._nulled += len(found)
        return _encoder.encode({**values, **dict.fromkeys(found)}) if found else row

    def _refuse(self, name: str, setting: str) -> None:
        """Let a value be null, or end the run."""
        policy, what = self._policies[setting], _WORDS[setting]
        if name in self._keys or name == self._goes_on_by:
            key = "replication key" if name == self._goes_on_by else "primary key"
            raise BadDataError(
                f"Column `{name}` of `{self._stream}`, which is of its {key}, holds {what}, whatever `{setting}` says; what was confirmed by "
                "the target is safe: {self._correct}, or choose another key in `streams`."
            )
        if policy == "fail":
            raise BadDataError(
                f"Column `{name}` of `{self._stream}` holds {what}; what was confirmed by the target is safe: {self._correct}, "
                f'set `"{setting}": "null"` or `"text"`, or do not select the column.'
            )

    def tell(self, logger: logging.Logger) -> None:
        """Warn of how many were sent as null."""
        if self._nulled:
            logger.warning(
                "Stream `%s`: %s sent as null, which JSON or the format of the column does not have (`infinity`, `unusual_times`).",
                self._stream,
                counted(self._nulled, "value"),
            )


_WORDS = {
    "infinity": "NaN or an infinite number, which JSON does not have",
    "unusual_times": "a time that is infinite, BC or beyond the year 9999, which the format of its column does not have",
}


def setting_of(kind: Kind, schema: Mapping[str, Any]) -> str | None:
    """Return the setting that says what becomes of such a value of a column; None: it has none."""
    if kind in MAY_BE_INFINITE:
        return "infinity"
    return "unusual_times" if kind in _TYPES and "format" in schema else None


def settings_of(columns: Iterable[PgColumn]) -> dict[str, str]:
    """Return the setting of each column that may hold such a value."""
    found = {column.name: setting_of(column.kind, column.schema) for column in columns}
    return {name: setting for name, setting in found.items() if setting is not None}


def _marked(column: PgColumn) -> str:
    if column.kind not in _TYPES:
        return column.expression
    time = f"{column.expression}::pg_catalog.{_TYPES[column.kind]}"  # a domain might refuse the mark
    return f"CASE WHEN ({time} >= '0001-01-01' AND {time} < '10000-01-01') OR {time} IS NULL THEN {time} ELSE 'infinity' END"


def _is_unusual_time(text: bytes) -> bool:
    return text != b"null" and (text[5:6] != b"-" or text.endswith(b' BC"'))


_IS_UNUSUAL = {"infinity": _NUMBERS.__contains__, "unusual_times": _is_unusual_time}
