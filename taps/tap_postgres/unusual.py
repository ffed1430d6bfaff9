"""NaN and infinite numbers, which JSON does not have, and of which `row_to_json` makes text."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import cast

import msgspec

from singerkit_shell.errors import BadDataError
from singerkit_sql_tap.tables import Table
from tap_postgres.catalog import PgColumn
from tap_postgres.types import Kind

__all__ = ["UnusualNumbers"]

_TEXTS = frozenset((b'"NaN"', b'"Infinity"', b'"-Infinity"'))
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


class UnusualNumbers:
    """What the config says of them (`infinity`), and how many were sent as null."""

    def __init__(
        self, stream: str, table: Table, columns: Sequence[str], policy: str, exact: Collection[str]
    ) -> None:
        """``exact``: columns that may hold none, whatever ``policy`` says."""
        found = [cast(PgColumn, table.column(name)) for name in columns]
        numbers = [column.name for column in found if column.kind in (Kind.NUMBER, Kind.DOUBLE)]
        self._stream, self._policy, self._exact = stream, policy, exact
        self._columns = [name for name in numbers if policy != "text" or name in exact]
        self._nulled = 0

    def settled(self, rows: list[bytes]) -> list[bytes]:
        """Return rows as they are to be sent.

        Raises:
            BadDataError: one holds such a number, and may not.
        """
        if not self._columns:
            return rows
        joined = b"".join(rows)
        if b'NaN"' not in joined and b'Infinity"' not in joined:
            return rows
        return [self._settled(row) for row in rows]

    def _settled(self, row: bytes) -> bytes:
        values = _decoder.decode(row)
        found = [name for name in self._columns if bytes(values[name]) in _TEXTS]
        if not found:
            return row
        self._refuse(found)
        self._nulled += len(found)
        return _encoder.encode({**values, **dict.fromkeys(found)})

    def _refuse(self, found: Sequence[str]) -> None:
        in_keys = [name for name in found if name in self._exact]
        if in_keys and self._policy != "fail":
            raise BadDataError(
                f"Column `{in_keys[0]}` of `{self._stream}`, which is of its primary key or its replication key, holds NaN or an infinite "
                "number, which JSON does not have, whatever `infinity` says; what was confirmed by the target is safe: correct the value "
                "at the source, or choose another key in `streams`."
            )
        if self._policy == "fail":
            raise BadDataError(
                f"Column `{found[0]}` of `{self._stream}` holds NaN or an infinite number, which JSON does not have; what was confirmed by "
                'the target is safe: correct the value at the source, set `"infinity": "null"` or `"text"`, or do not select the column.'
            )

    def tell(self, logger: logging.Logger) -> None:
        """Warn of how many were sent as null."""
        if self._nulled:
            logger.warning(
                "%d numbers of stream `%s` that are NaN or infinite were sent as null (`infinity`).",
                self._nulled,
                self._stream,
            )
