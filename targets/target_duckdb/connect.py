"""The file, the one connection to it, and what its errors mean to the user.

One process at a time has a DuckDB file open for writing: that lock is the lock of the run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import duckdb

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    RetryableError,
    SingerkitError,
)
from singerkit_sql_target.arrays import as_stream, unpacked
from singerkit_sql_target.dialect import (
    ORDER,
    Change,
    Choice,
    EncodesAhead,
    Existing,
    ExistingColumn,
    Field,
    InTheWay,
    Pattern,
    Session,
    Words,
)
from singerkit_sql_target.letters import literal
from singerkit_sql_target.naming import lower_ascii
from singerkit_sql_target.session import StandardSession, key_in
from singerkit_state.duckdb_file import first_line, not_answering, open_or_make, quoted, run
from singerkit_state.store_duckdb import opened
from singerkit_wire.kinds import Column, Kind
from target_duckdb.arrow import ROWS, Rows, arrays_of, as_arrow, as_rows
from target_duckdb.changes import change
from target_duckdb.choosing import choice
from target_duckdb.domain import ABILITIES, DOMAIN
from target_duckdb.retyping import is_replayed, retype
from target_duckdb.types import TYPES

__all__ = ["DuckDialect"]

_CANNOT_WRITE = (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException)
"""A COMMIT that finds no room is one of the last."""
_SCHEMAS_OF_DUCKDB = ("temp", "system", "pg_catalog", "information_schema")
_OF_THE_TABLE = (duckdb.BinderException, duckdb.CatalogException, duckdb.DependencyException)
"""What a statement is refused with for how a table is made; these tell of names, never of values."""


class DuckDialect:
    """The `Dialect` of a DuckDB file."""

    name = "DuckDB"
    domain, abilities, one_writer, works_beside = DOMAIN, ABILITIES, True, True
    encode_ahead: EncodesAhead | None = staticmethod(arrays_of)
    types: Mapping[Kind, str] = TYPES.table
    inexact_types = frozenset(TYPES.inexact)
    errors: tuple[type[Exception], ...] = (duckdb.Error,)
    now, emptying, leaves_rows = "now()", "DELETE FROM", False
    comments = "SELECT schema_name, table_name, comment FROM duckdb_columns() WHERE database_name = current_database()"

    def __init__(self, path: Path, *, number_type: str = "decimal") -> None:
        self._path, self._number_type = path.absolute(), number_type

    def connect(self) -> Session:
        return _DuckSession(self, open_or_make(self._path, setting=" (`database`)"))

    def read_only(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds in the file as it is, which is not made; nothing where its table is not there."""
        if not self._path.exists():
            return []
        with contextlib.closing(opened(str(self._path), for_writing=False)) as connection:
            try:
                return run(connection, query)
            except duckdb.CatalogException:
                return []

    def quote(self, *names: str) -> str:
        return quoted(*names)

    def table_name(self, stream: str) -> str:
        return stream

    def column_name(self, field: str) -> str:
        return field

    def new_type(self, column: Column, chosen: str | None) -> str:
        return TYPES.new_type(column, chosen, self._number_type)

    def fitting(self, column: Column, found: str, wanted: str) -> str | None:
        return TYPES.fitting(column, found, wanted)

    def change(self, found: str, wanted: str) -> Change | None:
        return change(found, wanted)

    def choice(self, column: Column, found: str, wanted: str) -> Choice | None:
        return choice(column, found, wanted)

    def as_stored(self, column: Column, type_: str) -> Column | None:
        return TYPES.as_stored(column, type_)

    def is_refusal(self, error: Exception) -> bool:
        return not isinstance(error, _CANNOT_WRITE)

    def matches(self, text: str, pattern: Pattern, *, whole: bool = True) -> str:
        function = "regexp_full_match" if whole else "regexp_matches"
        return f"{function}({text}, {literal(pattern.in_words_of('re2'))})"

    def plain_text(self, text: str) -> str:
        return text

    def kept_rows(self, error: Exception) -> tuple[str, str] | None:
        if not isinstance(error, duckdb.ConstraintException):
            return None
        if "foreign key" in str(error):
            return "rows of another table refer to them by a foreign key", "delete or change those rows"
        return _constraint(error), "let that take it"

    def error(self, error: Exception, doing: str) -> SingerkitError:
        return _error(self._path, error, doing)


