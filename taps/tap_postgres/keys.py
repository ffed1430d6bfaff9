"""Values by which rows are asked for: as texts that PostgreSQL reads again as the same value, in the order of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg2 import extensions

from singerkit_postgres.connect import Connection
from singerkit_shell.errors import ConfigurationError
from singerkit_sql_tap.contract import KeyOrder
from singerkit_sql_tap.looks import AsStored
from tap_postgres.catalog import PgColumn
from tap_postgres.types import ORDERED, Kind

__all__ = ["InUtc", "compared", "give_texts", "order_of"]

_TEXTS = (17, 114, 1082, 1083, 1186, 1266, 3802)
"""bytea, json, date, time, interval, timetz, jsonb: psycopg2 would make objects of them that say less."""
_MOMENTS = (1114, 1184)
_AS_NUMBERS: Mapping[Kind, str] = {
    Kind.REAL: "{}::pg_catalog.text::pg_catalog.float8",
    Kind.MONEY: "{}::pg_catalog.numeric",
}
"""Kinds that compare with no number, or not as their digits say, and what makes the number of one that is sent."""
_NUMBERS_AS_TEXT = ("oid", "xid", "xid8", "cid", "pg_lsn", "interval")
"""Types whose values grow otherwise than the texts that are sent of them: 10 stands before 9."""
_UNORDERED = (Kind.ARRAY, Kind.BOOLEAN, Kind.BYTES, Kind.COMPOSITE, Kind.HSTORE, Kind.JSON)


def give_texts(connection: Connection) -> None:
    """Have a connection give times and bytes as texts; those of moments as JSON has them."""
    extensions.register_type(extensions.new_type(_TEXTS, "TEXTS", lambda value, _: value), connection)
    extensions.register_type(extensions.new_type(_MOMENTS, "MOMENTS", _moment), connection)


def _moment(value: str | bytes | None, _: Any) -> str | None:
    if not isinstance(value, str):
        return None
    whole = value.replace(" ", "T", 1)
    return f"{whole}:00" if whole[-3:-2] in "+-" else whole


def compared(column: str, of: PgColumn) -> str:
    """Return how a column is compared and sorted, so that the order is that of `singerkit_state.order`."""
    if of.kind in ORDERED:
        return column
    if of.kind in _AS_NUMBERS:
        return _AS_NUMBERS[of.kind].format(column)
    if of.kind is Kind.TEXT and of.is_by_code_point:
        return column
    return (
        f'{column} COLLATE "C"'
        if of.has_collation and of.kind is Kind.TEXT
        else f'{column}::pg_catalog.text COLLATE "C"'
    )


class InUtc:
    """The order of times without an offset, of which PostgreSQL would pass over one that it is asked for (`singerkit_sql_tap.contract.KeyOrder`)."""

    def asked(self, value: Any) -> Any:
        """Return a moment as it is written in UTC, without an offset."""
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return value
        return value if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def order_of(stream: str, column: PgColumn, told: str | None) -> KeyOrder | None:
    """Return how a replication key compares; None: it is text, of which what stands there tells; ``told``: what the config says of it.

    Raises:
        ConfigurationError: its values have no order.
    """
    if column.kind in _UNORDERED or column.sql_type in _NUMBERS_AS_TEXT:
        raise ConfigurationError(
            f"The replication key `{column.name}` of stream `{stream}` is of type {column.sql_type}, whose values have no order that a "
            "bookmark could follow; no row was read. Choose another key, or read the stream as a whole."
        )
    if column.kind is Kind.LOCAL:
        return InUtc()
    return AsStored() if told == "text" or column.kind in (*ORDERED, *_AS_NUMBERS) else None
