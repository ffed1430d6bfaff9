"""``make rival-taps-torture``: kills while tap-postgres by MeltanoLabs, by PipelineWise, and ours, follow the log of a table that others write to.

One PostgreSQL 15 of Debian, whose wal2json both of the others need; real executables in environments of their own. In each
case a few sessions write for a while, a run of tap and target begins, and a process of it, or both, is killed when so many lines
have passed from one to the other, spread evenly over those of a run without a kill, or the target when the tap has just ended. Then runs without a kill follow until both sides end with 0, at
most `TRIES`, and one more. What the target holds is then held against the source, row by row. A row that was found to be wrong
in one case is not counted again in a later one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))  # environments are those of `make bench`

from others import environment, our_environment, version_of  # noqa: E402  needs the path above
from report import machine, table  # noqa: E402  the same

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
TAP, TARGET = "meltanolabs-tap-postgres==0.10.0", "meltanolabs-target-postgres==0.8.1"
PIPELINEWISE_TAP = "pipelinewise-tap-postgres==2.1.0 --ignore-requires-python"
PIPELINEWISE_TARGET = "pipelinewise-target-postgres==2.1.2"
PAGE = ROOT / "docs" / "rivals-taps.md"
TRIES = 5
SECONDS = 120.0
WRITING_SECONDS = 1.5
KINDS = ("lost", "stale", "left")
AT_THE_END = -1
VICTIMS = (("target",), ("tap",), ("tap", "target"), ("target",))
Address = dict[str, Any]


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Address]:
    """Start the server; yield where it is."""
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    user = {"user": account.pw_name} if account else {}
    folder.mkdir()
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = lambda *words: subprocess.run(  # noqa: E731
        [str(word) for word in words], check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=120, **user
    )
    run(PROGRAMS / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8")
    settings = {
        "wal_level": "logical",
        "unix_socket_directories": folder,
        "fsync": "off",
        "port": port,
        "output_plugin_libraries": "pgoutput,wal2json",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    control = (PROGRAMS / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w")
    run(*control, "-o", options, "start")
    try:
        yield {"host": "127.0.0.1", "port": port, "user": "postgres", "password": "none"}
    finally:
        run(*control, "-m", "immediate", "stop")


@dataclass
class Pipe:
    """A tap and a target on databases of their own; ``slot``: one that must be there before the first run."""

    name: str
    database: str
    tap: tuple[str, str]
    target: tuple[str, str]
    """What pip installs (nothing: ours), and the executable."""
    tap_config: Callable[[Address], dict[str, Any]]
    target_config: Callable[[Address], dict[str, Any]]
    slot: str = ""
    cases: int = 0
    false_success: int = 0
    unrecovered: int = 0
    codes: Counter[tuple[int, int]] = field(default_factory=Counter)
    wrong: dict[str, set[int]] = field(default_factory=lambda: {kind: set() for kind in KINDS})
    without_a_kill: dict[str, set[int]] = field(default_factory=lambda: {kind: set() for kind in KINDS})


def _at(address: Address, database: str, name: str = "database") -> dict[str, Any]:
    return {**address, name: database}


def _our_tap(address: Address) -> dict[str, Any]:
    streams = [{"name": "public.*", "replication_method": "LOG_BASED"}]
    return {**_at(address, "ours"), "streams": streams, "log": {"chunk_rows": 500}}


def _their_tap(database: str) -> Callable[[Address], dict[str, Any]]:
    return lambda address: {
        **_at(address, database),
        "filter_schemas": ["public"],
        "replication_slot_name": f"{database}_slot",
        "default_replication_method": "LOG_BASED",
        "log_based_single_connection": True,
        "auto_bootstrap_log_based": True,
        "replication_max_run_seconds": 60,
        "replication_idle_exit_seconds": 3,
    }


def _our_target(database: str) -> Callable[[Address], dict[str, Any]]:
    return lambda address: {
        **_at(address, f"{database}_loaded"),
        "add_record_metadata": True,
        "commit_seconds": 0.2,
        "commit_rows": 100,
    }


def _their_target(address: Address) -> dict[str, Any]:
    return {**_at(address, "theirs_loaded"), "default_target_schema": "public", "batch_size_rows": 100}


def _pipelinewise(address: Address, database: str) -> dict[str, Any]:
    return {**_at(address, database, "dbname"), "port": str(address["port"])}


def _pipelinewise_tap(database: str) -> Callable[[Address], dict[str, Any]]:
    return lambda address: {
        **_pipelinewise(address, database),
        "filter_schemas": "public",
        "default_replication_method": "LOG_BASED",
        "logical_poll_total_seconds": 2,
    }


def _pipelinewise_target(address: Address) -> dict[str, Any]:
    return {
        **_pipelinewise(address, "pipelinewise_loaded"),
        "default_target_schema": "public",
        "batch_size_rows": 100,
        "add_metadata_columns": True,
    }


OURS = ("", "tap-postgres"), ("", "target-postgres")
OF_MELTANOLABS = (TAP, "tap-postgres"), (TARGET, "target-postgres")
OF_PIPELINEWISE = (PIPELINEWISE_TAP, "tap-postgres"), (PIPELINEWISE_TARGET, "target-postgres")
PIPES = [
    Pipe("singerkit tap-postgres, singerkit target-postgres", "ours", *OURS, _our_tap, _our_target("ours")),
    Pipe(
        "MeltanoLabs tap-postgres, MeltanoLabs target-postgres",
        "theirs",
        *OF_MELTANOLABS,
        _their_tap("theirs"),
        _their_target,
        "theirs_slot",
    ),
    Pipe(
        "MeltanoLabs tap-postgres, singerkit target-postgres",
        "mixed",
        OF_MELTANOLABS[0],
        OURS[1],
        _their_tap("mixed"),
        _our_target("mixed"),
        "mixed_slot",
    ),
    Pipe(
        "pipelinewise-tap-postgres, pipelinewise-target-postgres",
        "pipelinewise",
        *OF_PIPELINEWISE,
        _pipelinewise_tap("pipelinewise"),
        _pipelinewise_target,
        "pipelinewise_pipelinewise",
    ),
    Pipe(
        "pipelinewise-tap-postgres, singerkit target-postgres",
        "both",
        OF_PIPELINEWISE[0],
        OURS[1],
        _pipelinewise_tap("both"),
        _our_target("both"),
        "pipelinewise_both",
    ),
]


class Torture:
    """One pipe between two databases, and runs between them."""

    def __init__(self, pipe: Pipe, address: Address, folder: Path, seed: str) -> None:
        self.pipe, self.address, self.folder = pipe, address, folder
        self.dice = random.Random(f"{seed} {pipe.name}")
        self.database = pipe.database
        folder.mkdir()
        for name in (self.database, f"{self.database}_loaded"):
            self._sql("postgres", f'CREATE DATABASE "{name}"')
        self._sql(
            self.database, "CREATE TABLE accounts (id bigint PRIMARY KEY, v bigint NOT NULL, note text)"
        )
        self._sql(self.database, "INSERT INTO accounts SELECT n, 0, 'first' FROM generate_series(1, 2000) n")
        if pipe.slot:
            self._sql(
                self.database,
                f"SELECT pg_create_logical_replication_slot('{pipe.slot}', 'wal2json')",
            )
        self._write("tap.json", pipe.tap_config(address))
        self._write("target.json", pipe.target_config(address))
        self._state = folder / "state.json"
        self._catalog = self._discover() if pipe.tap[0] else None
        self._id = 1_000_000

    def _sql(self, database: str, statement: str) -> list[Any]:
        with contextlib.closing(psycopg2.connect(**self.address, dbname=database)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    def _write(self, name: str, config: Any) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def _program(self, which: tuple[str, str]) -> str:
        package, name = which
        return str((environment(*package.split()) if package else our_environment()) / name)

    def _discover(self) -> Path:
        """Return the catalog of the tap with its table selected, from the log."""
        command = [self._program(self.pipe.tap), "--config", str(self.folder / "tap.json"), "--discover"]
        done = subprocess.run(command, capture_output=True, check=True, timeout=SECONDS)
        catalog = json.loads(done.stdout)
        for stream in catalog["streams"]:
            stream["replication_method"] = "LOG_BASED"
            for entry in stream["metadata"]:
                if entry["breadcrumb"] == []:
                    entry["metadata"] |= {"selected": True, "replication-method": "LOG_BASED"}
        return self._write("catalog.json", catalog)

    def run(self, victims: Sequence[str] = (), at: int = 0) -> tuple[int, int]:
        """Run tap and target once; kill ``victims`` when so many lines have passed, or the target when the tap has ended; keep the state that the target has printed."""
        config = ["--config", str(self.folder / "tap.json")]
        catalog = ["--catalog", str(self._catalog)] if self._catalog else []
        state = ["--state", str(self._state)] if self._state.exists() or not self.pipe.tap[0] else []
        kept = ["--state-file", str(self._state)] if not self.pipe.tap[0] else []
        tap_command = [self._program(self.pipe.tap), *config, *catalog, *state]
        target_command = [
            self._program(self.pipe.target),
            "--config",
            str(self.folder / "target.json"),
            *kept,
        ]
        out = self.folder / "out"
        with out.open("wb") as printed, (self.folder / "stderr").open("ab") as said:
            tap = subprocess.Popen(tap_command, stdout=subprocess.PIPE, stderr=said)
            target = subprocess.Popen(target_command, stdin=subprocess.PIPE, stdout=printed, stderr=said)
            assert tap.stdout is not None
            assert target.stdin is not None
            self.lines = 0
            with contextlib.suppress(BrokenPipeError), target.stdin, tap.stdout:
                for line in tap.stdout:
                    self.lines += 1
                    if victims and self.lines == at:
                        for name in victims:
                            {"tap": tap, "target": target}[name].kill()
                    target.stdin.write(line)
                    target.stdin.flush()
                if at == AT_THE_END:
                    tap.wait(SECONDS)
                    target.kill()
            codes = tap.wait(SECONDS), target.wait(SECONDS)
        lines = [line for line in out.read_bytes().splitlines() if line.startswith(b"{")]
        if lines and not kept:
            self._state.write_bytes(lines[-1])
        self.pipe.codes[codes] += 1
        return codes

    @contextlib.contextmanager
    def writers(self, count: int = 2) -> Iterator[None]:
        """Let sessions insert, update and delete rows meanwhile."""
        ended = threading.Event()
        threads = [
            threading.Thread(target=self._work, args=(random.Random(self.dice.random()), ended))
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def _work(self, dice: random.Random, ended: threading.Event) -> None:
        with contextlib.closing(psycopg2.connect(**self.address, dbname=self.database)) as connection:
            while not ended.wait(0.01):
                with connection, connection.cursor() as cursor:
                    for _ in range(dice.randint(1, 5)):
                        self._change(cursor, dice)

    def _change(self, cursor: Any, dice: random.Random) -> None:
        kind, row = dice.random(), dice.randint(1, 2000)
        if kind < 0.4:
            cursor.execute(
                "INSERT INTO accounts SELECT coalesce(max(id), 0) + 1, 0, 'new' FROM accounts ON CONFLICT DO NOTHING"
            )
        elif kind < 0.8:
            cursor.execute(
                "UPDATE accounts SET v = v + 1 WHERE id IN (SELECT id FROM accounts WHERE id >= %s ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
                (row,),
            )
        else:
            cursor.execute(
                "DELETE FROM accounts WHERE id IN (SELECT id FROM accounts WHERE id >= %s ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
                (row,),
            )

    def without_a_kill(self) -> int:
        """Return how many lines pass in a run that finds some changes, and hold what came of it against the source."""
        with self.writers():
            time.sleep(WRITING_SECONDS)
        if self.run() != (0, 0):
            raise RuntimeError(f"{self.pipe.name} does not run; see {self.folder / 'stderr'}")
        lines = self.lines
        self.run()
        self._count(self.compare(), self.pipe.without_a_kill)
        return lines

    def _count(self, found: dict[str, set[int]], into: dict[str, set[int]]) -> None:
        for kind, rows in found.items():
            into[kind] |= rows

    def case(self, victims: Sequence[str], at: int) -> None:
        """Kill once, recover, compare."""
        with self.writers():
            time.sleep(WRITING_SECONDS)
        self.run(victims, at)
        ended_well = False
        for _ in range(TRIES):
            ended_well = self.run() == (0, 0)
            if ended_well:
                break
        self.run()
        found = self.compare()
        self.pipe.cases += 1
        self.pipe.unrecovered += not ended_well
        self.pipe.false_success += ended_well and any(found.values())
        self._count(found, self.pipe.wrong)
        told = ", ".join(f"{len(rows)} {kind}" for kind, rows in found.items())
        print(f"{self.pipe.name}: {' and '.join(victims)} at line {at}: {told}", flush=True)

    def compare(self) -> dict[str, set[int]]:
        """Return the rows that have come to be wrong since the last look: missing, old, or gone at the source."""
        source = dict(self._sql(self.database, "SELECT id, v FROM accounts"))
        loaded = f"{self.database}_loaded"
        [(name,)] = self._sql(
            loaded,
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE tablename LIKE '%accounts'",
        )
        here = dict(self._sql(loaded, f"SELECT id, v FROM {name} WHERE _sdc_deleted_at IS NULL"))
        found = {
            "lost": source.keys() - here.keys(),
            "stale": {key for key, v in source.items() if here.get(key, v) != v},
            "left": here.keys() - source.keys(),
        }
        known = self.pipe.wrong, self.pipe.without_a_kill
        return {kind: rows - known[0][kind] - known[1][kind] for kind, rows in found.items()}


def page(pipes: Sequence[Pipe], cases: int) -> str:
    """Return the report as Markdown."""
    assert __doc__ is not None
    text = __doc__.partition("\n\n")[2].strip()
    heads = [
        "tap, target",
        "versions",
        "kills",
        "lost",
        "old",
        "left",
        "0 though wrong",
        "not recovered",
        "wrong without a kill",
    ]
    rows = [
        [
            pipe.name,
            ", ".join(_version(which) for which in (pipe.tap, pipe.target)),
            str(pipe.cases),
            *(str(len(pipe.wrong[kind])) for kind in ("lost", "stale", "left")),
            str(pipe.false_success),
            str(pipe.unrecovered),
            str(sum(map(len, pipe.without_a_kill.values()))),
        ]
        for pipe in pipes
    ]
    return f"""# Kills while a log is followed, against others

