"""The tables that targets say of themselves (`--tables`), by the sources of dbt in which they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from singerkit_catalog.admitted import json_types
from singerkit_dbt.words import plain_name, shortened
from singerkit_shell.errors import ConfigurationError

__all__ = ["Check", "Column", "Table", "same_places", "table_of"]

_KEPT = ("upsert", "overwrite", "delete+insert", "history")
"""The ways to load under which the key of a stream is one of its table."""


@dataclass(frozen=True)
class Column:
    """``values`` are all that it may hold, beside null; none: whatever."""

    name: str
    description: str = ""
    values: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Check:
    """A rule of quality of a target (`checks`) on columns; ``to``: schema, table and column that values are to be in.

    ``has_chosen_type``: the config says the type of a column of it.
    """

    rule: str
    place: str
    columns: tuple[str, ...]
    only_warns: bool = False
    values: tuple[str | int | float, ...] = ()
    to: tuple[str, str, str] | None = None
    has_chosen_type: bool = False


@dataclass(frozen=True)
class Table:
    """A table, and what is known of it without a look at it.

    ``key`` are the columns by which rows replace each other; ``valid`` those with the range in which a version of one held. ``deleted_at`` has a value in rows that are
    gone at the source, ``loaded_at`` when a row was loaded.
    """

    stream: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    deleted_at: str | None = None
    loaded_at: str | None = None
    description: str = ""
    checks: tuple[Check, ...] = ()

    @property
    def source(self) -> str:
        """What dbt calls the source in which it is."""
        return plain_name(self.schema)

    @property
    def called(self) -> str:
        """What dbt calls the table."""
        return plain_name(self.name)

    @property
    def model(self) -> str:
        return shortened(f"stg_{self.source}__{self.called}")

    @property
    def where(self) -> str:
        return f"{self.schema}.{self.name}"


def table_of(said: Mapping[str, Any]) -> Table:
    """Return the table of a line that a target has printed."""
    keeps_key = said["load_method"] in _KEPT
    deleted_at = said["deleted_at"]
    return Table(
        said["stream"],
        said["schema"],
        said["table"],
        tuple(_column(one) for one in said["columns"] if one["column"] != deleted_at),
        tuple(said["key"]) if keeps_key else (),
        tuple(said["valid"] or ()),
        deleted_at,
        said["loaded_at"],
        said.get("description", ""),
        tuple(_rule(one, said["columns"]) for one in said.get("checks", ())),
    )


def _rule(said: Mapping[str, Any], columns: Iterable[Mapping[str, Any]]) -> Check:
    to = said.get("to")
    chosen = {one["column"] for one in columns if "type" in one}
    return Check(
        said["rule"],
        said["place"],
        tuple(said["columns"]),
        said["on"] == "warn",
        tuple(said.get("values", ())),
        None if to is None else (to["schema"], to["table"], to["column"]),
        not chosen.isdisjoint(said["columns"]),
    )


def _column(said: Mapping[str, Any]) -> Column:
    schema = said["schema"]
    description = schema.get("description")
    values = () if "type" in said else _values(schema, said["kind"])
    return Column(said["column"], description if isinstance(description, str) else "", values)


def _values(schema: Mapping[str, Any], kind: str) -> tuple[str | int, ...]:
    """Return what a column of texts or whole numbers may hold; none where that is not said, or said of other types, too."""
    listed = [schema["const"]] if "const" in schema else schema.get("enum")
    asked = {"string": str, "integer": int}.get(kind)
    if asked is None or not isinstance(listed, list) or not json_types(schema) - {"null"}:
        return ()
    values = [value for value in listed if value is not None]
    if any(type(value) is not asked for value in values) or any("\x00" in str(value) for value in values):
        return ()
    return tuple(dict.fromkeys(values))


def same_places(tables: Iterable[Table]) -> list[Table]:
    """Return the tables in the order of their names, one of those into which several pipelines load.

    Raises:
        ConfigurationError: dbt would have one name for two of them.
    """
    found: dict[tuple[str, str], Table] = {}
    for table in tables:
        before = found.get((table.schema, table.name))
        found[table.schema, table.name] = table if before is None else _both(before, table)
    ordered = [found[place] for place in sorted(found)]
    _check(ordered)
    return ordered


def _both(one: Table, other: Table) -> Table:
    """Return a table as two pipelines declare it: what only one of them says of its rows does not hold of all."""
    columns = {column.name: column for column in one.columns}
    for column in other.columns:
        known = columns.get(column.name)
        columns[column.name] = column if known is None else _both_columns(known, column)
    return Table(
        one.stream,
        one.schema,
        one.name,
        tuple(columns.values()),
        one.key if one.key == other.key else (),
        one.valid if one.valid == other.valid else (),
        one.deleted_at or other.deleted_at,
        one.loaded_at or other.loaded_at,
        one.description or other.description,
        tuple(check for check in one.checks if check in other.checks),
    )


def _both_columns(one: Column, other: Column) -> Column:
    values = tuple(dict.fromkeys((*one.values, *other.values))) if one.values and other.values else ()
    return Column(one.name, one.description or other.description, values)


def _check(tables: Sequence[Table]) -> None:
    schemas: dict[str, str] = {}
    models: dict[str, Table] = {}
    for table in tables:
        schema = schemas.setdefault(table.source, table.schema)
        other = models.setdefault(table.model, table)
        if schema != table.schema:
            raise ConfigurationError(
                f"Expected schemas with different names for dbt, got `{schema}` and `{table.schema}`, which are both the source `{table.source}`; "
                "nothing was written: name one otherwise (`schema_name`, `default_target_schema`)."
            )
        if other is not table:
            raise ConfigurationError(
                f"Expected tables with different names for dbt, got `{other.where}` and `{table.where}`, which are both the model `{table.model}`; "
                "nothing was written: name one otherwise (`table_name`), or leave its pipeline out."
            )
