"""Random faults of every kind, the size of a CI run, and proof that the checker of the torture harness can fail.

`make torture SEED=... COUNT=...` runs the same cases in any number (tests/faults/torture).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from faults.torture import postgres_source
from faults.torture.cases import KINDS, Case, Report, run_case
from faults.torture.checker import Checker, Violation
from faults.torture.duckdb_cases import DuckCase
from faults.torture.exhaustive import await_quiet
from faults.torture.files_cases import FromFilesCase
from faults.torture.files_checker import FilesIntoPostgres
from faults.torture.files_source import FilesSource
from faults.torture.inject import NoCompilerError, library, rule
from faults.torture.messages import run_messages
from faults.torture.modes import METHODS, Mode
from faults.torture.pipeline import Bench, Pipeline
from faults.torture.postgres_cases import FromPostgresCase
from faults.torture.postgres_checker import _key
from faults.torture.postgres_source import PostgresSource
from faults.torture.postgres_tables import TABLES
from faults.torture.proxy import SqlFault
from faults.torture.server import PASSWORD
from faults.torture.source import TOKEN, HttpFault, Source
from faults.torture.sqlite_cases import SqliteCase, SqliteSource

CHUNKS = 2
FAULTS = 20
"""Faults that strike in each chunk, each kind among them."""
FEW_FAULTS = 3
"""Of a case with four of its steps, or of two: into DuckDB, and in each slot; `make torture ARGS='--into duckdb --method append'` runs any number."""
SLOTS = 2
OTHER_MODES = [
    *((Case, name) for name in METHODS if name != "upsert"),
    *((Case, f"upsert,{name}") for name in ("atomic", "keep", "variants", "versions")),
    (Case, "overwrite,keyless,variants"),
    (Case, "history,keep"),
    (Case, "upsert,map,piped"),
    (Case, "upsert,broken,rules,versions"),
    (Case, "upsert,broken,map,piped"),
    (Case, "delete+insert,map,versions"),
    *(
        (DuckCase, name)
        for name in (
            "append,variants",
            "overwrite,keyless",
            "delete+insert",
            "upsert,atomic,keep",
            "history,versions",
            "upsert,broken,map",
        )
    ),
]
"""Of these each run takes others, one a slot."""
CASES = 100
"""Cases of a chunk, at most."""


@pytest.fixture(scope="session")
def seed() -> str:
    return os.environ.get("SINGERKIT_SEED") or str(random.SystemRandom().randrange(10**9))


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_faults_lose_nothing_and_double_nothing(bench: Bench, seed: str, chunk: int) -> None:
    report = Report()
    for number in range(chunk * CASES, (chunk + 1) * CASES):
        run_case(bench, seed, number, report)
        if report.struck.total() >= FAULTS and all(report.struck[kind] for kind in KINDS):
            return
    pytest.fail(f"seed {seed}: too few faults have struck: {report.struck}")


@pytest.mark.parametrize(
    ("case_kind", "mode"),
    [(DuckCase, "upsert,map,piped"), (SqliteCase, "upsert"), (FromPostgresCase, "upsert")],
)
def test_random_faults_lose_nothing_and_double_nothing_in_others(
    bench: Bench, seed: str, case_kind: type[Case], mode: str
) -> None:
    run_few(bench, seed, case_kind, mode)


@pytest.mark.parametrize("number", [1, 3])
def test_folders_are_what_the_tables_hold_whatever_strikes(bench: Bench, number: int) -> None:
    """Two cases of which each finds a tap that leaves out a REPLACE, one finds a STATE ahead of its rows, and one a log known by its inode alone."""
    run_case(bench, "suite", number, Report(), installed_share=0, case_kind=FromFilesCase, steps=3)


@pytest.mark.parametrize("slot", range(SLOTS))
def test_random_faults_lose_nothing_however_rows_are_loaded(bench: Bench, seed: str, slot: int) -> None:
    case_kind, mode = random.Random(seed).sample(OTHER_MODES, SLOTS)[slot]
    run_few(bench, seed, case_kind, mode)


@pytest.mark.parametrize(("into", "number"), [("postgres", 1), ("postgres", 23), ("duckdb", 1)])
def test_messages_are_what_the_table_holds_whatever_strikes(bench: Bench, into: str, number: int) -> None:
    """Versions by a field, keys from the config, types chosen later, partitions; `make torture ARGS='--from messages'` runs any number."""
    run_messages(bench, "suite", number, into=into)


def run_few(bench: Bench, seed: str, case_kind: type[Case], mode: str) -> None:
    report = Report()
    for number in range(CASES):
        run_case(
            bench,
            seed,
            number,
            report,
            installed_share=0,
            case_kind=case_kind,
            mode=Mode.named(mode),
            steps=FEW_FAULTS + 1,
        )
        if report.struck.total() >= FEW_FAULTS:
            return
    pytest.fail(f"seed {seed}: too few faults have struck: {report.struck}")


def test_kinds_come_equally_often() -> None:
    from faults.torture.cases import STEPS, kinds_of

    kinds = [kind for number in range(2 * len(KINDS)) for kind in kinds_of("any", number)]
    assert {kinds.count(kind) for kind in KINDS} == {2 * STEPS}


# --- the pieces strike ----------------------------------------------------------------------------------------


@pytest.fixture
def loaded(bench: Bench, request: pytest.FixtureRequest) -> Iterator[tuple[Pipeline, Checker]]:
    """A pipeline after a clean run, with more to load."""
    source = Source("pieces", page_size=10)
    source.emit(30, 30, 10)
    with bench.pipeline(source, **{"chunk_bytes": 2048, **getattr(request, "param", {})}) as pipeline:
        checker = Checker(pipeline)
        outcome = pipeline.run()
        assert outcome.codes == "0|0", outcome
        checker.check(outcome)
        source.emit(30, 30, 10)
        source.change_schema()
        source.flip()
        yield pipeline, checker


def complete(pipeline: Pipeline, checker: Checker) -> None:
    for _ in range(5):
        outcome = pipeline.run()
        checker.check(outcome)
        if outcome.codes == "0|0":
            break
    checker.check(complete=True)
    checker.check_end()


@contextlib.contextmanager
def struck_by(fault: object) -> Iterator[None]:
    """What fails in here tells of which fault: those of a test strike one pipeline, one after the other."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"struck by: {fault}")
        raise


