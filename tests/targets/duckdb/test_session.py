"""The session of a file and its stage, in process: keys in comments, INSERT or MERGE, what a safe point keeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conformance.singer import STATE
from targets.duckdb.test_target_duckdb import TEXT, load, query, record, schema

from singerkit_sql_target import stage as stages
from singerkit_sql_target.dialect import Field, Session
from singerkit_sql_target.stage import Part, Stage
from singerkit_sql_target.versions import Version
from singerkit_state.location import open_store
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.wirecolumns import WireColumns
from target_duckdb.connect import DuckDialect

ODD_KEYS: Sequence[tuple[str, ...]] = [
    (),
    ("id",),
    ("it's", 'say "hi"', "a, b"),
    ("Größe 🍣", "back\\slash", "'; DROP TABLE s; --"),
]
TEXT_OF_OURS = "singerkit: rows replace each other by "


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


@pytest.fixture
def session(file: Path) -> Iterator[Session]:
    opened = DuckDialect(file).connect()
    yield opened
    opened.close()


def key_of(session: Session) -> tuple[str, ...] | None:
    existing = session.inspect("main", "s")
    assert existing is not None
    return existing.key


def comment_of(session: Session) -> Any:
    [(comment,)] = session.execute("SELECT comment FROM duckdb_tables() WHERE table_name = 's'")
    return comment


# --- the key in the comment ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", ODD_KEYS)
def test_a_key_is_kept_with_its_table_whatever_it_is_called(file: Path, keys: tuple[str, ...]) -> None:
    session = DuckDialect(file).connect()
    session.execute("CREATE TABLE s (id BIGINT)")
    assert key_of(session) is None
    session.note_key('"main"."s"', keys)
    session.close()
    session = DuckDialect(file).connect()
    assert key_of(session) == keys
    session.note_key('"main"."s"', ["other"])
    assert key_of(session) == ("other",)
    session.note_key('"main"."s"', None)
    assert (key_of(session), comment_of(session)) == (None, None)
    session.close()


@pytest.mark.parametrize(
    "comment",
    ["", "mine", 'rows by ["id"]', *(f"{TEXT_OF_OURS}{rest}" for rest in ("", "id", "null", "5", '"id"', '{"id": 1}', "[1]", '["id"] and more'))],
)  # fmt: skip
def test_a_comment_that_we_have_not_written_tells_no_key_and_stays(session: Session, comment: str) -> None:
    session.execute("CREATE TABLE s (id BIGINT)")
    session.execute(f"COMMENT ON TABLE s IS '{comment}'")
    assert key_of(session) is None
    session.note_key('"main"."s"', ["id"])
    session.note_key('"main"."s"', None)
    assert comment_of(session) == comment


# --- INSERT where no key is stored, else MERGE ---------------------------------------------------------------


class Watched:
    """What a session was asked."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.words: list[str] = []
        execute = session.execute

        def watching(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            if not statement.startswith("SELECT count(*)"):  # how many rows are new is counted around it
                self.words.append(statement.split()[0])
            return execute(statement, parameters)

        monkeypatch.setattr(session, "execute", watching)


ROWS: Sequence[tuple[str, str, str, list[tuple[Any, ...]], str]] = [
    # the table's key column, what it holds, what comes in the stage (VARCHAR, as the type), what is there then, by which statement
    ("BIGINT", "(1, 'a')", "(2, 'b', 0)", [("1", "a"), ("2", "b")], "INSERT"),
    ("BIGINT", "(1, 'a')", "(2, 'b', 0), (2, 'c', 1)", [("1", "a"), ("2", "c")], "INSERT"),
    ("BIGINT", "(1, 'a')", "(2, 'b', 0), (1, 'c', 1)", [("1", "c"), ("2", "b")], "MERGE"),
    ("BIGINT", "(1, 'a')", "(1, 'b', 1), (1, 'c', 0)", [("1", "b")], "MERGE"),
    ("BIGINT", "(1, NULL)", "(1, 'b', 0)", [("1", "b")], "MERGE"),
    ("BIGINT", "(1, 'a')", "(1, NULL, 0)", [("1", None)], "MERGE"),
    ("DECIMAL(38,0)", "(1, 'a')", "(1, 'b', 0)", [("1", "b")], "MERGE"),
    ("DOUBLE", "(0.0, 'a')", "(-0.0, 'b', 0)", [("0.0", "b")], "MERGE"),
    ("DOUBLE", "(0.1, 'a')", "(0.30000000000000004, 'b', 0)", [("0.1", "a"), ("0.30000000000000004", "b")], "INSERT"),
    ("VARCHAR", "('a', 'a')", "('A', 'b', 0)", [("A", "b"), ("a", "a")], "INSERT"),
    ("VARCHAR COLLATE NOCASE", "('a', 'a')", "('A', 'b', 0)", [("A", "b"), ("a", "a")], "MERGE"),
    ("VARCHAR COLLATE NOCASE", "('a', 'a')", "('a', 'A', 0)", [("a", "A")], "MERGE"),
    ("TIMESTAMP", "('2024-01-01', 'a')", "('2024-01-01 00:00:00', 'b', 0)", [("2024-01-01 00:00:00", "b")], "MERGE"),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "there", "comes", "then", "by"), ROWS)