class _DuckSession(StandardSession):
    def __init__(self, words: Words, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(words)
        self._connection = connection
        self._uses_all_threads = True
        self._offered: dict[str, Sequence[Rows]] = {}

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        for name in self._offered:
            if name in statement:
                self._give(name)
        return run(self._connection, statement, parameters)

    def written(self, statement: str) -> int:
        [(count,)] = self.execute(statement)
        return int(count)

    def _give(self, name: str) -> None:
        """A stream is read once, so each statement gets its own; who reads it waits for the others, and spins meanwhile."""
        self._use_all_threads(False)
        self._connection.register(name, as_stream([one.array for one in self._offered[name]]))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self._use_all_threads(True)
        with super().transaction():
            yield
            self._use_all_threads(True)  # row groups are compressed by all of them

    def inspect(self, schema: str, table: str) -> Existing | None:
        place = "database_name = current_database() AND lower(schema_name) = lower(?)"
        views = self.execute(f"SELECT view_name FROM duckdb_views() WHERE {place}", [schema])
        if any(lower_ascii(name) == lower_ascii(table) for (name,) in views):
            raise InTheWay("a view")
        found = self.execute(
            f"SELECT table_name, column_name, data_type, column_default IS NOT NULL, comment FROM duckdb_columns() WHERE {place} "
            "AND lower(table_name) = lower(?) ORDER BY column_index",  # of all letters: two tables may be meant
            [schema, table],
        )
        columns = {
            column: ExistingColumn(
                type_,
                has_default and self._is_generated(schema, name, column),
                comment=comment,
                has_default=has_default,
            )
            for name, column, type_, has_default, comment in found
            if lower_ascii(name) == lower_ascii(table)
        }
        if not columns:
            return None
        whole = quoted(schema, table)
        found = self.execute(
            "SELECT table_name, sql, comment FROM duckdb_tables() "
            f"WHERE {place} AND lower(table_name) = lower(?)",
            [schema, table],
        )
        [(sql, comment)] = [made for name, *made in found if lower_ascii(name) == lower_ascii(table)]
        if "COLLATE" in sql:  # no other place says it, and this not of which column
            texts = [name for name, column in columns.items() if column.type == "VARCHAR"]
            self.compared[whole] = {quoted(name): '{} COLLATE "binary"' for name in texts}
        key = key_in(comment)
        if comment is not None and key is None:
            self.commented.add(whole)
        [(is_empty,)] = self.execute(f"SELECT NOT EXISTS (SELECT 1 FROM {whole})")
        return Existing(columns, bool(is_empty), key)

    def alter(self, table: str, column: str, type_: str, *, is_new: bool, using: str | None = None) -> None:
        if is_new or is_replayed(type_, using):
            super().alter(table, column, type_, is_new=is_new, using=using)
        else:
            retype(self, table, column, type_, using)

    def comment(self, table: str, column: str, text: str) -> None:
        literal = text.replace("'", "''")
        self.execute(f"COMMENT ON COLUMN {table}.{column} IS '{literal}'")

    def indexes(self, schema: str, table: str) -> Sequence[str]:
        """Any on the table, on whichever column; that of a primary key or UNIQUE is none here, and keeps its own columns only."""
        found = self.execute(
            "SELECT schema_name, index_name, table_name FROM duckdb_indexes() WHERE database_name = current_database() "
            "AND lower(schema_name) = lower(?) ORDER BY index_name",
            [schema],
        )
        return [quoted(place, name) for place, name, of in found if lower_ascii(of) == lower_ascii(table)]

    def _is_generated(self, schema: str, table: str, column: str) -> bool:
        """Ask by a change of no row: the catalog shows the expression of a default and of a generated column alike."""
        name = quoted(column)
        try:
            self.execute(f"UPDATE {quoted(schema, table)} SET {name} = {name} WHERE false")
        except duckdb.BinderException:
            return True
        return False

    def create_schema(self, schema: str) -> None:
        [(database,)] = self.execute("SELECT current_database()")
        if lower_ascii(schema) in (*_SCHEMAS_OF_DUCKDB, lower_ascii(database)):
            raise ConfigurationError(
                f"Expected a schema of another name at `default_target_schema`, got `{schema}`, which is a name of DuckDB's own, or of "
                "this database, which it does not tell from a schema; nothing was written: choose another, then run again."
            )
        super().create_schema(schema)

    def encoded(self, fields: Sequence[Field], columns: Sequence[Sequence[Any]], first: int) -> Rows:
        return as_arrow(fields, columns, first)

    def made_ahead(
        self,
        ready: tuple[Sequence[str], bytes],
        fields: Sequence[Field],
        columns: Sequence[Sequence[Any]],
        count: int,
        first: int,
    ) -> Rows:
        expressions, data = ready
        arrays, more = arrays_of(fields, columns) if fields else ((), ())
        return as_rows([*unpacked(data), *arrays], [*expressions, *more], count, first)

    def append(self, stage: str, encoded: Sequence[Rows]) -> None:
        # Too little to be shared: other threads would only spin, and take as much of the processor again.
        self._use_all_threads(False)
        for selected, found in groupby(encoded, attrgetter("selected")):
            self._insert(stage, selected, list(found))

    def offer(self, name: str, fields: Sequence[Field], encoded: Sequence[Rows]) -> str | None:
        looks = {one.selected for one in encoded}
        if len(looks) != 1:
            return None
        self._offered[name] = encoded
        columns = ", ".join([*(quoted(field.name) for field in fields), ORDER])
        return f"(SELECT * FROM (SELECT {looks.pop()} FROM {quoted(name)}) AS given({columns}))"

    def withdraw(self, name: str) -> None:
        if self._offered.pop(name, None) is not None:
            self._connection.unregister(name)

    def _insert(self, stage: str, selected: str, rows: Sequence[Rows]) -> None:
        # As a stream, which is read once: to see what else it might be DuckDB imports pandas, where that is installed.
        self._connection.register(ROWS, as_stream([one.array for one in rows]))
        try:
            [(count,)] = self.execute(f"INSERT INTO {stage} SELECT {selected} FROM {ROWS}")
        finally:
            self._connection.unregister(ROWS)
        given = sum(one.count for one in rows)
        if count != given:
            raise SingerkitError(
                f"DuckDB took {count} of {given} rows; what was committed is safe, please report this."
            )

    def _use_all_threads(self, wanted: bool) -> None:
        if wanted is not self._uses_all_threads:
            self.execute("RESET threads" if wanted else "SET threads TO 1")
            self._uses_all_threads = wanted

    def close(self) -> None:
        self._connection.close()


def _constraint(error: Exception) -> str:
    """Which constraint it is, as DuckDB names it, without the values that it shows of keys."""
    said = str(error).removeprefix("Constraint Error: ").strip()
    if said.startswith(("CHECK constraint failed", "NOT NULL constraint failed")):
        return said
    return f"{'a foreign key' if 'foreign key' in said else 'a primary key or a unique index'} of its table"


def _error(path: Path, error: Exception, doing: str) -> SingerkitError:
    safe = "what was committed is safe"
    if isinstance(error, duckdb.ConstraintException):
        return BadDataError(
            f"A constraint in {path} refused rows while {doing}: {_constraint(error)}; {safe}: mend the rows at the source, drop the index, or "
            "let the column take null (`ALTER TABLE ... ALTER ... DROP NOT NULL`), or, where it is another constraint, which DuckDB drops "
            "with the table only, make the table anew without it, then run again; no setting sets such rows aside here."
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return RetryableError(
            f"DuckDB ran out of memory or disk space while {doing} ({path}); {safe}: commit more often (`commit_rows`), or give it more, then "
            "run again."
        )
    away = not_answering(path, error)
    if away is not None:
        return away
    if isinstance(error, _CANNOT_WRITE):
        return CannotWriteError(
            f"The database {path} cannot be written while {doing} ({first_line(error)}); {safe}: make room, then run again."
        )
    if isinstance(error, _OF_THE_TABLE):
        return BadDataError(
            f"DuckDB refused a statement while {doing} ({first_line(error)}); {safe}: a view, an index or a constraint may stand in "
            "its way; drop that, or load into another schema (`default_target_schema`), then run again."
        )
    return SingerkitError(
        f"DuckDB refused a statement of target-duckdb while {doing} ({type(error).__name__}); {safe}, please report this."
    )