def go_on(pipeline: Pipeline, checker: Checker) -> None:
    complete(pipeline, checker)
    pipeline.source.emit(30, 30, 10)


@pytest.mark.parametrize(
    ("loaded", "calls"),
    [
        ({"resume": "url"}, [("tap", "send"), ("target", "stdout")]),
        ({"resume": "file"}, [("tap", "stdout"), ("target", "send")]),
    ],
    ids=["url", "file"],
    indirect=["loaded"],
)
def test_a_call_of_either_process_is_its_last(loaded: Any, calls: list[tuple[str, str]]) -> None:
    pipeline, checker = loaded
    for who, kind in calls:
        with struck_by(f"{kind} of the {who}"):
            outcome = pipeline.run(**{f"{who}_rules": [rule(kind, 2, "kill")]})
            assert getattr(outcome, who) == -signal.SIGKILL, outcome
            assert outcome.strikes[who] == 1
            assert outcome.calls[who][kind] == 2
            checker.check(outcome)
            go_on(pipeline, checker)


@pytest.mark.parametrize("loaded", [{"resume": "file"}], ids=str, indirect=True)
def test_the_state_file_cannot_be_written(loaded: Any) -> None:
    pipeline, checker = loaded
    for kind, error in (("disk", 28), ("fsync", 5), ("rename", 28)):
        with struck_by(kind):
            outcome = pipeline.run(target_rules=[rule(kind, 3, f"errno={error}", persists=True)])
            assert outcome.target == 74, outcome
            checker.check(outcome)
            go_on(pipeline, checker)


def test_a_message_to_the_server_meets_a_fault(loaded: Any) -> None:
    """Each action, and each event that it may strike at; a COMMIT loses its way there and its way back."""
    pipeline, checker = loaded
    for event, action in (
        ("query", "cut"),
        ("message", "swallow"),
        ("commit", "cut"),
        ("commit", "swallow"),
        ("query", "stall"),
        ("message", "slow"),
    ):
        with struck_by(f"{action} at a {event}"):
            outcome = pipeline.run(sql=[SqlFault(event, 5, action, seconds=0.05)])
            assert outcome.strikes["sql"] == 1
            checker.check(outcome)
            go_on(pipeline, checker)