def test_rows_are_inserted_only_where_no_key_can_be_stored(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    type_: str,
    there: str,
    comes: str,
    then: list[tuple[Any, ...]],
    by: str,
) -> None:
    session.execute(f'CREATE TABLE s ("k" {type_}, "t" VARCHAR COLLATE NOCASE)')
    session.execute(f"INSERT INTO s VALUES {there}")
    staged = type_.split()[0].replace(
        "DECIMAL(38,0)", "BIGINT"
    )  # as it waits from before the table was widened
    session.execute(f'CREATE TEMPORARY TABLE w ("k" {staged}, "t" VARCHAR, _singerkit_order BIGINT)')
    session.execute(f"INSERT INTO w VALUES {comes}")
    session.inspect("main", "s")
    watched = Watched(session, monkeypatch)
    session.merge('"main"."s"', "w", ['"k"', '"t"'], ['"k"'])
    assert watched.words[-1] == by
    assert session.execute('SELECT CAST(k AS VARCHAR) COLLATE "binary", t FROM s ORDER BY 1') == then


def test_of_a_key_of_two_columns_both_count(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.execute("CREATE TABLE s (a BIGINT, b BIGINT, c BIGINT)")
    session.execute("INSERT INTO s VALUES (1, 1, 0), (2, 2, 0)")
    session.execute("CREATE TEMPORARY TABLE w (a BIGINT, b BIGINT, c BIGINT, _singerkit_order BIGINT)")
    session.execute("INSERT INTO w VALUES (1, 2, 1, 0), (2, 1, 1, 1)")
    watched = Watched(session, monkeypatch)
    session.merge("s", "w", ["a", "b", "c"], ["a", "b"])
    assert watched.words[-1] == "INSERT"
    assert session.execute("SELECT * FROM s ORDER BY ALL") == [(1, 1, 0), (1, 2, 1), (2, 1, 1), (2, 2, 0)]
    assert session.tells_apart("s", ["a", "b"])
    assert not session.tells_apart("s", ["a"])
    session.execute("UPDATE w SET c = 5, b = 2")
    session.merge("s", "w", ["a", "b", "c"], ["a", "b"])
    assert watched.words[-1] == "MERGE"
    assert session.execute("SELECT * FROM s ORDER BY ALL") == [(1, 1, 0), (1, 2, 5), (2, 1, 1), (2, 2, 5)]
    session.execute("INSERT INTO s VALUES (3, NULL, 0)")
    assert not session.tells_apart("s", ["a", "b"])
    assert not session.tells_apart("s", ["b", "a"])


# --- the stage -----------------------------------------------------------------------------------------------

ID = Field("id", "BIGINT", Column("id", Kind.INTEGER, nullable=True, required=False))
WIDER = Field("id", "DECIMAL(38,0)", Column("id", Kind.BIG_INTEGER, nullable=True, required=False))


def waiting(session: Session, stage: Stage) -> list[tuple[str, Any]]:
    """Stream and rows, in order, of what waits; a version is itself."""
    stage.offer(session, lambda _stream: False)
    return [
        (stream, [int(value) for (value,) in session.execute(f"SELECT id FROM {part.source} ORDER BY _singerkit_order")])
        if isinstance(part, Part)
        else (stream, part.version)
        for stream, part in stage
    ]  # fmt: skip


def tables(session: Session) -> int:
    [(count,)] = session.execute("SELECT count(*) FROM duckdb_tables() WHERE temporary")
    return int(count)


def put(session: Session, stage: Stage, stream: str, fields: list[Field], rows: Any, *more: Any) -> None:
    """Put rows into a stage as the loader does."""
    stage.append(session, stream, fields, WireColumns(rows), *more)
    if stage.is_full():
        stage.flush(session)


@pytest.mark.parametrize("held", [1, 8 << 20], ids=["in tables", "in memory"])
def test_a_stage_goes_back_to_a_safe_point(
    session: Session, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(stages, "_HELD_BYTES", held)
    stage = Stage()
    assert stage.position() == {}
    put(session, stage, "a", [ID], [(1,), (2,)], 1)
    put(session, stage, "b", [ID], [(7,)], 1)
    stage.activate("b", Version(5))
    position = stage.position()
    put(session, stage, "a", [ID], [(3,)], 1)
    put(session, stage, "a", [ID], [(4,)], 1, ("id",))
    put(session, stage, "a", [WIDER], [(b"5",)], 1, ("id",))
    put(session, stage, "b", [ID], [(8,)], 1)
    put(session, stage, "c", [ID], [(9,)], 1)
    assert stage.types("a") == {"id": "DECIMAL(38,0)"}
    assert waiting(session, stage) == [
        ("a", [1, 2, 3]), ("a", [4]), ("a", [5]), ("b", [7]), ("b", 5), ("b", [8]), ("c", [9]),
    ]  # fmt: skip
    stage.back_to(session, position)
    assert waiting(session, stage) == [("a", [1, 2]), ("b", [7]), ("b", 5)]
    assert (tables(session), stage.types("a"), stage.types("c")) == (2, {"id": "BIGINT"}, {})
    put(session, stage, "a", [ID], [(6,)], 1)
    put(session, stage, "c", [ID], [(10,)], 1)
    assert waiting(session, stage) == [("a", [1, 2, 6]), ("b", [7]), ("b", 5), ("c", [10])]
    stage.clear(session)
    assert (waiting(session, stage), tables(session), stage.position()) == ([], 0, {})


def test_rows_are_read_from_memory_by_each_statement_until_they_are_withdrawn(session: Session) -> None:
    rows = [session.encoded([ID], [[n, n + 1]], n) for n in (0, 2)]
    source = session.offer("waiting", [ID], rows)
    assert source is not None
    for _ in range(2):
        assert session.execute(f"SELECT id, _singerkit_order FROM {source}") == [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 3),
        ]
    with pytest.raises(duckdb.Error, match="already been consumed"):  # never fewer rows
        session.execute(f"SELECT * FROM {source} AS a JOIN {source} AS b USING (id)")
    assert session.execute(f"SELECT count(*) FROM {source}") == [(4,)]
    session.withdraw("waiting")
    session.withdraw("waiting")
    with pytest.raises(duckdb.CatalogException):
        session.execute(f"SELECT * FROM {source}")


@pytest.mark.parametrize("texts", [["1", "2"], ["1", f"{10**28}"]], ids=["of one look", "of two"])
def test_a_unit_that_was_not_committed_goes_back_to_its_safe_point(
    session: Session, monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    """Of two looks they are not offered, and wait in a table."""
    monkeypatch.setattr(stages, "_ENCODED_ROWS", 1)
    field = Field("x", "DECIMAL(38,9)", Column("x", Kind.NUMBER, nullable=True, required=False))
    stage = Stage()
    stage.append(session, "s", [field], WireColumns([(texts[0],)]), 1)
    position = stage.position()
    stage.append(session, "s", [field], WireColumns([(texts[1],)]), 1)
    stage.offer(session, lambda _stream: False)
    [(_, part)] = stage
    assert isinstance(part, Part)
    assert session.execute(f"SELECT count(*) FROM {part.source}") == [(2,)]
    assert (part.table is None) is (texts[1] == "2")
    stage.back_to(session, position)
    stage.offer(session, lambda _stream: False)
    assert session.execute(f"SELECT x FROM {part.source}") == [(Decimal(1),)]
    stage.clear(session)
    assert tables(session) == 0


@pytest.mark.parametrize("size", [1, 100])
def test_what_waits_in_memory_is_bounded_by_input_and_by_values(
    session: Session, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A short record may have a thousand columns that are null."""
    monkeypatch.setattr(stages, "_HELD_BYTES", 160)
    stage = Stage()
    for _ in range(5):
        put(session, stage, "a", [ID], [(1,), (2,), (3,), (4,)], size)
    [(_, part)] = stage
    assert isinstance(part, Part)
    [(stored,)] = session.execute(f"SELECT count(*) FROM {part.table}")
    assert stored == (20 if size == 1 else 16)


def test_numbers_of_each_look_wait_in_their_order(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short ones are text that DuckDB casts, long ones are decimals before: not in one stream."""
    monkeypatch.setattr(stages, "_ENCODED_ROWS", 2)
    field = Field("x", "DECIMAL(38,9)", Column("x", Kind.NUMBER, nullable=True, required=False))
    texts = ["1", "2", "3", f"{10**28}", "5", "1e3", "7", "8", None, "0.5"]
    stage = Stage()
    for text in texts:
        stage.append(session, "s", [field], WireColumns([(text,)]), 1)
    stage.flush(session)
    [(_, part)] = stage
    assert isinstance(part, Part)
    found = session.execute(f"SELECT x, _singerkit_order FROM {part.source} ORDER BY 2")
    assert found == [(None if text is None else Decimal(text), place) for place, text in enumerate(texts)]
    stage.clear(session)


# --- what DuckDB is given --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1,
        2**63 - 1,
        "",
        "it's",
        "''",
        "a ? b $1",
        "back\\slash\n",
        "Größe 🍣",
        "a\0b",
        "'); DROP TABLE s; --",
    ],
)
def test_a_parameter_comes_as_it_is_whatever_is_in_it(session: Session, value: Any) -> None:
    session.execute('CREATE TABLE s ("what?" VARCHAR, n BIGINT)')
    session.execute(
        'INSERT INTO s ("what?", n) VALUES (?, ?)', [value if isinstance(value, str) else None, 7]
    )
    [row] = session.execute('SELECT "what?", ?, n FROM s WHERE n = ?', [value, 7])
    assert row == (value if isinstance(value, str) else None, value, 7)


def test_a_load_imports_no_pandas(tmp_path: Path) -> None:
    """Which takes half a second; DuckDB would for a parameter, and to see what it scans."""
    (tmp_path / "pandas").mkdir()
    (tmp_path / "pandas" / "__init__.py").write_text("import os; os._exit(9)")
    (tmp_path / "config.json").write_text(json.dumps({"database": str(tmp_path / "w.duckdb")}))
    messages = [
        {
            "type": "SCHEMA",
            "stream": "s",
            "schema": {"properties": {"id": {"type": "integer"}}},
            "key_properties": ["id"],
        },
        {"type": "RECORD", "stream": "s", "record": {"id": 1}},
        {"type": "STATE", "value": {"bookmarks": {"s": "it's 1"}}},
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "target_duckdb.target", "--config", str(tmp_path / "config.json")],
        input="".join(json.dumps(message) + "\n" for message in messages),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert (ran.returncode, json.loads(ran.stdout or "null")) == (0, messages[-1]["value"]), ran.stderr


LEFT_IN_THE_LOG = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("ALTER TABLE s ALTER COLUMN t TYPE JSON USING to_json(t)")
os._exit(9)
"""


@pytest.mark.parametrize("is_tap", [False, True], ids=["a target", "a tap that reads the state"])
def test_a_column_that_became_json_before_a_kill_is_taken_in(is_tap: bool, file: Path) -> None:
    """DuckDB does not open the file any more."""
    load(file, schema(t=TEXT), record(id=1, t="a"), STATE({"n": 1})).expect(0)
    command = [sys.executable, "-c", LEFT_IN_THE_LOG, str(file)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 9
    with pytest.raises(duckdb.Error):
        duckdb.connect(str(file))
    if is_tap:
        assert open_store(f"duckdb://{file}?pipeline=default").read() is not None
    else:
        load(file, schema(t=TEXT), record(id=2, t="b"), STATE({"n": 2})).expect(0)
    assert query(file, "SELECT id, t FROM s ORDER BY 1")[0] == (1, '"a"')
