"""target-duckdb as its users run it: rows, state row and dead letters of one unit are there together, or none is."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conformance.processes import Outcome, Running, run
from conformance.singer import MARK, RECORD, SCHEMA, STATE, lines

BIN = Path(sys.executable).parent
INTEGER, TEXT = {"type": ["integer", "null"]}, {"type": ["string", "null"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def command(file: Path, *arguments: str, **config: Any) -> list[str]:
    place = file.parent / "config.json"
    place.write_text(json.dumps({"database": str(file)} | config))
    return [str(BIN / "target-duckdb"), "--config", str(place), *arguments]


def load(file: Path, *messages: Any, arguments: Sequence[str] = (), **config: Any) -> Outcome:
    return run(command(file, *arguments, **config), stdin=lines(*messages), cwd=file.parent)


def query(file: Path, statement: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(statement).fetchall()


def rows(file: Path, table: str = "s", columns: str = "*") -> list[tuple[Any, ...]]:
    return sorted(query(file, f'SELECT {columns} FROM "{table}"'), key=str)


def state(file: Path) -> Any:
    [(sequence, text)] = query(file, "SELECT sequence, state FROM _singerkit_state")
    return sequence, None if text is None else json.loads(text)


def schema(*key: str, **properties: Any) -> Any:
    return SCHEMA("s", {"id": {"type": "integer"}, **properties}, list(key))


def record(**fields: Any) -> Any:
    return RECORD("s", fields)


KEYED = schema("id", t=TEXT)


# --- rows and state ------------------------------------------------------------------------------------------


def test_rows_and_state_are_there_and_come_once_more_replace_themselves(file: Path) -> None:
    first = load(file, KEYED, record(id=1, t="a"), record(id=2, t="b"), STATE({"at": 1}))
    assert first.expect(0).stdout == b'{"at": 1}\n'
    assert f"Making {file}" in first.stderr
    assert state(file) == (1, {"at": 1})
    second = load(
        file, KEYED, record(id=2, t="c"), record(id=3, t="d"), record(id=3, t="e"), STATE({"at": 2})
    )
    second.expect(0)
    assert f"Loading into {file}" in second.stderr
    assert rows(file) == [(1, "a"), (2, "c"), (3, "e")]
    assert state(file) == (2, {"at": 2})


def test_rows_without_a_key_are_appended_in_their_order(file: Path) -> None:
    for at in (1, 2):
        load(file, schema(), *(record(id=n) for n in (3, 1, 1)), STATE({"at": at})).expect(0)
    assert query(file, "SELECT id FROM s") == [(3,), (1,), (1,)] * 2


def test_what_follows_the_last_state_of_a_run_that_was_cut_is_not_there(file: Path) -> None:
    mark = {MARK: {"run": "r", "pipeline": "p", "complete": False}}
    cut = load(file, STATE(mark), KEYED, record(id=1, t="a"), STATE({"at": 1, **mark}), record(id=2, t="b"))
    cut.expect(65)
    assert rows(file) == [(1, "a")]
    assert state(file)[1]["at"] == 1


def test_a_bad_record_keeps_what_its_state_covers(file: Path) -> None:
    many = [record(id=n, t="x" * 100) for n in range(20_000)]  # more than one chunk
    bad = load(file, KEYED, *many, STATE({"at": 1}), *many[:10], record(id="no", t="b"), STATE({"at": 2}))
    bad.expect(65)
    assert 'Expected `integer`, got `"no"`' in bad.last_words
    assert (len(rows(file)), state(file)) == (20_000, (1, {"at": 1}))


def test_a_field_that_is_missing_stays_as_it_was(file: Path) -> None:
    before = [schema("id", a=TEXT, b=TEXT), record(id=1, a="a", b="b"), record(id=2, a="a", b="b")]
    load(file, *before, STATE({"at": 1})).expect(0)
    both = [record(id=1, a="new"), record(id=2, b="new"), record(id=1, b="newer"), record(id=3, b="b")]
    load(file, before[0], *both, STATE({"at": 2}), missing_fields="keep").expect(0)
    assert rows(file) == [(1, "new", "newer"), (2, "a", "new"), (3, None, "b")]
    load(file, before[0], record(id=1, a="x"), STATE({"at": 3})).expect(0)
    assert rows(file)[0] == (1, "x", None), "of taps by others a missing field is null"


def test_rows_that_are_gone_are_missed(file: Path) -> None:
    messages = [KEYED, record(id=1, t="a"), STATE({"bookmarks": {"s": {"replication_key_value": 1}}})]
    load(file, *messages).expect(0)
    query(file, "DELETE FROM s")
    gone = load(file, *messages)
    gone.expect(69)
    assert (
        "The table main.s is empty, and the saved state says that rows of stream `s` were loaded"
        in gone.last_words
    )
    query(file, "DROP TABLE s")
    assert "The table main.s is not there" in load(file, *messages).expect(69).last_words
    load(file, *messages, rows_gone="accept").expect(0)
    query(file, "DELETE FROM s")
    load(file, arguments=["--start-over", "--pipeline", "default"]).expect(0)
    load(file, *messages).expect(0)
    assert rows(file) == [(1, "a")]


def test_the_state_is_printed_adopted_and_forgotten_by_hand_with_its_history(file: Path) -> None:
    load(file, KEYED, record(id=1, t="a"), STATE({"at": 1})).expect(0)
    last = load(file, arguments=["--last-state", "--pipeline", "default"])
    assert last.expect(0).stdout == b'{"at": 1}\n'
    (file.parent / "other.json").write_text('{"bookmarks": {"at": 7}}')
    load(file, arguments=["--adopt", str(file.parent / "other.json"), "--pipeline", "default"]).expect(0)
    assert state(file)[1]["bookmarks"] == {"at": 7}
    load(file, arguments=["--start-over", "--pipeline", "default"]).expect(0)
    assert state(file)[1] is None
    history = query(file, "SELECT why, state FROM _singerkit_state_history ORDER BY number")
    assert [why for why, _ in history] == ["run", "adopt", "run", "start over"]


# --- kills ---------------------------------------------------------------------------------------------------

ROWS, STEP = 400, 20


def tapped(start: int) -> list[bytes]:
    """What a tap of ours sends that begins behind ``start``, to the end of each STATE: a keyed stream and one without a key."""

    def marked(at: int) -> Any:
        bookmark = {"at": at} if at else {}
        return STATE(bookmark | {MARK: {"run": "r", "pipeline": "default", "complete": at >= ROWS}})

    messages: list[Any] = [
        marked(start),
        SCHEMA("keyed", {"id": {"type": "integer"}, "n": {"type": "integer"}}, ["id"]),
        SCHEMA("plain", {"id": {"type": "integer"}}, []),
    ]
    pieces = []
    for at in range(start, ROWS, STEP):
        for n in range(at, at + STEP):
            messages += [RECORD("keyed", {"id": n % 100, "n": n}), RECORD("plain", {"id": n})]
        pieces.append(lines(*messages, marked(at + STEP)))
        messages = []
    return pieces


def committed(file: Path) -> int:
    """How far the state is, with every row up to there once and none behind."""
    if not file.exists() or not query(file, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'plain'"):
        return 0
    found = query(file, "SELECT state FROM _singerkit_state")
    at = json.loads(found[0][0])["at"] if found and found[0][0] else 0
    assert [n for (n,) in query(file, "SELECT id FROM plain ORDER BY id")] == list(range(at))
    newest = {n % 100: n for n in range(at)}
    assert dict(query(file, "SELECT id, n FROM keyed")) == newest
    assert query(file, "SELECT count(*) FROM keyed") == [(len(newest),)]
    return at


def test_no_row_is_lost_or_doubled_whenever_it_is_killed(file: Path) -> None:
    """kill -9 around a COMMIT, again and again; then a run comes through."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    start = 0
    for _ in range(6):
        pieces = tapped(start)
        with Running(command(file, commit_rows=1), cwd=file.parent) as process:
            process.send(pieces[0])
            assert process.wait_for(lambda printed: len(printed) > 1, 60), "where it starts, then the unit"
            process.send(pieces[1])
            time.sleep(chance.random() * 0.03)
            process.signal(signal.SIGKILL)
            process.finish()
        at = committed(file)
        assert at in (start + STEP, start + 2 * STEP), f"seed {seed}"
        start = at
    run(command(file), stdin=b"".join(tapped(start)), cwd=file.parent).expect(0)
    assert committed(file) == ROWS, f"seed {seed}"


