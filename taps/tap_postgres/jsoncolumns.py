"""Columns of `json` and `jsonb` whose SCHEMA is found from some of their rows, and grows before a value that it does not describe.

What such a SCHEMA says is what a target takes apart. A field that it does not name could be left out there, and a value of another type refused; so each
value is held against it before it is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from singerkit_catalog.compiled import Field, Inexpressible, Style, compiled, struct
from singerkit_catalog.inference import SchemaInference, merge_schemas
from singerkit_shell.errors import ConfigurationError
from singerkit_sql_tap.contract import Row
from singerkit_sql_tap.queries import Query, page_query
from singerkit_sql_tap.tables import Table
from tap_postgres.catalog import PARTITIONED, TABLE, PgColumn, Relation
from tap_postgres.config import samples_json
from tap_postgres.database import PostgresDatabase
from tap_postgres.types import ANY_JSON, Kind

__all__ = ["SAMPLED_ROWS", "JsonColumns", "check_json_settings", "json_columns", "sampled"]

SAMPLED_ROWS = 1_000
MOST_CHANGES = 100
"""So often the SCHEMA of a stream may grow in one run; what changes more often has no structure."""
_LARGEST_BYTES = 20_000
"""As stored. What is larger is not looked at before it is read, so that a sample fits into memory."""
_LARGE_ROWS = 20_000
_NO_FORMATS = 1 << 62
_CLOSED = Style(object_of=lambda fields, _additional: struct(fields, False))
"""Of an object whose fields are named, another field is news."""
_ANYTHING: Mapping[str, Any] = {"type": ["null", *ANY_JSON]}

Schema = Mapping[str, Any]
Schemas = Mapping[str, Schema]


def json_columns(table: Table, names: Collection[str]) -> list[str]:
    """Return which of the columns hold JSON."""
    return [one.name for one in table.columns if cast(PgColumn, one).kind is Kind.JSON and one.name in names]


def check_json_settings(config: Mapping[str, Any], tables: Sequence[Table]) -> None:
    """See that what `streams` says of JSON is about a table that has some.

    Raises:
        ConfigurationError: it is not.
    """
    for number, said in enumerate(config.get("streams", ())):
        meant = [table for table in tables if table.is_meant_by(said["name"])]
        if samples_json(said) and not any(json_columns(table, table.column_names) for table in meant):
            raise ConfigurationError(
                f"`streams[{number}].json_schema` (`{said['name']}`) has no effect, since no table that is meant has a column of json or jsonb; "
                "nothing was read. Take it away."
            )


def sampled(database: PostgresDatabase, relation: Relation, names: Sequence[str]) -> dict[str, Schema]:
    """Return the SCHEMA of each of the columns that holds objects, or lists, in some rows of a table, and nothing else but null.

    A column of scalars stays one of any JSON: a target would make a column of numbers of it, or one of texts.
    """
    small = [
        f"CASE WHEN pg_catalog.pg_column_size({column}) <= {_LARGEST_BYTES} THEN {column} END AS {database.quoted(name)}"
        for name, column in ((name, database.column(name)) for name in names)
    ]

    def rows_of(source: str) -> list[Row]:
        some = page_query(source, small, (), (), SAMPLED_ROWS)
        query = Query(f"SELECT pg_catalog.row_to_json(x.*)::pg_catalog.text FROM ({some.sql}) AS x")
        return database.rows(query, f"looking at the JSON of table `{relation.name}`")

    source = database.source(relation)
    spread = rows_of(source + _spread(relation)) if _is_large(relation) else []
    found = _seen(row.encode() for (row,) in spread or rows_of(source))
    return {
        name: schema for name, schema in found.items() if _types(schema) - {"null"} in ({"object"}, {"array"})
    }


def _is_large(relation: Relation) -> bool:
    return relation.kind in (TABLE, PARTITIONED) and (relation.estimate or 0) > _LARGE_ROWS


def _spread(relation: Relation) -> str:
    """Return what takes rows from all over a large table, the same ones each time, and perhaps none."""
    return f" TABLESAMPLE SYSTEM ({100 * SAMPLED_ROWS / (relation.estimate or 1):.9f}) REPEATABLE (0)"


def _seen(rows: Iterable[bytes]) -> dict[str, Schema]:
    """Return the SCHEMA of each field of some rows. Texts have no format: one that has another one would be refused."""
    inference = SchemaInference()
    inference.observe(rows)
    return dict(inference.schema(format_values=_NO_FORMATS)["properties"])


def _types(schema: Schema) -> set[str]:
    return {*schema["type"]}


class JsonColumns:
    """The JSON columns of a stream in one run; ``grow`` is told the SCHEMA of each that is another one from the next row on."""

    def __init__(
        self, stream: str, schemas: Schemas, grow: Callable[[Schemas], None], logger: logging.Logger
    ) -> None:
        self._stream, self._grow, self._logger = stream, grow, logger
        self._schemas: dict[str, Schema] = dict(schemas)
        self._changes = 0
        self._whole = _decoder(self._schemas)

    def fit(self, rows: Sequence[bytes], columns: Collection[str]) -> None:
        """See to it that the SCHEMA describes the JSON of rows, which are sent next, in ``columns``, those that hold any now."""
        if not self._schemas or _reads(self._whole, rows):
            return
        seen = _seen(rows)
        odd = [
            name
            for name, schema in self._schemas.items()
            if name in columns and name in seen and not _reads(_decoder({name: schema}), rows)
        ]
        grown = {name: merge_schemas(self._schemas[name], seen[name]) for name in odd}
        news = {name: schema for name, schema in grown.items() if schema != self._schemas[name]}
        if news:
            self._take(news)

    def _take(self, news: Schemas) -> None:
        self._changes += 1
        if self._changes > MOST_CHANGES:
            news = dict.fromkeys(news, _ANYTHING)
            self._logger.warning(
                "The JSON in %s of stream `%s` has had other fields or types %d times in this run, as what has no structure: it is declared as any "
                'JSON from here on. To have it so from the beginning, leave `"json_schema": "sample"` away.',
                ", ".join(f"`{name}`" for name in news),
                self._stream,
                MOST_CHANGES,
            )
        self._schemas = {
            name: schema for name, schema in (self._schemas | {**news}).items() if schema is not _ANYTHING
        }
        self._whole = _decoder(self._schemas)
        self._grow(news)


def _decoder(schemas: Schemas) -> msgspec.json.Decoder[Any] | None:
    """Return what decodes rows whose JSON is described; None: msgspec has no type for it."""
    try:
        fields = [Field(name, compiled(schema, _CLOSED), False) for name, schema in schemas.items()]
        return msgspec.json.Decoder(struct(fields, None))
    except (Inexpressible, TypeError, ValueError):
        return None


def _reads(decoder: msgspec.json.Decoder[Any] | None, rows: Sequence[bytes]) -> bool:
    if decoder is None:
        return False
    try:
        for row in rows:
            decoder.decode(row)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
