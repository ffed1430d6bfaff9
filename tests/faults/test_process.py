"""FAULTS.md, "Process, pipe, state file", for target-postgres. After each fault the checker reads the database,
and a second run completes the tables."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from conformance.processes import Outcome, run
from faults.loads import (
    MARKED,
    RECORD,
    SCHEMA,
    STATE,
    Running,
    command,
    connected,
    lines,
    load,
    query,
    running,
)
from faults.pipeline import check, committed, rows, run_of, schemas
from waiting import wait_until

from singerkit_state.postgres import fencing

LAST = 60
SECONDS = 30.0


def complete(database: str, last: int = LAST, **config: Any) -> None:
    """What the operator does after every failure: run again."""
    load(database, *run_of(committed(database), last), **config).expect(0)
    check(database, last)


# --- P1 -----------------------------------------------------------------------------------------------------

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None
    or subprocess.run(
        ["strace", "-qq", "-o", "/dev/null", "true"], check=False, capture_output=True
    ).returncode
    != 0,
    reason="needs strace (Debian: apt-get install strace; .ci/run does it), and a machine that lets it trace",
)
EXHAUSTIVE = os.environ.get("SINGERKIT_KILLS") == "all"
BIG_ROWS = 40
MOMENTS = range(1, 200) if EXHAUSTIVE else (1, 20, 48, 77)
"""Which of its messages to the server a target is killed at; all of them with SINGERKIT_KILLS=all."""


@pytest.mark.fault("P1", exit=[137])
@needs_strace
@pytest.mark.parametrize("moment", MOMENTS)
def test_p01_killed_at_a_message_to_the_server(database: str, tmp_path: Path, moment: int) -> None:
    words = command(tmp_path, database, {"commit_rows": 1})
    trace = ["-e", "trace=sendto", "-e", f"inject=sendto:signal=KILL:when={moment}"]
    # More bytes between two STATEs than the target reads at a time: its units stay apart.
    messages = run_of(0, BIG_ROWS, padding=150_000)
    outcome = run(["strace", "-f", "-qq", "-o", "/dev/null", *trace, *words], stdin=lines(*messages))
    if outcome.code == 0:
        assert moment > 40, "the run sends fewer messages than these tests were made for"
        pytest.skip("the run has fewer messages")
    outcome.expect(-9, 137)
    at = check(database)
    printed = positions(outcome)
    assert printed == sorted(printed)
    assert all(number <= at for number in printed)
    complete(database, BIG_ROWS)


@pytest.mark.fault("P1", exit=[137])
@pytest.mark.parametrize("states", [1, 3, 5])
def test_p01_killed_right_after_a_state_was_printed(database: str, states: int) -> None:
    with running(database, commit_rows=1) as target:
        feed = threading.Thread(target=feed_by_state, args=(target, run_of(0, LAST)))
        feed.start()
        assert target.wait_for(lambda printed: len(printed) > states)
        target.signal(signal.SIGKILL)
        feed.join()
        outcome = target.finish().expect(-9)
    at = check(database)
    assert at >= positions(outcome)[-1]
    complete(database)


def positions(outcome: Outcome) -> list[int]:
    """What was printed after commits: a run of our taps prints first where it starts."""
    printed = [json.loads(line) for line in outcome.stdout.splitlines()]
    return [value["at"] for value in printed if "at" in value]


def feed_by_state(target: Running, messages: Iterator[Any]) -> None:
    """Send the messages up to a STATE only after the STATE before it was printed."""
    waiting: list[Any] = []
    sent = 0
    for message in messages:
        waiting.append(message)
        if message["type"] == "STATE" and message["value"].get("at"):
            target.send(lines(*waiting))
            waiting = []
            sent += 1
            if not target.wait_for(lambda printed, sent=sent: len(printed) > sent, SECONDS):
                return


# --- P2, P3, end of input -----------------------------------------------------------------------------------


def cut(database: str, text: bytes, **config: Any) -> Any:
    with running(database, **config) as target:
        target.send(text)
        return target.finish()


@pytest.mark.fault("P2", exit=[65], main=True, only="record-our")
@pytest.mark.fault("P2", exit=[65])
@pytest.mark.parametrize("marked", [True, False], ids=["our tap", "a tap by others"])
@pytest.mark.parametrize("cut_at", ["record", "state", "schema", "start"])
def test_p02_the_last_line_has_no_end(database: str, marked: bool, cut_at: str) -> None:
    text = b"" if cut_at == "start" else lines(*run_of(0, 30, marked=marked), *rows(31, 34))
    last = {
        "record": RECORD("log", {"n": 35, "text": "x"}),
        "state": STATE({"at": 34}),
        "schema": schemas()[1],
    }
    text += lines(last.get(cut_at, schemas()[0]))[:-9]
    outcome = cut(database, text, on_invalid="quarantine").expect(65)
    assert "in the middle of a message" in outcome.last_words
    assert "rows are committed" in outcome.last_words
    check(database, 0 if cut_at == "start" else 30)
    if marked and cut_at == "record":
        complete(database)


def test_p02_a_whole_message_needs_no_newline_at_the_end(database: str) -> None:
    cut(database, lines(*run_of(0, 30))[:-1]).expect(0)
    check(database, 30)


@pytest.mark.fault("P3", exit=[65], main=True)
def test_p03_our_tap_died_between_lines(database: str) -> None:
    versions = [{"type": "ACTIVATE_VERSION", "stream": "log", "version": 2}]
    messages = [*list(run_of(0, 30))[:-1], *rows(31, 34), *versions]
    outcome = load(database, *messages, add_record_metadata=True).expect(65)
    assert "before the tap had finished" in outcome.last_words
    assert (
        "whose own last line says why; rows after its last STATE were dropped: mend that, then"
        in outcome.last_words
    )
    check(database, 30)
    complete(database, add_record_metadata=True)


@pytest.mark.fault("P3", exit=[65])
def test_p03_our_tap_died_before_its_first_state(database: str) -> None:
    load(database, MARKED({}), *schemas(), *rows(1, 4)).expect(65)
    check(database, 0)
    complete(database)


@pytest.mark.fault("P3", exit=[65])
def test_p03_rows_after_the_mark_of_the_end_are_no_success(database: str) -> None:
    load(database, *run_of(0, 30), *rows(31, 34)).expect(65)
    check(database, 30)


@pytest.mark.fault("P3", exit=[0])
def test_p03_a_tap_by_others_ends_its_streams_with_its_output(database: str) -> None:
    load(database, *run_of(0, 30, marked=False), *rows(31, 34)).expect(0)
    assert len(query(database, "SELECT n FROM log")) == 34
    assert committed(database) == 30


def test_p03_nothing_at_all_is_a_failure(database: str) -> None:
    outcome = load(database).expect(65)
    assert "empty" in outcome.stderr


# --- P4, P5 -------------------------------------------------------------------------------------------------


@pytest.mark.fault("P4", exit=[143], main=True)
def test_p04_sigterm_while_idle(database: str) -> None:
    with running(database) as target:
        target.send(lines(*list(run_of(0, 30))[:-1], *rows(31, 34)))
        wait_until(lambda: in_transaction(database), "a transaction")
        target.signal(signal.SIGTERM)
        outcome = target.finish(close=False).expect(143)
    assert "SIGTERM" in outcome.last_words
    assert positions(outcome) == [30]
    check(database, 30)
    complete(database)


@pytest.mark.fault("P4", exit=[130])
def test_p04_sigint_while_idle(database: str) -> None:
    with running(database) as target:
        target.send(lines(*list(run_of(0, 30))[:-1]))
        wait_until(lambda: in_transaction(database), "a transaction")
        target.signal(signal.SIGINT)
        target.finish(close=False).expect(130)
    check(database, 30)


@pytest.mark.fault("P4", exit=[143])
def test_p04_sigterm_before_any_input(database: str) -> None:
    with running(database) as target:
        wait_until(lambda: sessions(database), "a session")
        wait_until(lambda: query(database, "SELECT to_regclass('_singerkit_state')")[0][0], "the state table")
        target.signal(signal.SIGTERM)
        target.finish(close=False).expect(143)


def sessions(database: str, condition: str = "true") -> list[tuple[Any, ...]]:
    return query(
        database,
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'target-postgres' "
        f"AND datname = current_database() AND {condition}",
    )


def in_transaction(database: str) -> list[tuple[Any, ...]]:
    """The sessions that have had nothing to do for longer than the target waits for more input."""
    return sessions(
        database, "state = 'idle in transaction' AND state_change < clock_timestamp() - interval '0.7 s'"
    )


def waiting(database: str) -> list[tuple[Any, ...]]:
    return sessions(database, "wait_event_type = 'Lock'")


GATE = 4711
"""An advisory lock: whoever holds it stops the target at the trigger that asks for it."""

TRIGGERS = {
    "copy": "CREATE TRIGGER gate BEFORE INSERT ON log FOR EACH ROW WHEN (NEW.n > 30) EXECUTE FUNCTION gate()",
    "merge": "CREATE TRIGGER gate BEFORE UPDATE ON keyed FOR EACH ROW WHEN (NEW.n > 30) EXECUTE FUNCTION gate()",
    "commit": "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON log DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (NEW.n = 40) EXECUTE FUNCTION gate()",
}


@contextmanager
def stopped_in(database: str, where: str, **config: Any) -> Iterator[tuple[Running, Any]]:
    """A target that waits in mid-``where`` of its second unit, and the cursor that holds it there."""
    load(database, *run_of(0, 30)).expect(0)
    query(
        database,
        "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW; END $$",
    )
    query(database, TRIGGERS[where])
    with connected(database) as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", [GATE])
        with running(database, commit_rows=1, **config) as target:
            target.send(lines(*list(run_of(30, 40))[:-1], *rows(41, 44)))
            wait_until(lambda: waiting(database), f"a wait in {where}")
            yield target, gate


@pytest.mark.fault("P4", exit=[143])
@pytest.mark.parametrize("where", TRIGGERS)
def test_p04_sigterm_in_mid_unit_finishes_the_unit(database: str, where: str) -> None:
    with stopped_in(database, where) as (target, gate):
        target.signal(signal.SIGTERM)
        gate.execute("SELECT pg_advisory_unlock(%s)", [GATE])
        outcome = target.finish(close=False).expect(143)
    at = check(database)
    assert positions(outcome) == ([30, 40] if at == 40 else [30])
    assert at == 40
    complete(database)


@pytest.mark.fault("P5", exit=[143])
@pytest.mark.parametrize("where", TRIGGERS)
def test_p05_a_second_sigterm_rolls_back_at_once(database: str, where: str) -> None:
    with stopped_in(database, where) as (target, _gate):
        target.signal(signal.SIGTERM)
        threading.Event().wait(0.1)  # two signals at once would be one
        target.signal(signal.SIGTERM)
        outcome = target.finish(close=False, seconds=10).expect(143)
    assert positions(outcome) == [30], "where it started"
    check(database, 30)
    if where == "commit":
        complete(database)


# --- P8, P9 -------------------------------------------------------------------------------------------------


@pytest.mark.fault("P8", exit=[69, 76])
def test_p08_a_stopped_run_cannot_commit_once_a_new_one_took_over(database: str) -> None:
    with running(database) as old:
        old.send(lines(*list(run_of(0, 30))[:-1]))
        ((pid,),) = wait_until(lambda: in_transaction(database), "a transaction")
        old.signal(signal.SIGSTOP)
        query(database, "SELECT pg_terminate_backend(%s)", [pid])  # as a server does with a dead client
        wait_until(lambda: not sessions(database), "the end of the session")
        load(database, *run_of(0, 50)).expect(0)
        old.signal(signal.SIGCONT)
        outcome = old.finish().expect(76)
    assert positions(outcome) == []
    check(database, 50)


BUSY_HOLDER = """
import sys
from singerkit_state.postgres import fencing
from singerkit_state.postgres import table as state_table
from singerkit_postgres.address import dsn_of
from singerkit_postgres.connect import connect
connection = connect(dsn_of({"dsn": sys.argv[1]}), lock_timeout_seconds=5)
state_table.ensure_table(connection, "public", "_singerkit_state")
fencing.acquire(connection, "public", "_singerkit_state", "orders", "run-1")
print("held", flush=True)
connection.cursor().execute("SELECT pg_sleep(60)")
"""


def test_a_run_behind_one_that_was_killed_in_a_long_statement_waits_for_its_session(database: str) -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY_HOLDER, database], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        asleep = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        )
        wait_until(lambda: bool(query(database, asleep)), "the long statement")
        holder.kill()
    with contextlib.closing(psycopg2.connect(database)) as connection:
        assert fencing.acquire(connection, "public", "_singerkit_state", "orders", "run-2").epoch == 2


@pytest.mark.fault("P9", exit=[75])
def test_p09_a_second_run_is_refused_at_once(database: str) -> None:
    with running(database) as first:
        first.send(lines(*list(run_of(0, 30))[:-1]))
        wait_until(lambda: in_transaction(database), "a transaction")
        second = load(database, *run_of(0, 30)).expect(75)
        assert "since" in second.last_words
        assert "pid" in second.last_words
        load(database, *run_of(0, 30), pipeline="another", default_target_schema="other").expect(0)
        first.send(lines(MARKED({"at": 30}, complete=True)))
        first.finish().expect(0)
    check(database, 30)


# --- P10, S1 to S4 ------------------------------------------------------------------------------------------


@pytest.mark.fault("P10", exit=[74])
def test_p10_stdout_is_full(database: str, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = subprocess.run(
            command(tmp_path, database, {"commit_rows": 1}),
            input=lines(*run_of(0, 30)),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    outcome = Outcome(tuple(process.args), process.returncode, b"", process.stderr.decode()).expect(74)
    assert "nothing was written" in outcome.last_words
    check(database, 0)
    complete(database)


@pytest.mark.fault("P10", exit=[74])
def test_p10_the_reader_of_stdout_has_gone(database: str, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.run(
        command(tmp_path, database, {"commit_rows": 1}),
        input=lines(*run_of(0, 30)),
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(write_end)
    outcome = Outcome(tuple(process.args), process.returncode, b"", process.stderr.decode()).expect(74)
    assert "nothing was written" in outcome.last_words
    check(database, 0)
    complete(database)


@pytest.mark.fault("P10", exit=[74])
def test_p10_the_reader_of_stdout_goes_in_mid_run(database: str, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    words = command(tmp_path, database, {"commit_rows": 1})
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=write_end, stderr=subprocess.PIPE) as process:
        os.close(write_end)
        first, *rest = run_of(0, 30)
        assert process.stdin is not None
        process.stdin.write(lines(first))
        process.stdin.flush()
        assert os.read(read_end, 4096).endswith(b"\n"), "where it starts"
        os.close(read_end)
        _, stderr = process.communicate(lines(*rest), timeout=60)
    outcome = Outcome(tuple(process.args), process.returncode, b"", stderr.decode()).expect(74)
    assert "state is saved" in outcome.last_words
    check(database)
    complete(database)


@pytest.fixture
def state_file(database: str, tmp_path: Path) -> Path:
    """The state file after a first run, in a folder of its own."""
    path = tmp_path / "state" / "state.json"
    path.parent.mkdir()
    load(database, *run_of(0, 10), arguments=["--state-file", str(path)]).expect(0)
    assert json.loads(path.read_text())["at"] == 10
    return path


def fails_to_write(database: str, tmp_path: Path, state_file: Path, *prefix: str) -> None:
    before = state_file.read_bytes()
    words = [*prefix, *command(tmp_path, database, {"commit_rows": 1}, "--state-file", str(state_file))]
    outcome = run(words, stdin=lines(*run_of(10, 30, every=5))).expect(74)
    assert str(state_file) in outcome.last_words
    assert state_file.read_bytes() == before
    assert [path.name for path in state_file.parent.iterdir() if path.suffix == ".tmp"] == []
    arguments = ["--state-file", str(state_file)]
    if check(database) > 10:
        # The database is ahead of the file: the next run says so, mends the file, and the one after it completes.
        load(database, *run_of(10, 30), arguments=arguments).expect(69)
    load(database, *run_of(json.loads(state_file.read_text())["at"], 30), arguments=arguments).expect(0)
    check(database, 30)
    assert json.loads(state_file.read_text())["at"] == 30


@pytest.mark.fault("S1", exit=[74])
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
def test_s01_no_space_for_the_state_file(database: str, tmp_path: Path, state_file: Path) -> None:
    fails_to_write(database, tmp_path, state_file, "prlimit", "--fsize=20")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.fault("S1", exit=[74], main=True)
def test_s01_the_disk_of_the_state_file_is_full(database: str, tiny_disk: Path) -> None:
    path, filler = tiny_disk / "state.json", tiny_disk / "filler"
    arguments = ["--state-file", str(path)]
    load(database, *run_of(0, 10), arguments=arguments).expect(0)
    before = path.read_bytes()
    with running(database, *arguments, commit_rows=1) as target:
        target.send(lines(*list(run_of(10, 20))[:-1]))
        wait_until(lambda: committed(database) == 20, "the first unit")
        before = wait_until(lambda: path.read_bytes() != before and path.read_bytes(), "the state of it")
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        target.send(lines(*list(run_of(20, 30))[1:]))
        outcome = target.finish().expect(74)
    assert "No space left on device" in outcome.last_words
    assert path.read_bytes() == before
    assert [found.name for found in tiny_disk.iterdir() if found.suffix == ".tmp"] == []
    filler.unlink()
    check(database, 30)
    load(database, *run_of(20, 40), arguments=arguments).expect(69)  # it says so and mends the file
    load(database, *run_of(30, 40), arguments=arguments).expect(0)
    check(database, 40)


@pytest.mark.fault("S1", exit=[74], only="s01")
@pytest.mark.fault("S4", exit=[74], only="s04_fsync")
@needs_strace
@pytest.mark.parametrize(
    "fault",
    ["inject=fsync:error=EIO:when=1", "inject=rename:error=ENOSPC:when=1"],
    ids=["s04_fsync", "s01_rename"],
)
def test_s01_s04_the_state_file_cannot_be_replaced(
    database: str, tmp_path: Path, state_file: Path, fault: str
) -> None:
    fails_to_write(database, tmp_path, state_file, "strace", "-f", "-qq", "-o", "/dev/null", "-e", fault)


GOOD = json.dumps({"at": 10, "_singerkit": {"run": "r1", "pipeline": "default", "complete": True}})


@pytest.mark.fault("S2", exit=[78])
@pytest.mark.parametrize("text", ["", GOOD[:7], GOOD[:-1], "[]"], ids=repr)
def test_s02_a_torn_state_file_is_refused(database: str, tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    outcome = load(database, *run_of(0, 10), arguments=["--state-file", str(path)]).expect(78)
    assert str(path) in outcome.last_words
    assert ("is no state" if text == "[]" else "`--last-state`") in outcome.last_words
    assert path.read_text() == text
    check(database, 0)


@pytest.mark.fault("S3", exit=[78])
def test_s03_the_state_file_of_another_pipeline_is_refused(database: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(GOOD.replace("default", "orders"))
    outcome = load(database, *run_of(0, 10), arguments=["--state-file", str(path)]).expect(78)
    assert "`orders`" in outcome.last_words
    assert "`default`" in outcome.last_words
    check(database, 0)


@pytest.mark.fault("S6", exit=[0])
@pytest.mark.skipif(
    shutil.which("faketime") is None,
    reason="needs faketime (Debian: apt-get install faketime; .ci/run does it)",
)
@pytest.mark.parametrize("jump", ["-10y", "+10y"])
def test_s06_the_clock_has_no_say(database: str, tmp_path: Path, jump: str) -> None:
    load(database, *run_of(0, 20)).expect(0)
    words = ["faketime", "-f", jump, *command(tmp_path, database, {})]
    run(words, stdin=lines(*run_of(20, 40))).expect(0)
    check(database, 40)
    complete(database)


def test_a_server_that_is_away_is_said_in_one_sentence(tmp_path: Path) -> None:
    outcome = load("postgresql://nobody@127.0.0.1:1/none", SCHEMA("s", {})).expect(69)
    assert len(outcome.stderr.splitlines()) == 1
    assert "127.0.0.1:1" in outcome.last_words
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect("postgresql://nobody@127.0.0.1:1/none")