def test_a_response_of_the_source_is_hurt(loaded: Any) -> None:
    pipeline, checker = loaded
    for kind in ("status", "cut", "reset", "bad_json", "html", "stall", "slow"):
        with struck_by(kind):
            outcome = pipeline.run(http=[HttpFault(kind, 3, seconds=0.05)])
            assert outcome.strikes["http"] == 1
            assert outcome.tap == (65 if kind in ("bad_json", "html") else 0), outcome
            checker.check(outcome)
            go_on(pipeline, checker)


@pytest.mark.parametrize("forked", [True, False], ids=["forked", "installed"])
def test_a_fork_ends_as_the_installed_executable_does(bench: Bench, forked: bool) -> None:
    source = Source("same", page_size=10, padding=1 << 20)
    source.emit(30, 30, 10)
    codes = []
    with bench.pipeline(source, forked=forked, chunk_bytes=None) as pipeline:
        checker = Checker(pipeline)
        for faults in (
            {"tap_rules": [rule("stdout", 2, "errno=28")]},
            {"target_rules": [rule("send", 40, "kill")]},
            {},
        ):
            outcome = pipeline.run(**faults)
            checker.check(outcome)
            codes.append(outcome.codes)
            source.emit(10, 10, 2)
    # A tap may have written everything before its target dies, or not.
    assert [code.split("|")[1] for code in codes] == ["65", "-9", "0"], codes
    assert (codes[0], codes[-1]) == ("74|65", "0|0")


# --- the checker can fail -------------------------------------------------------------------------------------


def edit(pipeline: Pipeline, statement: str) -> None:
    pipeline.bench.server.sql(statement, database=pipeline.database)


SPOILED = {
    "an event is lost": ("DELETE FROM events WHERE seq = (SELECT min(seq) FROM events)", "lost"),
    "an event at the bookmark is lost": (
        "DELETE FROM events WHERE at = (SELECT max(at) FROM events)",
        "lost",
    ),
    "an order is lost": ("DELETE FROM orders WHERE id = 1", "lost"),
    "a customer is lost": ("DELETE FROM customers WHERE id = 1", "lost"),
    "an event is doubled": ("INSERT INTO events SELECT * FROM events LIMIT 1", "doubled"),
    "a digit is lost": ("UPDATE orders SET total = total + 1e-30 WHERE id = 1", "wrong"),
    "a zero is lost": ("UPDATE orders SET total = total::text::numeric(100, 60) WHERE id = 1", "wrong"),
    "a text has changed": ("UPDATE events SET kind = coalesce(kind, '') || ' ' WHERE seq % 2 = 0", "wrong"),
    "a null has become a text": ("UPDATE events SET kind = '' WHERE kind IS NULL", "wrong"),
    "an instant has moved": (
        "UPDATE orders SET updated_at = updated_at + interval '1 us' WHERE id = 1",
        "wrong",
    ),
    "a nested value has changed": (
        "UPDATE orders SET customer = jsonb_set(customer, '{list,0}', '1.0') WHERE id = 1",
        "wrong",
    ),
    "a field has gone": ("ALTER TABLE orders DROP COLUMN note", "wrong"),
    "a row was never sent": ("INSERT INTO events (seq) VALUES (999999999)", "wrong"),
    "a new row without a commit": ("UPDATE _singerkit_state SET sequence = sequence - 1", "state"),
    "the position went back": (
        "UPDATE _singerkit_state SET sequence = sequence + 1, state = replace(state::text, "
        "state::json #>> '{bookmarks,events,replication_key_value}', '2024-02-29T00:00:00.000000Z')::json",
        "state",
    ),
    "the position is ahead": (
        "UPDATE _singerkit_state SET sequence = sequence + 1, state = replace(state::text, "
        "state::json #>> '{bookmarks,orders,replication_key_value}', '2099-03-01T00:00:00.000000Z')::json",
        "state",
    ),
    "the state has gone": ("UPDATE _singerkit_state SET state = NULL", "state"),
    "the state holds a secret": (
        f'UPDATE _singerkit_state SET state = (state::jsonb || \'{{"token": "{TOKEN}"}}\')::json',
        "secret",
    ),
}


