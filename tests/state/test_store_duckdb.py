"""The state in a DuckDB file: read by taps without a trace, changed by hand, never for a file that is none."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
from faults.torture import inject
from state.state_tool import answer, refusal, tool

from singerkit_shell.errors import ConfigurationError, LockHeldError
from singerkit_shell.signals import stop_flag
from singerkit_sql_target.states import StateTable
from singerkit_state import store_duckdb
from singerkit_state.location import is_beside_rows, open_store, open_table, read_start_state
from singerkit_state.value import Mark, encode, with_mark
from target_duckdb.connect import DuckDialect

PIPELINE, SCHEMA = "orders & co/ü+1", 'my "schema"'
STATE = {"bookmarks": {"orders": {"replication_key_value": 7}}}
OTHER = {"bookmarks": {"orders": {"replication_key_value": 9}}}
TEXT = encode(STATE)


def put(file: Path, text: str | None, pipeline: str = PIPELINE, schema: str = SCHEMA) -> None:
    """Do what a run of target-duckdb does to its state table."""
    dialect = DuckDialect(file)
    session, states = dialect.connect(), StateTable(dialect, schema)
    states.ensure(session)
    row = states.acquire(session, pipeline, "run-1")
    with session.transaction():
        states.advance(session, row, text)
    session.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w #?%.duckdb"
    put(path, TEXT)
    return path


def url_of(file: Path | str, pipeline: str | None = PIPELINE, schema: str | None = SCHEMA) -> str:
    named = {"pipeline": pipeline, "schema": schema}
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in named.items() if value is not None)
    return f"duckdb://{quote(str(file))}?{query}"


@contextmanager
def held_by_another(file: Path) -> Iterator[subprocess.Popen[str]]:
    code = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


# reading


def test_the_row_of_a_url(file: Path) -> None:
    store = open_store(url_of(file))
    assert store.read() == store.read(PIPELINE) == STATE
    assert (store.pipeline, store.is_file, store.location) == (PIPELINE, False, url_of(file))
    assert is_beside_rows(url_of(file))
    assert open_table(url_of(file)) is None


def test_the_schema_has_a_default(tmp_path: Path) -> None:
    put(tmp_path / "w.duckdb", TEXT, "p", "main")
    assert read_start_state(url_of(tmp_path / "w.duckdb", "p", None)) == STATE


def test_paths(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes begin an absolute path, two one in the working folder; SQLAlchemy's four are absolute, too."""
    monkeypatch.chdir(file.parent)
    for place in (file, f"//{file}", file.name, f"./{file.name}", f"../{file.parent.name}/{file.name}"):
        assert read_start_state(url_of(place)) == STATE, place
    with pytest.raises(ConfigurationError, match=r"there is no file /w.*write duckdb://w") as caught:
        read_start_state(url_of(f"/{file.name}"))
    assert caught.value.exit_code == 78


