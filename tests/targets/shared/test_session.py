"""What a session does in standard SQL, in another database than the one it was written beside: SQLite, in process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from singerkit_sql_target.dialect import Field, OutcomeUnknown, Words
from singerkit_sql_target.session import StandardSession, key_in
from singerkit_target.outcomes import Outcome
from singerkit_wire.kinds import Column, Kind

NAME = 'say "hi"; --'


def quote(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


WORDS = cast(Words, SimpleNamespace(quote=quote, errors=(sqlite3.Error,)))


class Session(StandardSession):
    """A file of SQLite, and what was run there."""

    def __init__(self, path: Path) -> None:
        super().__init__(WORDS)
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        self.ran: list[str] = []

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.ran.append(statement)
        return self.connection.execute(statement, parameters).fetchall()

    def written(self, statement: str) -> int:
        self.ran.append(statement)
        return self.connection.execute(statement).rowcount


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    opened = Session(tmp_path / "w.db")
    opened.create(quote("s"), [("a", "INTEGER"), (NAME, "TEXT")])
    yield opened
    opened.connection.close()


def stored(session: Session) -> list[tuple[Any, ...]]:
    return session.execute("SELECT * FROM s ORDER BY 1, 2")


def test_a_stage_goes_into_a_table_with_the_last_row_of_each_key(session: Session) -> None:
    names = [quote("a"), quote(NAME)]
    kinds = {"a": Kind.INTEGER, NAME: Kind.STRING}
    fields = [
        Field(name, type_, Column(name, kinds[name], nullable=True, required=False))
        for name, type_ in (("a", "INTEGER"), (NAME, "TEXT"))
    ]
    stage = session.create_stage(NAME, fields)
    session.connection.executemany(
        f"INSERT INTO {stage} VALUES (?, ?, ?)", [(1, "old", 0), (2, "x", 1), (1, "new", 2)]
    )
    assert session.merge(quote("s"), stage, names, [quote("a")]) == Outcome(new=2)
    assert stored(session) == [(1, "new"), (2, "x")]
    session.execute(f"DELETE FROM {stage} WHERE {quote('a')} = 2")
    with pytest.raises(sqlite3.Error, match="MERGE"):  # which SQLite has not
        session.merge(quote("s"), stage, names, [quote("a")])
    assert session.ran[-1].startswith("MERGE INTO")


def insert(session: Session, row: str, *further: str) -> None:
    with session.transaction():
        for statement in (f"INSERT INTO s VALUES {row}", *further):
            session.execute(statement)


def test_a_transaction_is_all_or_nothing(session: Session, tmp_path: Path) -> None:
    insert(session, "(1, 'kept')")
    with pytest.raises(sqlite3.Error, match="nosuch"):
        insert(session, "(2, 'gone')", "DELETE FROM nosuch")
    other = sqlite3.connect(tmp_path / "w.db")
    other.execute("BEGIN")
    other.execute("SELECT * FROM s").fetchall()  # SQLite cannot commit while somebody reads
    with pytest.raises(OutcomeUnknown, match="locked"):
        insert(session, "(3, 'unknown')")
    other.close()
    session.execute("ROLLBACK")
    assert stored(session) == [(1, "kept")]


def test_rows_are_told_apart_by_columns_that_are_unique_and_not_null(session: Session) -> None:
    session.execute("INSERT INTO s VALUES (1, 'x'), (2, 'X'), (2, 'y')")
    assert not session.tells_apart(quote("s"), [quote("a")])
    assert session.tells_apart(quote("s"), [quote("a"), quote(NAME)])
    assert session.tells_apart(quote("s"), [quote(NAME)])
    session.compared[quote("s")] = {quote(NAME): "{} COLLATE NOCASE"}
    assert not session.tells_apart(quote("s"), [quote(NAME)])
    session.execute("INSERT INTO s VALUES (3, NULL)")
    assert not session.tells_apart(quote("s"), [quote("a"), quote(NAME)])


def test_a_column_is_added(session: Session) -> None:
    session.alter(quote("s"), quote("new"), "INTEGER", is_new=True)
    session.execute("INSERT INTO s VALUES (1, 'x', 7)")
    assert stored(session) == [(1, "x", 7)]
    with pytest.raises(sqlite3.Error):
        session.alter(quote("s"), quote("new"), "TEXT", is_new=False)
    assert session.ran[-1] == 'ALTER TABLE "s" ALTER COLUMN "new" TYPE TEXT'


@pytest.mark.parametrize("keys", [[], ["id"], ["it's", NAME, "Größe"]])
def test_a_key_in_a_comment_is_read_back(session: Session, keys: list[str]) -> None:
    with pytest.raises(sqlite3.Error, match="COMMENT"):  # which SQLite has not
        session.note_key(quote("s"), keys)
    text = session.ran[-1].removeprefix('COMMENT ON TABLE "s" IS ')
    [(comment,)] = session.execute(f"SELECT {text}")
    assert key_in(comment) == tuple(keys)
    session.commented.add(quote("s"))
    session.note_key(quote("s"), keys)  # not over what the user has written


@pytest.mark.parametrize("comment", [None, "", "about orders", "singerkit: rows replace each other by x"])
def test_what_we_have_not_written_tells_no_key(comment: str | None) -> None:
    assert key_in(comment) is None