def test_the_checker_sees_a_spoiled_database(bench: Bench) -> None:
    source = Source("pieces", page_size=10)
    source.emit(30, 30, 10)
    with bench.pipeline(source, chunk_bytes=2048) as pipeline:
        outcome = pipeline.run()
        assert outcome.codes == "0|0", outcome
        await_quiet(pipeline)
        whole = pipeline.database
        for name, (statement, kind) in SPOILED.items():
            with struck_by(name), bench.server.database(template=whole) as pipeline.database:
                checker = Checker(pipeline)
                checker.check(outcome)
                edit(pipeline, statement)
                assert kind in kinds_found(checker.check)


_ONCE_EACH = (
    "DELETE FROM _singerkit_rejects a USING _singerkit_rejects b WHERE b.record = a.record AND b.id < a.id"
)
SPOILED_MODES = {
    "append": [
        ("INSERT INTO orders SELECT * FROM orders LIMIT 1", "doubled"),
        ("INSERT INTO customers SELECT * FROM customers WHERE id = 1 UNION ALL TABLE customers", "doubled"),
        ("DELETE FROM customers WHERE seq = (SELECT max(seq) FROM customers)", "lost"),
    ],
    "history": [
        (
            "UPDATE orders SET _sdc_valid_to = now() + interval '1 day' WHERE id = 1 AND _sdc_valid_to IS NULL",
            "lost",
        ),
        ("UPDATE orders SET _sdc_valid_to = _sdc_valid_from WHERE _sdc_valid_to IS NOT NULL", "wrong"),
    ],
    "upsert,keep,variants": [
        ("UPDATE events SET amount__text = amount__text || '.' WHERE amount__text IS NOT NULL", "wrong"),
        ("UPDATE events SET amount = 0 WHERE amount__text IS NOT NULL", "wrong"),
        ("UPDATE customers SET name = 'of nobody' WHERE id = 1", "wrong"),
        ("UPDATE orders SET total = NULL", "wrong"),
    ],
    "upsert,broken": [
        (
            "INSERT INTO _singerkit_rejects (pipeline, run_id, stream, line, path, reason, record)"
            " SELECT pipeline, run_id, stream, line, path, reason, record FROM _singerkit_rejects"
            " WHERE stream = 'orders' LIMIT 1",
            "doubled",
        ),
        ("UPDATE customers SET seq = {flawed} WHERE id = 1", "wrong"),
        ("DELETE FROM _singerkit_rejects", "lost"),
    ],
    "overwrite,keyless": [
        ("DELETE FROM customers WHERE id = 1", "lost"),
        ("INSERT INTO customers SELECT * FROM customers LIMIT 1", "doubled"),
    ],
}


@pytest.mark.parametrize("name", SPOILED_MODES)
def test_the_checker_sees_what_is_spoiled_however_rows_are_loaded(bench: Bench, name: str) -> None:
    mode = Mode.named(name)
    source = mode.prepare(Source("spoiled", page_size=25))
    with bench.pipeline(source, mode=mode) as pipeline:
        runs = []
        for _ in range(2):
            source.emit(30, 30, 10)
            runs.append(pipeline.run())
            assert runs[-1].codes == "0|0", runs
        streams = ("orders", "events", "customers")
        edit(pipeline, "".join(f"CREATE TABLE {each}_ AS TABLE {each};" for each in streams))
        for statement, kind in SPOILED_MODES[name]:
            checker = Checker(pipeline)
            checker.check(*runs)
            edit(pipeline, statement.replace("{flawed}", str(max(source.flawed, default=0))))
            assert kind in kinds_found(checker.check, runs[-1]), statement
            edit(
                pipeline,
                "".join(f"DELETE FROM {each}; INSERT INTO {each} TABLE {each}_;" for each in streams),
            )
            if mode.breaks:
                edit(pipeline, _ONCE_EACH)