def test_no_file_no_table_no_row_and_no_commit_are_a_first_run(
    tmp_path: Path, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (tmp_path / "empty.duckdb").touch()  # what DuckDB makes first
    duckdb.connect(str(tmp_path / "new.duckdb")).close()
    put(tmp_path / "begun.duckdb", None)
    before = sorted(os.listdir(tmp_path))
    for url in (
        url_of(tmp_path / "missing.duckdb"),
        url_of(tmp_path / "empty.duckdb"),
        url_of(tmp_path / "new.duckdb"),
        url_of(tmp_path / "begun.duckdb"),
        url_of(file, "another"),
    ):
        assert read_start_state(url) is None
        assert "this is a first run" in caplog.text
        caplog.clear()
    assert sorted(os.listdir(tmp_path)) == before, "a tap makes no file"


def test_a_folder_that_is_not_there_is_no_first_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_start_state(url_of(tmp_path / "missing" / "w.duckdb"))


def test_reading_changes_nothing(file: Path) -> None:
    """Not even what a killed run has left beside the file."""
    code = "import os, sys, duckdb; c = duckdb.connect(sys.argv[1]); c.execute('CREATE TABLE t (a INT)'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    before = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    assert len(before) == 2
    assert read_start_state(url_of(file)) == STATE
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == before


def test_a_row_of_another_pipeline_and_one_that_holds_no_state(tmp_path: Path, file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"names the pipeline `orders & co/ü\+1`.*`customers`"):
        read_start_state(url_of(file), "customers")
    put(tmp_path / "o.duckdb", encode(with_mark(STATE, Mark("r", "customers", True))))
    with pytest.raises(ConfigurationError, match=r"belongs to the pipeline `customers`"):
        read_start_state(url_of(tmp_path / "o.duckdb"), PIPELINE)
    put(tmp_path / "n.duckdb", "[1]")
    with pytest.raises(ConfigurationError, match="not an object; set another one"):
        read_start_state(url_of(tmp_path / "n.duckdb"))


# a file that another process has open


def test_a_file_that_a_run_writes_to_is_waited_for(file: Path) -> None:
    with held_by_another(file) as process:
        threading.Timer(0.3, process.kill).start()
        assert read_start_state(url_of(file)) == STATE


def test_who_holds_it_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_duckdb, "WAIT_SECONDS", 0.0)
    with held_by_another(file) as process:
        store = open_store(url_of(file))
        for look in (store.read, store.snapshot, store.entries, lambda: store.unlock(lambda _: True)):
            with pytest.raises(
                LockHeldError, match=rf"open in another process \(pid {process.pid}, "
            ) as caught:
                look()
            assert caught.value.exit_code == 75
        with pytest.raises(LockHeldError, match="nothing was read or changed"):
            store.change(lambda _: "{}", "set")
    assert open_store(url_of(file)).unlock(lambda _: True) is None