Written by `make rival-taps-torture`. {machine()}

{text.replace("`TRIES`", str(TRIES))}

{table(heads, rows)}

*lost*: rows of the source that the target does not have; *old*: rows that have not got their last update; *left*: rows that the source has deleted, and that
are not so in the target; *0 though wrong*: cases after which both sides ended with 0 and something was wrong; *wrong without a kill*: rows of any of these kinds after the two runs before the first kill. Each pipe had {cases} kills: of the target, of the tap, of both, and of the target when the tap had ended, by turns.

The tap of MeltanoLabs runs with `log_based_single_connection` and `auto_bootstrap_log_based`, its newest way, and `replication_idle_exit_seconds` of 3 and `replication_max_run_seconds` of 60. By its code
it tells the server what it has read each 30 s, and at its end how far the log goes, whatever its target has committed; that log is then gone. How many rows that takes with it depends on how long the target
needs: a small run into a fast target may lose nothing. Its documentation promises no delivery. Its two other ways were not tried.

pipelinewise-tap-postgres (with `logical_poll_total_seconds` of 2) tells the server what the state says that it was given, and each 10 s what stands in its state file: a kill takes nothing with it. What comes again replaces
itself by its key, which the table here has; of one without a key this page says nothing. Its documentation promises no delivery either. It reads a table as a whole first, and the log from where it stood before that.
"""


def _version(which: tuple[str, str]) -> str:
    package = which[0].partition("==")[0]
    bin_folder = environment(*which[0].split()) if package else our_environment()
    return version_of(bin_folder, package or "singerkit")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make rival-taps-torture", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", default="taps")
    parser.add_argument("--count", type=int, default=30, help="kills of each pipe (default 30)")
    parser.add_argument("--only", default="", help="pipes whose name contains this")
    parser.add_argument("--write", type=Path, help="write the page here (default: print it)")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="singerkit-rival-taps-"))
    folder.chmod(0o755)
    pipes = [pipe for pipe in PIPES if given.only in pipe.name]
    try:
        with server(folder / "server") as address:
            for place, pipe in enumerate(pipes):
                torture = Torture(pipe, address, folder / str(place), given.seed)
                torture.without_a_kill()  # reads the table
                lines = torture.without_a_kill()
                print(f"{pipe.name}: {lines} lines a run", flush=True)
                for number in range(given.count):
                    kind = number % len(VICTIMS)
                    at = max(1, round(lines * (number + 0.5) / given.count))
                    torture.case(VICTIMS[kind], AT_THE_END if kind == len(VICTIMS) - 1 else at)
    finally:
        for log in folder.glob("*/stderr"):
            print(
                f"== {log.parent.name}: the last words\n"
                + "\n".join(log.read_text(errors="replace").splitlines()[-4:]),
                file=sys.stderr,
            )
        shutil.rmtree(folder, ignore_errors=True)
    text = page(pipes, given.count)
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    print(text)
    for pipe in pipes:
        print(pipe.name, dict(pipe.codes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