SPOILED_FILES = [
    ("DELETE FROM notes WHERE n = {n}", "lost"),
    ("UPDATE notes SET v = v || '.' WHERE n = {n}", "wrong"),
    ("UPDATE notes SET code = code || '0' WHERE n = {n}", "wrong"),
    ("UPDATE notes SET _row = _row + 1 WHERE n = {n}", "doubled"),
    ("DELETE FROM items WHERE n = {n}", "lost"),
    ("UPDATE items SET _file = 'a.csv' WHERE n = {n}", "wrong"),
    ("DELETE FROM visits WHERE n = {n}", "lost"),
    ("INSERT INTO visits SELECT * FROM visits WHERE n = {n}", "doubled"),
    ("INSERT INTO drops SELECT * FROM drops WHERE n = {n}", "doubled"),
    ("UPDATE drops SET n = -n WHERE n = {n}", "lost"),
    ("DELETE FROM lines WHERE n = {n}", "lost"),
    (
        "INSERT INTO lines (_file, _row, n, v) SELECT _file, _row + 1000000, n, v FROM lines WHERE n = {n}",
        "doubled",
    ),
]


def test_the_checker_sees_what_is_spoiled_of_folders(bench: Bench) -> None:
    source = FilesSource(random.Random("spoiled"))
    with bench.pipeline(source, FromFilesCase.pipeline_kind) as pipeline:
        source.emit(60)
        source.complete()
        outcome = pipeline.run()
        assert outcome.codes == "0|0", outcome
        edit(pipeline, "ALTER TABLE notes DROP CONSTRAINT notes_pkey; ALTER TABLE notes ALTER code TYPE text")
        edit(pipeline, "".join(f"CREATE TABLE {each}_ AS TABLE {each};" for each in source.shelves))
        for statement, kind in SPOILED_FILES:
            checker = FilesIntoPostgres(pipeline)
            checker.check(outcome)
            stream = statement.split()[2 if statement.startswith(("DELETE", "INSERT")) else 1]
            numbers = (
                f"SELECT n FROM {stream} WHERE code IS NOT NULL"
                if "code" in statement
                else f"SELECT n FROM {stream}"
            )
            ((number,), *_) = pipeline.bench.server.sql(
                f"{numbers} ORDER BY n LIMIT 1", database=pipeline.database
            )
            edit(pipeline, statement.format(n=number))
            assert kind in kinds_found(checker.check, outcome), statement
            edit(pipeline, f"DELETE FROM {stream}; INSERT INTO {stream} TABLE {stream}_")


def kinds_found(check: Callable[..., None], *arguments: Any) -> set[str]:
    with pytest.raises(Violation) as caught:
        check(*arguments)
    return {finding.kind for finding in caught.value.findings}


@pytest.mark.parametrize("signpost", ["none", "auto"])
def test_the_checker_sees_a_bookmark_that_passes_rows(bench: Bench, signpost: str) -> None:
    """The source changes between the answers of a read: what it is worth, and that it strikes (M22)."""
    source = Source("passed-e", page_size=5, ties=1, is_sorted=False)
    source.signpost = signpost
    source.emit(40, 5, 1)
    found: set[str] = set()
    with bench.pipeline(source) as pipeline:
        checker = Checker(pipeline)
        for changes in (30, 30, 0):
            source.stirring = changes
            outcome = pipeline.run()
            assert outcome.codes == "0|0", outcome
            assert source.stirring < max(1, changes), "some of it has come between two answers"
            try:
                checker.check(outcome, complete=changes == 0)
            except Violation as violation:
                found |= {finding.kind for finding in violation.findings}
    assert ("lost" in found) is (signpost == "none")
    assert signpost == "none" or not found


def test_the_checker_sees_a_key_that_goes_back(loaded: Any) -> None:
    pipeline, checker = loaded
    edit(pipeline, "CREATE TABLE before AS SELECT * FROM orders")
    checker.check(pipeline.run())
    edit(
        pipeline,
        "DELETE FROM orders o USING before b WHERE b.id = o.id AND b.seq < o.seq;"
        "INSERT INTO orders (id, seq, updated_at, total, big, note, is_paid, due, customer, lines, pad)"
        " SELECT id, seq, updated_at, total, big, note, is_paid, due, customer, lines, pad FROM before"
        " ON CONFLICT DO NOTHING",
    )
    assert kinds_found(checker.check) >= {"regressed"}


