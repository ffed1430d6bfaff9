"""Where a state is kept against where the rows are: what a run starts from is known to the target, or is asked for.

Every command that a sentence names is run as it stands there.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, Running, run
from conformance.singer import MARK, RECORD, SCHEMA, STATE, lines
from faults.loads import query
from state.state_tool import state_url, tool
from waiting import wait_until

from singerkit_state.postgres.url import without_password

BIN = Path(sys.executable).parent
LOG = SCHEMA("log", {"n": {"type": "integer"}})


def at(number: int | None) -> dict[str, Any]:
    return {"bookmarks": {} if number is None else {"log": {"replication_key_value": number}}}


class Place:
    """A target, with what a tap sends that reads the rows after the one that its state names."""

    def __init__(
        self, folder: Path, config: dict[str, Any], name: str, count: Callable[[], list[int]]
    ) -> None:
        self.folder = folder
        self.name = name
        self.rows = count
        self.config = folder / "config.json"
        self.config.write_text(json.dumps({**config, "commit_rows": 1}))
        self.state = folder / "state.json"

    def command(self, *arguments: str) -> list[str]:
        return [str(BIN / self.name), "--config", str(self.config), *arguments]

    def messages(
        self, start: Any, last: int, *, marked: bool, resumes: str | None, complete: bool = True
    ) -> list[Any]:
        """What a tap sends that starts from the value ``start``, in a unit of commit for each row."""
        plain = {key: item for key, item in start.items() if key != MARK}
        mark = {"run": "r", "pipeline": "default", "complete": False} | (
            {"resumes": resumes} if resumes else {}
        )

        def state(value: Any, **more: Any) -> Any:
            return STATE({**value, MARK: mark | more} if marked else value)

        position = plain["bookmarks"].get("log", {}).get("replication_key_value", 0)
        sent = [state(plain, location=str(self.state))] if marked else []
        sent.append(LOG)
        for number in range(position + 1, last + 1):
            sent += [RECORD("log", {"n": number}), state(at(number))]
        if marked and complete:
            sent.append(state(at(max(last, position)), complete=True))
        return sent

    def run(self, last: int, *, marked: bool = True, kept: str = "file", cut: str | None = None) -> Outcome:
        """A run up to the row ``last``; ``kept`` is `file` (--state-file) or `stdout` (`tail -1`)."""
        found = json.loads(self.state.read_text()) if self.state.exists() else None
        resumes = "missing" if found is None else "file"
        sent = self.messages(found or at(None), last, marked=marked, resumes=resumes)
        arguments = ["--state-file", str(self.state)] if kept == "file" else []
        outcome = run(self.command(*arguments), stdin=lines(*sent))
        if kept == "stdout":
            self.keep(outcome.stdout)
        return outcome

    def keep(self, stdout: bytes) -> None:
        """The plain habit: `tail -1`."""
        if stdout.strip():
            self.state.write_bytes(stdout.splitlines()[-1] + b"\n")

    def copied(self, outcome: Outcome, *words: str) -> Outcome:
        """Run the command of the last sentence that holds ``words``, as it stands there."""
        found = [
            one for one in re.findall(r"`([^`]+)`", outcome.last_words) if all(word in one for word in words)
        ]
        assert len(found) == 1, outcome.last_words
        name, *rest = shlex.split(found[0])
        return run([str(BIN / name), *rest])


@pytest.fixture(params=["postgres", "jsonl"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "postgres":
        return in_database(tmp_path, request.getfixturevalue("database"))
    out = tmp_path / "out"

    def count() -> list[int]:
        path = out / "log.jsonl"
        if not path.exists():
            return []
        # A file is made before the manifest lists it.
        size = json.loads((out / "_singerkit_manifest.json").read_text())["files"].get("log.jsonl", 0)
        return [json.loads(line)["n"] for line in path.read_bytes()[:size].splitlines()]

    return Place(tmp_path, {"destination_path": str(out)}, "target-jsonl", count)


def in_database(folder: Path, database: str, schema: str = "public") -> Place:
    def count() -> list[int]:
        if not query(database, "SELECT to_regclass(%s)", [f"{schema}.log"])[0][0]:
            return []
        return [n for (n,) in query(database, f"SELECT n FROM {schema}.log ORDER BY n")]

    return Place(folder, {"dsn": database, "default_target_schema": schema}, "target-postgres", count)


# D.13 the plain habit


def test_a_first_run_that_cannot_print_commits_nothing(place: Place) -> None:
    """It committed, and the next run, which the sentence advised, doubled the rows of streams without a key."""
    sent = lines(*place.messages(at(None), 3, marked=True, resumes="missing"))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(place.command(), input=sent, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 74, done.stderr
    assert b"nothing was written" in done.stderr.splitlines()[-1]
    assert place.rows() == []
    place.run(3, kept="stdout").expect(0)
    assert place.rows() == [1, 2, 3]


def test_a_stdout_that_is_closed_is_one_that_cannot_be_printed_to(place: Place) -> None:
    sent = lines(*place.messages(at(None), 3, marked=True, resumes="missing"))
    closed = run(["sh", "-c", 'exec "$@" >&-', "sh", *place.command()], stdin=sent).expect(74)
    assert "nothing was read" in closed.last_words
    assert place.rows() == []


@pytest.mark.parametrize("kept", ["file", "stdout", "nothing"])
def test_a_first_run_killed_between_commit_and_print_is_not_doubled(place: Place, kept: str) -> None:
    """``nothing``: a script that keeps the state of runs that succeed only."""
    arguments = ["--state-file", str(place.state)] if kept == "file" else []
    with Running(place.command(*arguments)) as target:
        target.send(lines(*place.messages(at(None), 2, marked=True, resumes="missing", complete=False)))
        wait_until(lambda: place.rows() == [1, 2])
        target.signal(signal.SIGKILL)
        printed = target.finish().stdout
    opening = printed.splitlines()[0]
    assert json.loads(opening)["bookmarks"] == {}
    if kept == "file":
        place.state.write_bytes(opening + b"\n")  # as if it had been killed before the first rename
    elif kept == "stdout":
        place.keep(opening)
    again = place.run(3, kept="file" if kept == "file" else "stdout").expect(69)
    assert "run again" in again.last_words
    assert place.rows() == [1, 2]
    place.run(3, kept="file" if kept == "file" else "stdout").expect(0)
    assert place.rows() == [1, 2, 3]


def test_no_state_at_all_starts_over_as_somebody_has_asked(place: Place) -> None:
    place.run(2).expect(0)
    sent = place.messages(at(None), 2, marked=True, resumes=None)
    assert "starts over" in run(place.command(), stdin=lines(*sent)).expect(0).stderr
    assert place.rows() in ([1, 1, 2, 2], [1, 2, 1, 2])


# D.14 taps of others


@pytest.mark.parametrize("marked", [True, False], ids=["ours", "others"])
@pytest.mark.parametrize("behind", [0, 2])
def test_a_file_that_a_kill_left_behind_is_brought_up_to_date(
    place: Place, marked: bool, behind: int
) -> None:
    """It was 78 on every later run of a tap by others."""
    files = [json.dumps(at(None))]
    for last in (1, 2, 3):
        place.run(last, marked=marked).expect(0)
        files.append(place.state.read_text())
    place.state.write_text(files[behind])
    again = place.run(4, marked=marked).expect(69)
    assert "run again" in again.last_words
    assert json.loads(place.state.read_text())["bookmarks"] == at(3)["bookmarks"]
    assert place.rows() == [1, 2, 3]
    place.run(4, marked=marked).expect(0)
    assert place.rows() == [1, 2, 3, 4]


# D.15 an empty or another target under an old state


def emptied(place: Place, tmp_path: Path) -> Place:
    """The same pipeline with a target that holds nothing."""
    config = json.loads(place.config.read_text())
    if place.name == "target-jsonl":
        config["destination_path"] = str(tmp_path / "elsewhere")
        out = Path(config["destination_path"])
        new = Place(tmp_path, config, place.name, lambda: numbers(out / "log.jsonl"))
    else:
        new = in_database(tmp_path, config["dsn"], "elsewhere")
    return new


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_bytes().splitlines()] if path.exists() else []


@pytest.mark.parametrize(
    ("marked", "kept"),
    # a tap by others with the state on stdout does not say where it starts
    [(True, "file"), (True, "stdout"), (False, "file")],
    ids=["ours-file", "ours-stdout", "others-file"],
)
@pytest.mark.parametrize("way", ["--adopt", "everything"])
def test_an_empty_target_under_an_old_state_is_refused_until_somebody_says_which(
    place: Place, tmp_path: Path, kept: str, marked: bool, way: str
) -> None:
    place.run(2, marked=marked, kept=kept).expect(0)
    new = emptied(place, tmp_path)
    before = new.state.read_text()
    refused = new.run(4, marked=marked, kept=kept).expect(69)
    assert "this target holds none of the pipeline" in refused.last_words
    assert new.state.read_text() == before
    new.run(4, marked=marked, kept=kept).expect(69)
    assert new.rows() == []
    forget = "--start-over" if kept == "file" else "reset"
    new.copied(refused, forget if way == "everything" else way).expect(0)
    new.run(4, marked=marked, kept=kept).expect(0)
    assert new.rows() == ([3, 4] if way == "--adopt" else [1, 2, 3, 4])


def test_an_empty_database_under_the_url_of_another_is_refused(tmp_path: Path, database: str) -> None:
    place = in_database(tmp_path, database)
    place.run(2).expect(0)
    new = in_database(tmp_path, database, "elsewhere")
    sent = new.messages(at(2), 4, marked=True, resumes="url")
    sent[0]["value"][MARK]["location"] = url = without_password(state_url(database))
    for _ in range(2):
        refused = run(new.command(), stdin=lines(*sent)).expect(69)
    assert new.rows() == []
    assert url in shlex.split(re.findall(r"`([^`]+--adopt[^`]+)`", refused.last_words)[0])
    new.copied(refused, "--adopt").expect(0)
    run(new.command(), stdin=lines(*sent)).expect(0)
    assert new.rows() == [3, 4]


@pytest.mark.parametrize(
    ("statement", "marked"), [("DROP TABLE log", True), ("TRUNCATE log", False), ("DELETE FROM log", True)]
)
@pytest.mark.parametrize("way", ["--adopt", "--start-over"])
def test_a_table_whose_rows_are_gone_is_refused_until_somebody_says_which(
    tmp_path: Path, database: str, statement: str, marked: bool, way: str
) -> None:
    place = in_database(tmp_path, database)
    place.run(2, marked=marked).expect(0)
    query(database, statement)
    refused = place.run(4, marked=marked).expect(69)
    assert "the saved state says that rows of stream `log` were loaded" in refused.last_words
    place.run(4, marked=marked).expect(69)
    place.copied(refused, way).expect(0)
    place.run(4, marked=marked).expect(0)
    assert place.rows() == ([3, 4] if way == "--adopt" else [1, 2, 3, 4])


@pytest.mark.parametrize("left", [None, b"", b'{"n":1}\n'])
@pytest.mark.parametrize("way", ["--adopt", "--start-over"])
def test_a_file_whose_rows_are_gone_is_refused_until_somebody_says_which(
    tmp_path: Path, left: bytes | None, way: str
) -> None:
    place = Place(
        tmp_path, {"destination_path": str(tmp_path / "out")}, "target-jsonl", lambda: numbers(path)
    )
    path = tmp_path / "out" / "log.jsonl"
    place.run(2).expect(0)
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    refused = place.run(4).expect(69)
    assert "rows are gone that the saved state says were loaded" in refused.last_words
    assert (path.read_bytes() if path.exists() else None) == left
    place.copied(refused, way).expect(0)
    place.run(4).expect(0)
    found = [1] if left else []
    assert place.rows() == ([*found, 3, 4] if way == "--adopt" else [*found, 1, 2, 3, 4])


SHAPES: dict[str, Callable[[int], Any]] = {
    "flat": lambda n: {"log": n},
    "airbyte": lambda n: {"stream": {"stream_descriptor": {"name": "log"}, "stream_state": {"cursor": n}}},
    "of no stream": lambda n: {"start_date": n},
    "of no stream under bookmarks": lambda n: {"bookmarks": {"journal": {"at": n}}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_that_are_gone_under_a_state_of_another_shape(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest, shape: str
) -> None:
    """The check was for `bookmarks` only; the target itself knows what it has loaded."""

    def load(number: int) -> Outcome:
        return run(
            place.command(), stdin=lines(LOG, RECORD("log", {"n": number}), STATE(SHAPES[shape](number)))
        )

    load(1).expect(0)
    if place.name == "target-postgres":
        query(request.getfixturevalue("database"), "DELETE FROM log")
    else:
        (tmp_path / "out" / "log.jsonl").unlink()
    outcome = load(2)
    if shape == "of no stream under bookmarks" and place.name != "target-postgres":
        assert "rows are appended" in outcome.expect(0).stderr  # it warns of any file that is shorter
    elif shape.startswith("of no stream"):
        assert "does not tell how far this stream was read" in outcome.expect(0).stderr
    else:
        outcome.expect(69)
        assert place.rows() == []
        place.copied(outcome, "--start-over", *(["--stream log"] if shape == "flat" else [])).expect(0)
        load(2).expect(0)
    assert place.rows() == [2]


def test_a_landing_place_may_be_emptied_after_each_run(place: Place, tmp_path: Path, database: str) -> None:
    place.config.write_text(json.dumps(json.loads(place.config.read_text()) | {"rows_gone": "accept"}))
    place.run(2).expect(0)
    for last in (3, 4, 5):
        if place.name == "target-postgres":
            query(database, "TRUNCATE log" if last == 3 else "DROP TABLE log")
            if last == 5:
                query(database, "CREATE TABLE log (n bigint)")
        else:
            (tmp_path / "out" / "log.jsonl").rename(tmp_path / f"taken-{last}")
        place.run(last).expect(0)
        assert place.rows() == [last]


RESTORED = (
    "CREATE TABLE older AS SELECT * FROM log WHERE n < 2; DROP TABLE log; ALTER TABLE older RENAME TO log"
)
"""What `pg_dump --table log --clean`, from before the last run, and psql leave behind."""


def test_a_table_that_was_made_anew_is_not_taken_for_the_one_that_was_loaded(
    place_with_rows: Place, database: str
) -> None:
    """One table of an older dump was restored: the run ended with 0, and the rows since then never came again."""
    place = place_with_rows
    query(database, RESTORED)
    refused = place.run(3).expect(69)
    assert "public.log is not the one that rows of stream `log` were loaded into" in refused.last_words
    assert place.rows() == [1]
    place.run(3).expect(69)
    place.copied(refused, "--start-over", "--stream log").expect(0)
    (truncate,) = re.findall("`(TRUNCATE [^`]+)` first", refused.last_words)  # it has no key
    query(database, truncate)
    place.run(3).expect(0)
    place.run(4).expect(0)
    assert place.rows() == [1, 2, 3, 4]


def test_a_table_that_was_made_anew_with_all_its_rows_may_be_adopted(
    place_with_rows: Place, database: str
) -> None:
    place = place_with_rows
    query(database, RESTORED.replace("n < 2", "true"))
    place.copied(place.run(3).expect(69), "--adopt committed").expect(0)
    place.run(3).expect(0)
    place.run(4).expect(0)
    assert place.rows() == [1, 2, 3, 4]
    query(database, RESTORED)
    place.run(5).expect(69)


def test_a_doubt_about_a_table_that_was_made_anew_is_told(tmp_path: Path, database: str) -> None:
    place = in_database(tmp_path, database)

    def load(number: int) -> Outcome:
        return run(
            place.command(), stdin=lines(LOG, RECORD("log", {"n": number}), STATE({"at": number}))
        ).expect(0)

    load(1)
    query(database, RESTORED)
    told = load(2).stderr
    assert "public.log is not the one that rows of stream `log` were loaded into" in told
    assert "does not tell how far this stream was read" in told
    assert "public.log is" not in load(3).stderr, "said once"


@pytest.mark.parametrize(
    "change",
    [
        "VACUUM FULL log",
        "CREATE INDEX log_n ON log (n); CLUSTER log USING log_n",
        "ALTER TABLE log ALTER n TYPE numeric",
        "ALTER TABLE log RENAME TO other; ALTER TABLE other RENAME TO log",
        # edited by hand
        "UPDATE _singerkit_state SET tables = '[]'; " + RESTORED.replace("n < 2", "true"),
        # a run of an older version
        "UPDATE _singerkit_state SET tables = NULL; " + RESTORED.replace("n < 2", "true"),
        # the whole database: the index of a table is made anew last
        "CREATE TABLE s AS TABLE _singerkit_state; DROP TABLE _singerkit_state; ALTER TABLE s RENAME TO _singerkit_state; "
        + RESTORED.replace("n < 2", "true")
        + "; ALTER TABLE _singerkit_state ADD PRIMARY KEY (pipeline)",
        "ALTER TABLE _singerkit_state DROP CONSTRAINT _singerkit_state_pkey; "
        + RESTORED.replace("n < 2", "true")
        + "; ALTER TABLE _singerkit_state ADD PRIMARY KEY (pipeline)",
    ],
    ids=[
        "vacuum full",
        "cluster",
        "rewritten",
        "renamed",
        "edited",
        "older version",
        "whole",
        "whole in a new server",
    ],
)
def test_a_table_that_is_the_same_is_taken(place_with_rows: Place, database: str, change: str) -> None:
    place = place_with_rows
    for statement in change.split("; "):
        query(database, statement)
    told = place.run(3).expect(0)
    assert "WARNING" not in told.stderr
    assert place.rows() == [1, 2, 3]
    query(database, RESTORED)
    place.run(4).expect(69)


def test_a_table_that_never_held_rows_is_no_loss(tmp_path: Path, database: str) -> None:
    """A bookmark without a row: a start date, a stream in which nothing has happened yet."""
    place = in_database(tmp_path, database)
    first = [STATE({**at(None), MARK: mark()}), LOG, STATE({**at(5), MARK: mark(complete=True)})]
    run(place.command("--state-file", str(place.state)), stdin=lines(*first)).expect(0)
    place.run(6).expect(0)
    assert place.rows() == [6]


@pytest.fixture
def place_with_rows(tmp_path: Path, database: str) -> Place:
    """A table with two rows."""
    place = in_database(tmp_path, database)
    place.run(2).expect(0)
    return place


def mark(**more: Any) -> dict[str, Any]:
    return {"run": "r", "pipeline": "default", "complete": False, **more}


def test_starting_over_needs_no_table(tmp_path: Path, database: str) -> None:
    """The table was dropped and the state file removed: that is how people start over."""
    place = in_database(tmp_path, database)
    place.run(2).expect(0)
    query(database, "DROP TABLE log")
    place.state.unlink()
    place.run(3).expect(0)
    assert place.rows() == [1, 2, 3]


def test_a_database_that_was_brought_back_from_a_copy_asks_what_counts(place: Place, tmp_path: Path) -> None:
    place.run(2).expect(0)
    copy = place.state.read_text()
    place.run(3).expect(0)
    ahead = json.dumps(at(5))
    place.state.write_text(ahead)
    refused = place.run(6).expect(69)
    assert "has never committed here" in refused.last_words
    assert place.state.read_text() == ahead, "a state that was set by hand is not reverted in silence"
    place.copied(refused, "--last-state").expect(0)
    assert json.loads(place.state.read_text())["bookmarks"] == at(3)["bookmarks"]
    place.run(4).expect(0)
    assert place.rows() == [1, 2, 3, 4]
    assert copy != place.state.read_text()
    place.state.write_text(json.dumps(at(8)))
    place.copied(place.run(9).expect(69), "--adopt").expect(0)
    place.run(9).expect(0)
    assert place.rows() == [1, 2, 3, 4, 9]


# D.17 reset, and then a run


def test_a_torn_state_file_is_made_anew_from_what_is_committed(place: Place) -> None:
    place.run(2).expect(0)
    place.state.write_bytes(place.state.read_bytes()[:20])
    run(place.command("--state-file", str(place.state), "--last-state")).expect(0)
    place.run(3).expect(0)
    assert place.rows() == [1, 2, 3]


def test_where_nothing_is_committed_no_state_file_is_written_over(place: Place) -> None:
    place.state.write_text(json.dumps(at(7)))
    asked = ["--state-file", str(place.state), "--pipeline", "default", "--last-state"]
    assert "holds no state of the pipeline `default`" in run(place.command(*asked)).expect(78).last_words
    assert json.loads(place.state.read_text()) == at(7)


@pytest.mark.parametrize(
    ("streams", "also_the_file", "kept"),
    [
        ([], False, "file"),
        (["--stream", "log"], False, "file"),
        (["--stream", "log"], False, "stdout"),
        (["--stream", "log"], True, "file"),
    ],
)
def test_a_reset_is_followed_by_a_run_that_reads_from_the_beginning(
    place: Place, streams: list[str], also_the_file: bool, kept: str
) -> None:
    place.run(2, kept=kept).expect(0)
    config = json.loads(place.config.read_text())
    where = state_url(config["dsn"]) if "dsn" in config else config["destination_path"]
    tool("reset", where, "--yes", *streams)
    if also_the_file:
        tool("reset", place.state, "--yes", *streams)
    else:
        told = place.run(2, kept=kept).expect(69)
        assert "run again" in told.last_words
    place.run(2, kept=kept).expect(0)
    assert sorted(place.rows()) == [1, 1, 2, 2]


# Meltano gives the state in a file with `--state`, without one for a full refresh, and keeps what the target prints


def test_under_meltano_a_state_that_was_set_is_refused_by_name_and_a_full_refresh_works(place: Place) -> None:
    place.run(2, kept="stdout").expect(0)
    place.state.write_text(json.dumps(at(8)))  # meltano state set
    refused = place.run(9, kept="stdout").expect(69)
    assert refused.stdout == b"", "nothing that Meltano would take for the new state"
    assert "has never committed here" in refused.last_words
    place.copied(refused, "--adopt").expect(0)
    place.run(9, kept="stdout").expect(0)
    assert place.rows() == [1, 2, 9]
    refresh = place.messages(at(None), 3, marked=True, resumes=None)  # meltano run --full-refresh
    place.keep(run(place.command(), stdin=lines(*refresh)).expect(0).stdout)
    place.run(4, kept="stdout").expect(0)
    assert sorted(place.rows()) == [1, 1, 2, 2, 3, 4, 9]


# A name that is misspelt, a bookmark that nobody meant


@pytest.mark.parametrize("wish", ["--start-over", "--last-state", "--adopt committed"])
def test_a_misspelt_pipeline_is_told_those_that_there_are(place: Place, wish: str) -> None:
    place.run(2).expect(0)
    refused = run(place.command("--pipeline", "defualt", *wish.split())).expect(64)
    assert "no state of a pipeline `defualt`; nothing was changed: there are `default`." in refused.last_words


@pytest.mark.parametrize("wish", ["--start-over", "--last-state", "--adopt committed"])
def test_a_pipeline_that_nobody_names_is_the_only_one(tmp_path: Path, database: str, wish: str) -> None:
    place = in_database(tmp_path, database)
    unnamed = run(place.command(*wish.split())).expect(64)
    assert "Expected `--pipeline NAME`, since the config names no pipeline; nothing was" in unnamed.last_words
    place.run(2).expect(0)
    run(place.command(*wish.split())).expect(0)
    assert query(database, "SELECT state IS NULL FROM _singerkit_state") == [(wish == "--start-over",)]
    query(database, "INSERT INTO _singerkit_state (pipeline) VALUES ('other')")
    unnamed = run(place.command(*wish.split())).expect(64)
    assert "the config names no pipeline; there are `default`, `other`; nothing was" in unnamed.last_words


def test_whose_state_is_adopted_is_not_guessed(tmp_path: Path, database: str) -> None:
    place = in_database(tmp_path, database)
    place.run(2).expect(0)
    place.state.write_text(json.dumps(at(1)))
    unnamed = run(place.command("--adopt", str(place.state))).expect(64)
    assert "the config names no pipeline; there are `default`; nothing was changed" in unnamed.last_words


def test_what_is_taken_over_without_being_meant_is_warned_of(tmp_path: Path, database: str) -> None:
    place = in_database(tmp_path, database)
    place.run(2).expect(0)
    place.state.write_text(json.dumps(at(9_999_999_999)))
    done = run(place.command("--pipeline", "other", "--adopt", str(place.state))).expect(0)
    assert "The pipeline `other` is new to this target, which has had `default`." in done.stderr
    assert "The bookmark of stream `log`, `9999999999`, is ahead of the clock" in done.stderr
    told = run(place.command("--pipeline", "default", "--adopt", "committed")).expect(0)
    assert "WARNING" not in told.stderr


def test_a_state_url_without_the_schema_is_told_where_the_state_is(tmp_path: Path, database: str) -> None:
    place = in_database(tmp_path, database, "sales")
    place.run(2).expect(0)
    refused = run(
        place.command(), stdin=lines(*place.messages(at(None), 3, marked=True, resumes="url"))
    ).expect(69)
    assert "names another place than the target's (`pipeline=default&schema=sales` of its database)" in (
        refused.last_words
    )