# --- who else is there, and what is no database --------------------------------------------------------------


def test_a_second_run_is_refused_and_the_holder_named(file: Path) -> None:
    with Running(command(file, commit_rows=1), cwd=file.parent) as first:
        first.send(lines(KEYED, record(id=1, t="a"), STATE({"at": 1})))
        assert first.wait_for(bool, 20)
        second = load(file, KEYED, record(id=2, t="b"), STATE({"at": 2}))
        second.expect(75)
        assert f"is open in another process (pid {first._process.pid}, " in second.last_words
        first.finish().expect(0)
    load(file, KEYED, record(id=2, t="b"), STATE({"at": 2})).expect(0)
    assert rows(file) == [(1, "a"), (2, "b")]


def test_a_tap_may_read_its_state_before_the_first_message(file: Path) -> None:
    load(file, KEYED, record(id=1, t="a"), STATE({"at": 1})).expect(0)
    with Running(command(file), cwd=file.parent) as waiting:
        assert waiting.wait_for_error("Loading into", 60)
        end = time.monotonic() + 60
        while True:
            try:
                with duckdb.connect(str(file), read_only=True) as reading:
                    assert reading.execute("SELECT count(*) FROM s").fetchone() == (1,)
                    break
            except duckdb.IOException:  # it looks whether it can write, and leaves it again
                assert time.monotonic() < end
                time.sleep(0.05)
        waiting.send(lines(KEYED, record(id=2, t="b"), STATE({"at": 2})))
        waiting.finish().expect(0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello, world " * 100, "got a file that is none; it was left as it is"),
        (b"", "got a file that is none"),
        (b"SQLite format 3\0" * 100, "got a file that is none"),
    ],
)
def test_a_file_that_is_no_database_is_left_as_it_is(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    refused = load(file, KEYED, record(id=1, t="a"), STATE({"at": 1}))
    refused.expect(78)
    assert words in refused.last_words
    assert file.read_bytes() == content


def test_a_database_of_a_newer_version_is_left_as_it_is(file: Path) -> None:
    duckdb.connect(str(file)).close()
    content = bytearray(file.read_bytes())
    struct.pack_into("<Q", content, 12, 999)  # the version of the format, behind the checksum and `DUCK`
    words = struct.unpack("<511Q", content[8:4096])
    total = 5381
    for word in words:
        total ^= word * 0xBF58476D1CE4E5B9 % 2**64
    struct.pack_into("<Q", content, 0, total)
    file.write_bytes(content)
    refused = load(file, KEYED, record(id=1, t="a"), STATE({"at": 1})).expect(78)
    assert "version number" in refused.last_words
    assert "if a newer version of duckdb has written it, install that one" in refused.last_words
    assert file.read_bytes() == content


def test_a_folder_in_its_place_or_none_around_it(tmp_path: Path) -> None:
    (tmp_path / "w.duckdb").mkdir()
    assert "got a folder" in load(tmp_path / "w.duckdb", KEYED).expect(78).last_words
    nowhere = tmp_path / "config.json"
    nowhere.write_text(json.dumps({"database": str(tmp_path / "no" / "w.duckdb")}))
    missing = run([str(BIN / "target-duckdb"), "--config", str(nowhere)], stdin=lines(KEYED))
    assert (
        f"The folder {tmp_path / 'no'} of the database w.duckdb (`database`) is not there"
        in missing.expect(78).last_words
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(file: Path) -> None:
    folder = file.parent / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    refused = load(file, KEYED, database=str(folder / "w.duckdb"))
    assert f"No file can be made in the folder {folder} by this user" in refused.expect(77).last_words


@pytest.mark.parametrize("path", [":memory:", "md:mine?motherduck_token=eyJhbGci", "s3://bucket/w.duckdb"])
def test_a_place_that_is_no_file_is_refused(file: Path, path: str) -> None:
    """Without what stands behind the scheme: the token of MotherDuck was printed."""
    done = load(file, KEYED, database=path).expect(78)
    scheme = path.partition(":")[0]
    assert f"Expected the path of a file at `database`, got `{scheme}:...`" in done.last_words
    assert path.removeprefix(f"{scheme}:")[:8] not in done.stderr.replace(":memory:", "")


def test_a_full_disk_ends_with_74_and_loses_nothing(file: Path) -> None:
    load(file, KEYED, record(id=1, t="a"), STATE({"at": 1})).expect(0)
    messages = [record(id=n, t=random.Random(n).randbytes(400).hex()) for n in range(20_000)]
    done = subprocess.run(
        command(file),
        input=lines(KEYED, *messages, STATE({"at": 2})),
        capture_output=True,
        timeout=120,
        cwd=file.parent,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20)),
    )
    words = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 74, done.stderr.decode()
    assert "cannot be written" in words
    assert "what was committed is safe: make room" in words
    assert (rows(file), state(file)) == ([(1, "a")], (1, {"at": 1}))
    load(file, KEYED, *messages, STATE({"at": 2})).expect(0)
    assert (len(rows(file)), state(file)[1]) == (20_000, {"at": 2})


def test_a_signal_keeps_what_the_last_state_covers(file: Path) -> None:
    with Running(command(file), cwd=file.parent) as process:
        process.send(lines(KEYED, record(id=1, t="a"), STATE({"at": 1}), record(id=2, t="b")))
        assert process.wait_for_error("Table main.s made", 60)
        process.signal(signal.SIGTERM)
        process.finish().expect(143)
    assert rows(file) == [(1, "a")][: len(rows(file))]
    assert len(rows(file)) == state(file)[0]


def test_an_installation_without_the_extra_is_told_its_name(file: Path) -> None:
    without = (
        "import sys; sys.modules['nanoarrow'] = None\n"
        "from target_duckdb.target import main\n"
        f"sys.argv = ['target-duckdb', '--config', {command(file)[2]!r}]\nmain()"
    )
    done = run([sys.executable, "-c", without], stdin=lines(KEYED))
    assert "pip install 'singerkit[duckdb]'" in done.expect(78).last_words