def test_the_checker_sees_a_success_that_is_none(loaded: Any) -> None:
    pipeline, checker = loaded
    outcome = pipeline.run(tap_rules=[rule("stdout", 4, "kill")])
    checker.check(outcome)
    assert outcome.target == 65
    outcome.target = 0
    assert kinds_found(checker.check, outcome) >= {"exit", "lost"}


def test_the_checker_sees_what_a_process_should_not_do(loaded: Any) -> None:
    pipeline, checker = loaded
    outcome = pipeline.run()
    checker.check(outcome)
    for name, value, kind in (
        ("target", 70, "exit"),
        ("target", -11, "exit"),
        ("tap", 1, "exit"),
        ("target", None, "bounds"),
        ("maxrss", 10**9, "bounds"),
        ("requests", 10**5, "bounds"),
        ("stderr", f"... {PASSWORD} ...", "secret"),
        ("stderr", "Traceback (most recent call last):", "exit"),
        ("printed", f'{{"token": "{TOKEN}"}}\n'.encode(), "secret"),
        ("printed", b'{"bookmarks": {"ev\n', "state"),
        ("printed", outcome.printed + outcome.printed, "state"),
        ("printed", outcome.printed.splitlines()[0] + b"\n", "state"),
    ):
        right = getattr(outcome, name)
        setattr(outcome, name, value)
        assert kind in kinds_found(checker.check, outcome), (name, value)
        setattr(outcome, name, right)
    checker.check(outcome)


@pytest.mark.parametrize("loaded", [{"resume": "file"}], ids=str, indirect=True)
def test_the_checker_sees_a_wrong_state_file(loaded: Any) -> None:
    pipeline, checker = loaded
    behind = pipeline.state_file.read_bytes()
    checker.check(pipeline.run())
    checker.check_end()
    right = pipeline.state_file.read_bytes()
    ahead = json.loads(right)
    ahead["bookmarks"]["events"]["replication_key_value"] = "2099-01-01T00:00:00.000000Z"
    ahead["bookmarks"]["events"]["_singerkit_seen"]["at"] = "2099-01-01T00:00:00.000000Z"
    for content in (json.dumps(ahead).encode(), right[:-20], b""):
        pipeline.state_file.write_bytes(content)
        assert kinds_found(checker.check) == {"state"}
    pipeline.state_file.write_bytes(behind)
    checker.check()  # behind is allowed after a kill, not after a success
    assert kinds_found(checker.check_end) == {"state"}
    pipeline.state_file.write_bytes(right)
    (pipeline.state_file.parent / ".state.json.x.tmp").touch()
    assert kinds_found(checker.check_end) == {"bounds"}


def test_nothing_outlives_a_bench(tmp_path: Path) -> None:
    try:
        library()
    except NoCompilerError as error:
        pytest.skip(str(error))
    bench = Bench()
    folder, pid = bench.folder, bench.zygote._server.pid
    postmaster = int((folder / "server" / "data" / "postmaster.pid").read_text().splitlines()[0])
    bench.close()
    assert not folder.exists()
    for process in (pid, postmaster):
        assert not Path(f"/proc/{process}/exe").exists()


def test_the_checker_of_sqlite_sees_what_is_lost_doubled_and_wrong(bench: Bench) -> None:
    source = SqliteSource(random.Random("spoiled"))
    with bench.pipeline(source, SqliteCase.pipeline_kind, resume="file") as pipeline:  # type: ignore[arg-type]  as the cases do
        source.emit(60)
        outcome = pipeline.run()
        assert outcome.codes == "0|0", outcome
        for statement, kind in (
            ("DELETE FROM items WHERE id = (SELECT max(id) FROM items)", "lost"),
            ("DELETE FROM notes WHERE id = (SELECT max(id) FROM notes)", "lost"),
            ("INSERT INTO changes SELECT * FROM changes LIMIT 1", "doubled"),
            ("INSERT INTO notes SELECT * FROM notes LIMIT 1", "doubled"),
            ("UPDATE changes SET v = 'other' WHERE id = (SELECT max(id) FROM changes)", "wrong"),
            ("UPDATE _singerkit_state SET sequence = sequence - 1", "state"),
        ):
            checker = SqliteCase.checker_kind(pipeline)
            checker.check(outcome)
            copy = pipeline.folder / "copy.duckdb"
            shutil.copy(pipeline.folder / "lake" / "w.duckdb", copy)
            with duckdb.connect(str(pipeline.folder / "lake" / "w.duckdb")) as connection:
                connection.execute(statement)
            assert kind in kinds_found(checker.check, outcome), statement
            shutil.copy(copy, pipeline.folder / "lake" / "w.duckdb")


