"""The publication: which tables the log tells of."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from psycopg2.sql import SQL, Composable, Identifier

from singerkit_shell.errors import ConfigurationError, NotAuthorisedError
from singerkit_tap.log_contract import LogGone
from tap_postgres.log.queries import Queries
from tap_postgres.log.tables import LoggedTable

__all__ = ["NAMES_ROWS", "NOT_IN_LOG", "NOT_IN_LOG_WORDS", "WITHOUT_IDENTITY", "Publication", "Told"]

logger = logging.getLogger(__name__)

_COLUMNS_SINCE = 150_000
_GENERATED = 180_000
_FIND = "SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot FROM pg_catalog.pg_publication WHERE pubname = %s"
_TABLES = "SELECT schemaname, tablename{} FROM pg_catalog.pg_publication_tables WHERE pubname = %s"
NOT_IN_LOG = "a.attgenerated = 'v' OR (a.attgenerated <> '' AND pg_catalog.current_setting('server_version_num')::int < 180000)"
"""Of columns (`pg_attribute`, alias ``a``): that no log of this server has them."""
NOT_IN_LOG_WORDS = (
    "is generated, and the log does not have it (that of PostgreSQL 18 has those that are STORED)"
)
NAMES_ROWS = "i.indisvalid AND i.indisunique AND i.indimmediate AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END"
"""Of an index (`pg_index`, alias ``i``) of a table (`pg_class`, ``c``): that the log names rows by it; a DEFERRABLE key does not."""
_IS_BARE = f"""
    c.relkind = 'r' AND c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND {NAMES_ROWS})"""
WITHOUT_IDENTITY = f"""
    SELECT DISTINCT n.nspname::text, c.relname::text,
        EXISTS (SELECT FROM pg_catalog.pg_publication_rel AS r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)
    FROM pg_catalog.pg_publication AS p JOIN pg_catalog.pg_publication_tables AS o ON o.pubname = p.pubname
    JOIN pg_catalog.pg_namespace AS s ON s.nspname = o.schemaname
    JOIN pg_catalog.pg_class AS m ON m.relnamespace = s.oid AND m.relname = o.tablename
    LEFT JOIN LATERAL pg_catalog.pg_partition_tree(m.oid) AS t ON t.isleaf
    JOIN pg_catalog.pg_class AS c ON c.oid = coalesce(t.relid, m.oid) JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE p.pubname = %s AND (p.pubupdate OR p.pubdelete) AND {_IS_BARE} ORDER BY 1, 2 LIMIT 10"""
"""Tables and partitions of a publication by which changes of their rows fail, and whether each of them stands in it by itself."""

Told: TypeAlias = Mapping[tuple[str, str], tuple[Sequence[str] | None, bool]]
"""By schema and table the columns that are told of (None: all), and whether some rows are left out."""


@dataclass
class Publication:
    """A publication by its name, for some tables."""

    queries: Queries
    name: str
    tables: Sequence[LoggedTable]
    makes: bool = True
    """Whether it is made, and tables are added to it, where they lack."""

    def prepare(self, started: Collection[str]) -> None:
        """See to it that the log tells of all tables.

        ``started``: streams that have been read before, of which the log must have told ever since.

        Raises:
            LogGone: it has not.
            ConfigurationError: it cannot tell of them exactly.
        """
        if not self.is_there():
            if started:
                raise LogGone(f"the publication `{self.name}` was dropped")
            self._make()
        else:
            self._check_itself()
            self._add([table for table in self.missing(self.told()) if self._is_new(table, started)])
        self.check()
        self.warn_of_tables_without_identity()

    def warn_of_tables_without_identity(self) -> None:
        for schema, name, is_by_itself in self.queries.ask(
            WITHOUT_IDENTITY, [self.name], doing="looking for replica identities"
        ):
            table = Identifier(schema, name).as_string(self.queries.opened())
            out = f"{self._way('DROP TABLE ONLY ', table)}, or " if is_by_itself else ""
            logger.warning(
                "The publication `%s` has table `%s.%s`, which has no replica identity, so that PostgreSQL refuses each UPDATE and DELETE of it. "
                "Have its owner run: %sALTER TABLE %s REPLICA IDENTITY FULL.",
                *(self.name, schema, name, out, table),
            )

    def check(self) -> None:
        """Hold the publication against what is needed of it; called again while the log is read.

        Raises:
            LogGone: it does not tell of a table any more.
            ConfigurationError: it does not tell of all.
        """
        self._check_itself()
        told = self.told()
        missing = self.missing(told)
        if missing:
            raise LogGone(
                f"the publication `{self.name}` does not have table `{missing[0].schema}.{missing[0].name}`"
            )
        self._check_columns(told)

    def _check_itself(self) -> None:
        """Hold its options against what is needed."""
        found = self.queries.ask(_FIND, [self.name], doing="looking for the publication")
        if not found:
            raise LogGone(f"the publication `{self.name}` was dropped")
        *tells, is_via_root = found[0]
        if not all(tells):
            raise ConfigurationError(
                f"The publication `{self.name}` does not tell of all changes; nothing was read: {self._way('SET (publish = ', self._ALL)}."
            )
        if not is_via_root and any(table.is_partitioned for table in self.tables):
            raise ConfigurationError(
                f"The publication `{self.name}` tells of the parts of partitioned tables by their own names; nothing was read: "
                f"{self._way('SET (publish_via_partition_root = true)')}."
            )

    _ALL = "'insert, update, delete, truncate')"

    def missing(self, told: Told) -> list[LoggedTable]:
        return [table for table in self.tables if (table.schema, table.name) not in told]

    def is_there(self) -> bool:
        return bool(self.queries.ask(_FIND, [self.name], doing="looking for the publication"))

    def _is_new(self, table: LoggedTable, started: Collection[str]) -> bool:
        if table.stream in started:
            raise LogGone(
                f"table `{table.schema}.{table.name}` was taken out of the publication `{self.name}`"
            )
        return True

    def _make(self) -> None:
        if not self.makes:
            raise ConfigurationError(
                f"There is no publication `{self.name}`; nothing was read: {self._to_make()}"
            )
        self.make()

    def make(self) -> None:
        """Make it.

        Raises:
            NotAuthorisedError: this role may not.
        """
        self._do(self.making(), f"making the publication `{self.name}`")

    def _do(self, statement: Composable, doing: str) -> None:
        """Run a statement that the owner of the tables may run, and perhaps nobody else."""
        try:
            self.queries.ask(statement, doing=doing)
        except NotAuthorisedError:
            text = statement.as_string(self.queries.opened())
            raise NotAuthorisedError(
                f"This role does not own all the tables, or may not create anything in the database, so that {doing} was refused; nothing was "
                f"read: have whoever may run it: {text}"
            ) from None

    def making(self) -> Composable:
        """Return the statement that makes it."""
        options = "publish_via_partition_root = true"
        if self.queries.version >= _GENERATED:
            options += ", publish_generated_columns = stored"
        return SQL("CREATE PUBLICATION {} FOR TABLE {} WITH ({})").format(
            Identifier(self.name), self._names(self.tables), SQL(options)
        )

    def _to_make(self) -> str:
        return self.making().as_string(self.queries.opened())

    def _add(self, tables: Sequence[LoggedTable]) -> None:
        if not tables:
            return
        if not self.makes:
            text = self.adding(tables).as_string(self.queries.opened())
            raise ConfigurationError(f"The publication `{self.name}` lacks tables; nothing was read: {text}")
        self.add(tables)

    def add(self, tables: Sequence[LoggedTable]) -> None:
        """Have it tell of more tables.

        Raises:
            NotAuthorisedError: this role may not.
        """
        self._do(self.adding(tables), f"adding tables to the publication `{self.name}`")

    def adding(self, tables: Sequence[LoggedTable]) -> Composable:
        """Return the statement that has it tell of more tables."""
        return SQL("ALTER PUBLICATION {} ADD TABLE {}").format(Identifier(self.name), self._names(tables))

    def _names(self, tables: Sequence[LoggedTable]) -> Composable:
        """Return tables without those that inherit from them: if these have no identity, PostgreSQL would refuse to change their rows."""
        return SQL(", ").join(
            SQL("" if table.is_partitioned else "ONLY ") + Identifier(table.schema, table.name)
            for table in tables
        )

    def _way(self, what: str, more: str = "") -> str:
        name = Identifier(self.name).as_string(self.queries.opened())
        return f"ALTER PUBLICATION {name} {what}{more}"

    def told(self) -> Told:
        """Return the tables that the log tells of, with what the publication says of their columns and rows."""
        since = self.queries.version >= _COLUMNS_SINCE
        rows = self.queries.ask(
            _TABLES.format(", attnames::text[], rowfilter IS NOT NULL" if since else ", NULL, false"),
            [self.name],
            doing="looking for the tables of the publication",
        )
        return {(schema, name): (columns, is_filtered) for schema, name, columns, is_filtered in rows}

    def _check_columns(self, told: Told) -> None:
        """See to it that the publication leaves no column and no row out."""
        for table in self.tables:
            columns, is_filtered = told[table.schema, table.name]
            if is_filtered:
                raise ConfigurationError(
                    f"The publication `{self.name}` tells of some rows of table `{table.schema}.{table.name}` alone (WHERE), so that a row "
                    "which leaves them would be told as a deleted one; nothing was read: remove the filter, or name another publication."
                )
            missing = [name for name in table.columns if columns is not None and name not in columns]
            if missing and missing[0] in self.queries.columns(
                table.schema, table.name
            ):  # not dropped just now
                raise ConfigurationError(
                    f"The publication `{self.name}` does not tell of column `{missing[0]}` of table `{table.schema}.{table.name}`; nothing was "
                    f"read: leave it out with `!{table.stream}.{missing[0]}` in `select`, or add it to the publication."
                )
