"""The loads of a history: which version was loaded last, which were begun, and which keys came with each (decision 54).

The keys that came wait in temporary tables of the session. A table of ours says which version was loaded last, and in which session each version
was begun: where that is another one, rows came that nobody knows.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from singerkit_sql_target.dialect import Dialect, Session
from singerkit_sql_target.tables import Table
from singerkit_sql_target.versions import Version
from singerkit_wire.kinds import Kind
from singerkit_wire.stream import VERSION

__all__ = ["LOADS", "Loads", "has_versions"]

LOADS = "_singerkit_loads"
_SESSION = '"_singerkit_session"'


def has_versions(table: Table) -> bool:
    """Whether the rows carry the version of their load."""
    return VERSION in table.columns and VERSION not in table.given.column_names


class Loads:
    """What a session knows of loads; all but `prepare` in the transaction of the unit."""

    def __init__(self, dialect: Dialect, schema: str) -> None:
        self._dialect, self._schema = dialect, schema
        self._quoted = dialect.quote(schema, LOADS)

    def prepare(self, session: Session, table: Table) -> None:
        """Make what notes them, outside any transaction, so that it is there whatever becomes of one."""
        types = self._dialect.types
        if session.inspect(self._schema, LOADS) is None:
            fields = {
                "loaded": Kind.STRING,
                "version": Kind.INTEGER,
                "begun_in": Kind.STRING,
                "is_last": Kind.BOOLEAN,
            }
            session.create(self._quoted, [(name, types[kind]) for name, kind in fields.items()])
        session.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {_SESSION} AS SELECT {_literal(uuid.uuid4().hex)} AS id"
        )
        columns = ", ".join([*self._keys(table), self._version(table)])
        session.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {self.seen(table)} AS SELECT {columns} FROM {table.quoted} WHERE false"
        )

    def seen(self, table: Table) -> str:
        """The keys of rows that came, each with its version."""
        return self._dialect.quote(
            f"_singerkit_seen_{hashlib.sha256(table.quoted.encode()).hexdigest()[:16]}"
        )

    def note_seen(self, session: Session, table: Table, source: str, columns: Sequence[str]) -> None:
        """Note the keys of rows, with their versions: a load that is given up says nothing of the one behind it."""
        version = self._version(table)
        of_rows = version if version in columns else "NULL"
        keys = ", ".join(self._keys(table))
        session.execute(
            f"INSERT INTO {self.seen(table)} SELECT DISTINCT {keys}, {of_rows} FROM {source} AS came"
        )
        for (one,) in session.execute(
            f"SELECT DISTINCT {version} FROM {self.seen(table)} WHERE {version} IS NOT NULL"
        ):
            of_version = f"loaded = {_literal(table.quoted)} AND version = {int(one):d}"
            session.execute(
                f"INSERT INTO {self._quoted} SELECT {_literal(table.quoted)}, {int(one):d}, id, false FROM {_SESSION} "
                f"WHERE NOT EXISTS (SELECT 1 FROM {self._quoted} WHERE {of_version})"
            )

    def is_another_load(self, session: Session, table: Table, asked: Version) -> bool:
        """Tell whether the version is another one than was loaded last: some taps say one again behind each increment."""
        found = session.execute(
            f"SELECT version FROM {self._quoted} WHERE is_last AND loaded = {_literal(table.quoted)}"
        )
        last = int(found[0][0]) if found else None
        return last is None or asked.version > last or (asked.is_of_records and asked.version != last)

    def is_partly_known(self, session: Session, table: Table, asked: Version) -> bool:
        """Tell whether rows of the version have come in another session."""
        [(is_partly,)] = session.execute(
            f"SELECT count(*) > 0 FROM {self._quoted} WHERE loaded = {_literal(table.quoted)} AND version = {asked.version:d} "
            f"AND NOT is_last AND begun_in NOT IN (SELECT id FROM {_SESSION})"
        )
        return bool(is_partly)

    def note(self, session: Session, table: Table, asked: Version) -> None:
        """The version is the one that was loaded last, and what comes is of another load."""
        loaded = _literal(table.quoted)
        session.execute(
            f"DELETE FROM {self._quoted} WHERE loaded = {loaded} AND (is_last OR version = {asked.version:d})"
        )
        session.execute(f"INSERT INTO {self._quoted} VALUES ({loaded}, {asked.version:d}, '', true)")
        session.execute(f"DELETE FROM {self.seen(table)}")
        session.execute(
            f"UPDATE {_SESSION} SET id = {_literal(uuid.uuid4().hex)}"
        )  # other loads have lost their keys, too

    def _keys(self, table: Table) -> list[str]:
        return [self._dialect.quote(key) for key in table.history]

    def _version(self, table: Table) -> str:
        return self._dialect.quote(table.columns[VERSION])


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