def test_the_checker_of_a_source_in_postgres_sees_what_is_lost_doubled_and_wrong(bench: Bench) -> None:
    source = PostgresSource(random.Random("spoiled"))
    source.methods |= {"items": "log", "notes": "log", "docs": "log", "pairs": "full", "wholes": "full"}
    with bench.pipeline(source, FromPostgresCase.pipeline_kind) as pipeline:  # type: ignore[arg-type]  as the cases do
        while any(not source.rows(table) for table in TABLES.values()):
            source.emit(40)
        outcome = pipeline.run()
        assert outcome.codes == "0|0", outcome
        edit(pipeline, "".join(f'CREATE TABLE {name}_ AS TABLE "public-{name}";' for name in TABLES))
        for name, statement, kind in SPOILED_FROM_POSTGRES:
            checker = FromPostgresCase.checker_kind(pipeline)
            if kind == "state":
                checker.check(outcome)
            table = f'"public-{name}"'
            edit(pipeline, statement.format(table))
            assert kind in kinds_found(checker.check, outcome), statement
            edit(pipeline, f"DELETE FROM {table}; INSERT INTO {table} TABLE {name}_")
        checker = FromPostgresCase.checker_kind(pipeline)
        source.emit(5)
        advance = "SELECT pg_replication_slot_advance('singerkit_torture', pg_current_wal_lsn())"
        source.server.sql(advance, database=source.database)
        assert "state" in kinds_found(checker.check)  # a slot that has been told of more than is committed


def test_the_history_of_a_source_is_what_its_tables_hold_however_they_are_reshaped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partitions that come and go with rows, tables made anew, rows that the log has without their key: no tap reads here."""
    monkeypatch.setattr(postgres_source, "RESHAPES", 0.25)
    source = PostgresSource(random.Random("reshaped"))
    source.is_reshaped = True
    source.methods |= dict.fromkeys(TABLES, "log")
    with bench.pipeline(source, FromPostgresCase.pipeline_kind):  # type: ignore[arg-type]  as the cases do
        source.restore()
        for _ in range(4):
            source.emit(40)
            held = source.read_history().now.rows
            for name, table in TABLES.items():
                there = Counter((_key(table, row), int(row["seq"])) for row in source.rows(table))
                assert Counter(held[name].items()) == there, name
    done = {kind for kind in source.shared.did if kind.startswith("reshaped")}
    assert len(done) > 9, done


SPOILED_FROM_POSTGRES = (
    ("items", "DELETE FROM {0} WHERE seq = (SELECT max(seq) FROM {0})", "lost"),
    ("notes", "DELETE FROM {0} WHERE seq = (SELECT max(seq) FROM {0})", "lost"),
    ("notes", "INSERT INTO {0} SELECT * FROM {0} LIMIT 1", "doubled"),
    ("wholes", "DELETE FROM {0} WHERE seq = (SELECT max(seq) FROM {0})", "lost"),
    ("pairs", "UPDATE {} SET doc = '[]'", "wrong"),
    ("docs", "UPDATE {} SET big = big || '.'", "wrong"),
    ("wholes", "UPDATE {} SET big_of = big_of + 1", "wrong"),
    ("parts", "UPDATE {} SET amount = amount + 1e-6, is_on = NOT is_on", "wrong"),
    ("steps", "UPDATE {} SET at = at + interval '1 us'", "wrong"),
    ("steps", "INSERT INTO {} (id, seq) VALUES (7777, 999999999)", "wrong"),
    ("items", "UPDATE _singerkit_state SET sequence = sequence - 1", "state"),
)
