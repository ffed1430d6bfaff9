"""Times without an offset in fields that are declared as `date-time`, where `time_zone` says that they are local.

A target takes them for UTC (DESIGN 6), the bookmark for the zone: what is stored would be hours off. In the hour that comes
twice nobody can tell the offset that they lack, so none is added to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from singer_sdk.singerlib import SelectionMask

from singerkit_catalog.schema import properties_of
from singerkit_shell.errors import ConfigurationError
from singerkit_state.instants import zone_named
from singerkit_state.readas import kind_of
from singerkit_wire.encode import RawRecord, RecordEncoder
from tap_rest.settings.stream import StreamSettings

__all__ = ["LocalTimes"]

_LOCAL = re.compile(rb'"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?"')


class LocalTimes:
    """Looks at the pages of one stream, whose ``schema`` is declared; ``warn`` is given a sentence."""

    def __init__(
        self, settings: StreamSettings, schema: Mapping[str, Any], warn: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._warn = warn
        is_local = settings.replication_key is not None and not _is_utc(settings.time_zone)
        self._fields = [
            name
            for name, prop in properties_of(schema).items()
            if is_local and kind_of(prop) == "string date-time" and "x-sql-datatype" not in prop
        ]
        fields: dict[str, Any] = {name: {} for name in self._fields}
        self._reader = RecordEncoder(settings.name, {"properties": fields}, SelectionMask())

    def look(self, records: Sequence[RawRecord]) -> None:
        """Refuse such a time in the replication key, and warn of one in another field.

        Raises:
            ConfigurationError: there is one.
        """
        if not self._fields or not records:
            return
        rows = self._reader.decode(records)
        for name in tuple(self._fields):
            if any(_LOCAL.fullmatch(bytes(value)) for value in self._reader.column(rows, name)):
                self._fields.remove(name)
                self._tell(name)

    def _tell(self, name: str) -> None:
        settings = self._settings
        is_key = name == settings.replication_key
        what = "The replication key" if is_key else "The field"
        sentence = (
            f"{what} `{name}` of stream {settings.name} holds times without an offset, which its `schema` calls `date-time`: a "
            f"target takes them for UTC, and `time_zone` says that they are of {settings.time_zone}. Declare it as "
            '`{"type": "string"}`, which keeps the text, or, for target-postgres, with `"x-sql-datatype": "timestamp"` beside '
            "`format`, which keeps the local time"
        )
        if is_key:
            raise ConfigurationError(f"{sentence}; no row of this page was sent.")
        self._warn(f"{sentence}, unless this field is UTC.")


def _is_utc(time_zone: str | None) -> bool:
    if time_zone is None:
        return True
    zone = zone_named(time_zone)
    return all(datetime(2026, month, 1, tzinfo=zone).utcoffset() == timedelta(0) for month in (1, 7))
