"""The files of dbt: a YAML of sources, one of models, and a model of each table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from singerkit_dbt.checks import checked_columns, tests_of
from singerkit_dbt.tables import Column, Table
from singerkit_dbt.words import column, quoted, text, value, yaml_text

__all__ = ["Freshness", "texts_of"]


@dataclass(frozen=True)
class Freshness:
    """After how many minutes without a row a source is stale; None: never."""

    warn_after: int | None
    error_after: int | None


def texts_of(tables: Sequence[Table], freshness: Freshness) -> dict[str, str]:
    """Return the files by their names; the same tables give the same bytes."""
    return {
        "_sources.yml": _lines(_sources(tables, freshness)),
        "_models.yml": _lines(_models(tables)),
        **{f"{table.model}.sql": _lines(_model(table)) for table in tables},
    }


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _model(table: Table) -> Iterator[str]:
    names = [column(one.name) for one in table.columns] + [column(name) for name in table.valid]
    yield "select"
    yield ",\n".join(f"    {name}" for name in names)
    yield f"from {{{{ source('{table.source}', '{table.called}') }}}}"
    if table.deleted_at is not None:
        yield f"where {column(table.deleted_at)} is null"


def _models(tables: Sequence[Table]) -> Iterator[str]:
    yield "version: 2"
    yield ""
    yield "models:"
    for table in tables:
        yield f"  - name: {table.model}"
        yield from _described(table.description, "    ")
        described = [one for one in table.columns if one.description]
        if described:
            yield "    columns:"
        for one in described:
            yield from _named(one)
            yield from _described(one.description, "        ")


def _sources(tables: Sequence[Table], freshness: Freshness) -> Iterator[str]:
    yield "version: 2"
    yield ""
    yield "sources:"
    source = None
    places = {(table.schema, table.name): table for table in tables}
    for table in tables:
        if table.source != source:
            source = table.source
            yield f"  - name: {source}"
            yield f"    schema: {text(table.schema.replace(chr(34), chr(34) * 2))}"
            yield "    quoting: {schema: true, identifier: true}"
            yield "    tables:"
        yield from _source(table, freshness, places)


def _source(table: Table, freshness: Freshness, places: Mapping[tuple[str, str], Table]) -> Iterator[str]:
    yield f"      - name: {table.called}"
    if table.name != table.called:
        yield f"        identifier: {text(table.name.replace(chr(34), chr(34) * 2))}"
    yield from _described(table.description, "        ")
    yield from _fresh(table, freshness)
    checks = checked_columns(table, places)
    tested = [
        one
        for one in table.columns
        if one.description or one.values or one.name in table.key or one.name in checks
    ]
    tested += [Column(name) for name in table.key if name not in {one.name for one in table.columns}]
    if tested:
        yield "        columns:"
    for one in tested:
        yield from _named(one, "          ")
        yield from _described(one.description, "            ")
        own = list(_tests(one, table))
        of_checks = [line for check in checks.get(one.name, ()) for line in tests_of(check, table, places)]
        if of_checks and not own:
            yield "            data_tests:"
        yield from own
        yield from of_checks
    if len(table.key) > 1:
        yield "        data_tests:"
        yield "          - unique:"
        yield "              arguments:"
        key = ", ".join(map(quoted, table.key))
        # dbt takes this one as it is: it makes no template of it.
        yield f"                column_name: {yaml_text(f'({key})')}"
        yield from _of_now(table)


def _tests(one: Column, table: Table) -> Iterator[str]:
    is_key = one.name in table.key
    if is_key or one.values:
        yield "            data_tests:"
    if is_key:
        yield "              - not_null"
    if table.key == (one.name,):
        if table.valid:
            yield "              - unique:"
            yield from _of_now(table, "    ")
        else:
            yield "              - unique"
    if one.values:
        yield "              - accepted_values:"
        yield "                  arguments:"
        yield f"                    values: [{', '.join(value(each) if isinstance(each, str) else str(each) for each in one.values)}]"
        if isinstance(one.values[0], int):
            yield "                    quote: false"


def _of_now(table: Table, deeper: str = "") -> Iterator[str]:
    """Yield that a test is of what holds now, where the table has more."""
    if table.valid:
        yield f"              {deeper}config:"
        yield f"                {deeper}where: {text(f'{quoted(table.valid[1])} is null')}"


def _fresh(table: Table, freshness: Freshness) -> Iterator[str]:
    after = {"warn_after": freshness.warn_after, "error_after": freshness.error_after}
    given = {name: minutes for name, minutes in after.items() if minutes is not None}
    if table.loaded_at is None or not given:
        return
    yield "        config:"
    yield f"          loaded_at_field: {text(quoted(table.loaded_at))}"
    yield "          freshness:"
    for name, minutes in given.items():
        yield f"            {name}: {{count: {minutes}, period: minute}}"


def _named(one: Column, before: str = "      ") -> Iterator[str]:
    yield f"{before}- name: {text(one.name.replace(chr(34), chr(34) * 2))}"
    yield f"{before}  quote: true"


def _described(words: str, before: str) -> Iterator[str]:
    if words:
        yield f"{before}description: {text(words)}"