def test_a_signal_ends_the_wait(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_by_another(file), monkeypatch.context() as patched:
        patched.setattr(stop_flag, "signum", 15)
        with pytest.raises(BaseException, match="the state was waited for"):
            read_start_state(url_of(file))


def test_a_file_that_is_let_go_just_then_is_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """target-duckdb opens its file for a moment when it begins, while the tap beside it reads the state."""
    connect, refused = duckdb.connect, [duckdb.IOException("Could not set lock")] * 2

    def racing(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        if refused:
            raise refused.pop()
        return connect(*arguments, **options)

    monkeypatch.setattr(duckdb, "connect", racing)
    monkeypatch.setattr(store_duckdb, "_LOOK_AGAIN_SECONDS", 0.01)
    assert read_start_state(url_of(file)) == STATE
    assert not refused


# what is no state, and no URL


@pytest.mark.parametrize("content", [b"hello" * 4000, b"x"])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.duckdb"
    path.write_bytes(content)
    for use in (lambda store: store.read(), lambda store: store.change(lambda _: "{}", "set")):
        with pytest.raises(
            ConfigurationError, match="got a file that is none; it was left as it is"
        ) as caught:
            use(open_store(url_of(path)))
        assert caught.value.exit_code == 78
    assert path.read_bytes() == content


@pytest.mark.parametrize("call", [1, 6], ids=["opening", "reading"])
def test_a_disk_that_does_not_answer_is_no_wrong_setting(file: Path, call: int) -> None:
    faults = {"LD_PRELOAD": str(inject.library()), "TORTURE_SPEC": inject.rule("pread", call, f"errno={errno.EIO}", persists=True)}  # fmt: skip
    done = subprocess.run(
        [Path(sys.executable).with_name("singerkit-state"), "show", url_of(file)],
        env=os.environ | faults,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stderr.splitlines()[-1]
    assert (done.returncode, "cannot be read (IO Error" in said, "mend its disk" in said) == (69, True, True)


def test_a_folder_and_a_torn_file(tmp_path: Path, file: Path) -> None:
    with pytest.raises(ConfigurationError, match="got a folder"):
        read_start_state(url_of(tmp_path))
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ConfigurationError, match="cannot be opened as a database"):
        read_start_state(url_of(file))


def test_a_table_that_is_no_state_table(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        connection.execute("CREATE TABLE _singerkit_state (pipeline VARCHAR)")
    with pytest.raises(ConfigurationError, match="is no state table, it has no column `epoch`"):
        read_start_state(url_of(tmp_path / "w.duckdb", "p", None))


@pytest.mark.parametrize(
    ("url", "finding"),
    [
        ("duckdb://", "it names no file"),
        ("duckdb:///", "it names no file"),
        ("duckdb:///w/?pipeline=p", "it names no file"),
        ("duckdb:///a%00?pipeline=p", "it names no file"),
        ("duckdb://:memory:?pipeline=p", "kept in a file only"),
        ("duckdb:///w.duckdb", "it names no pipeline"),
        ("duckdb:///w.duckdb?pipline=p", "means nothing .`pipline`: did you mean `pipeline`"),
        ("duckdb:///w.duckdb?pipeline=p&access=hunter2", "has a parameter that means nothing;"),
        ("duckdb:///w#1.duckdb?pipeline=p", "percent-encode #"),
        ("duckdb:///w.duckdb?pipeline=%ff%00", "cannot store"),
    ],
)
def test_a_url_that_is_not_one(url: str, finding: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{finding}.* expected is duckdb:///PATH") as caught:
        open_store(url)
    assert caught.value.exit_code == 78
    assert "hunter2" not in str(caught.value)


def test_the_driver_is_an_extra(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'singerkit\[duckdb\]'"):
        read_start_state(url_of(file))


def test_a_url_needs_no_driver_until_it_is_read() -> None:
    code = (
        "import sys; from singerkit_state.location import open_store; open_store('duckdb:///w.duckdb?pipeline=p');"
        "print('duckdb' in sys.modules, 'psycopg2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


# singerkit-state


def test_the_tool_changes_the_row_and_goes_back(file: Path) -> None:
    url = url_of(file)
    shown = answer("show", url, "--json")
    assert (shown["pipeline"], shown["epoch"], shown["sequence"], shown["run_id"]) == (
        PIPELINE,
        1,
        1,
        "run-1",
    )
    tool("set", url, encode(OTHER))
    assert answer("get", url) == OTHER
    assert answer("show", url, "--json")["epoch"] == 2
    tool("set", url, "--from-history", "1")
    assert answer("get", url) == STATE
    tool("reset", url, "--yes")
    assert read_start_state(url) is None
    assert [entry["why"] for entry in answer("history", url, "--json")["entries"]] == [
        "reset",
        "restore",
        "set",
    ]
    tool("unlock", url, "--yes")


def test_a_run_goes_on_from_what_was_set_and_an_older_one_is_fenced(file: Path) -> None:
    open_store(url_of(file)).change(lambda _: encode(OTHER), "set")
    dialect = DuckDialect(file)
    session, states = dialect.connect(), StateTable(dialect, SCHEMA)
    row = states.acquire(session, PIPELINE, "run-2")
    session.close()
    assert row.state_text == encode(OTHER)
    assert len(row.former) == 1
    assert row.epoch == 3


def test_all_pipelines_of_a_file(file: Path) -> None:
    put(file, None, "begun")
    found = answer("show", url_of(file, None), "--json")["pipelines"]
    assert [one["pipeline"] for one in found] == ["begun", PIPELINE]
    said = refusal(78, "show", url_of(file, "mistyped"))
    assert "there are `begun`, `orders & co/ü+1`" in said


def test_where_no_run_has_been_nothing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    said = refusal(78, "set", url_of(path), TEXT)
    assert "let target-duckdb make it, whose `--adopt` takes a state over" in said
    assert not path.exists()
    duckdb.connect(str(path)).close()
    refusal(78, "set", url_of(path), TEXT)
    refusal(78, "show", url_of(path, None))
