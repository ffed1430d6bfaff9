"""``python -m faults.torture.shards``: shards of a SQLite file into one table of PostgreSQL, killed again and again while rows come.

Rows are appended, so that one that comes twice is there twice; of the tables that are upserted and replaced each row has to be as it is at the source.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from faults.loads import TARGET, query
from starting import fork_executables

TABLES = ("orders", "names", "visits")
TAP = str(Path(sys.executable).with_name("tap-sqlite"))


class ShardTorture:
    """One file, one database, and runs of ``of`` shards."""

    def __init__(
        self,
        folder: Path,
        database: str,
        seed: str,
        of: int,
        rows: int = 400,
        method: str = "append",
        *,
        is_whole: bool = False,
    ) -> None:
        """``is_whole``: each run reads all rows of its part, and says by a version which are gone."""
        self._is_whole = is_whole
        self._settled: Counter[tuple[Any, ...]] = Counter()
        self.folder, self.database, self.of = folder, database, of
        self.dice = random.Random(seed)
        self.kills = 0
        self._next = 0
        self.url = f"{database}{'&' if '?' in database else '?'}pipeline=shop&schema=public"
        self.path = folder / "shop.db"
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(
                "PRAGMA journal_mode = wal; CREATE TABLE orders (id INTEGER PRIMARY KEY, v TEXT, at INT); CREATE INDEX i ON orders (at);"
                "CREATE TABLE names (name TEXT PRIMARY KEY, at INT) WITHOUT ROWID; CREATE TABLE visits (page TEXT, at INT)"
            )
        self.add(rows)
        keys = [{"name": name, "replication_key": "at"} for name in TABLES]
        self._write("tap.json", path=str(self.path), state_every=100, streams=[] if is_whole else keys)
        versions = {"add_record_metadata": True, "hard_delete": True} if is_whole else {}
        self._write(
            "target.json", dsn=database, load_method=method, commit_rows=100, commit_seconds=0.05, **versions
        )

    def _write(self, name: str, **settings: Any) -> None:
        (self.folder / name).write_text(json.dumps(settings))

    def add(self, count: int) -> None:
        """Let rows come, with keys from all over."""
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            for _ in range(count):
                self._next += 1
                key = self._next if self.dice.random() < 0.7 else self.dice.randrange(-(2**62), 2**62)
                connection.execute(
                    "INSERT INTO orders (id, v, at) VALUES (?, ?, ?)", (key, f"v{key}", self._next)
                )
                connection.execute("INSERT INTO names (name, at) VALUES (?, ?)", (f"é{key}", self._next))
                connection.execute(
                    "INSERT INTO visits (page, at) VALUES (?, ?)", (f"/{self._next % 7}", self._next)
                )

    def remove(self, count: int) -> None:
        """Let rows go at the source."""
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            for table in TABLES:
                gone = f"SELECT at FROM {table} ORDER BY (at * 7919) % 1009 LIMIT {count}"
                connection.execute(f"DELETE FROM {table} WHERE at IN ({gone})")

    def widen(self) -> None:
        """Give the tables one more column, which all shards find at the same time."""
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            for table in TABLES:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN more_{self._next} INT")

    def run(self, number: int, victim: str = "", after: float = 0) -> tuple[int, int]:
        """Run a shard once; kill ``victim`` (`tap`, `target`, `both`) after so many seconds."""
        with (self.folder / f"{number}.err").open("ab") as errors:
            tap = subprocess.Popen(
                [
                    TAP,
                    "--config",
                    str(self.folder / "tap.json"),
                    "--shard",
                    f"{number}/{self.of}",
                    "--state",
                    self.url,
                ],
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            target = subprocess.Popen(
                [TARGET, "--config", str(self.folder / "target.json")],
                stdin=tap.stdout,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        assert tap.stdout is not None
        tap.stdout.close()
        if victim:
            time.sleep(after)
            for process in {"tap": [tap], "target": [target], "both": [tap, target]}[victim]:
                self.kills += process.poll() is None
                process.send_signal(signal.SIGKILL)
        return tap.wait(), target.wait()

    def turn(self, longest: float) -> None:
        """Run all shards at a time, some of which are killed, while rows come."""
        jobs = [
            partial(
                self.run,
                number,
                self.dice.choice(["", "tap", "target", "both"]),
                self.dice.uniform(0, longest),
            )
            for number in range(self.of)
        ]
        with ThreadPoolExecutor(self.of) as pool:
            runs = [pool.submit(job) for job in jobs]
            self.add(20)
            for one in runs:
                one.result()
        self.check(self.stored(), at_the_end=False)

    def finish(self) -> None:
        """Run each shard until it ends well, and hold the tables against the file."""
        with ThreadPoolExecutor(self.of) as pool:
            for codes in pool.map(self._to_its_end, range(self.of)):
                assert codes == (0, 0), [path.read_text()[-2000:] for path in self.folder.glob("*.err")]
        stored = self.stored()
        self.check(stored, at_the_end=True)
        self._settled = stored

    def _to_its_end(self, number: int) -> tuple[int, int]:
        for _ in range(5):
            codes = self.run(number)
            if codes == (0, 0):
                break
        return codes

    def stored(self) -> Counter[tuple[Any, ...]]:
        found: Counter[tuple[Any, ...]] = Counter()
        for table in TABLES:
            columns = query(
                self.database,
                "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = to_regclass("
                f"'public.{table}') AND attnum > 0 AND NOT attisdropped AND attname NOT LIKE '\\_sdc%'",
            )[0][0]
            if columns is not None:
                rows = query(self.database, f"SELECT {columns} FROM public.{table}")
                found += Counter((table, *row) for row in rows)
        return found

    def _at_the_source(self) -> Counter[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return Counter(
                (table, *row) for table in TABLES for row in connection.execute(f"SELECT * FROM {table}")
            )

    def check(self, stored: Counter[tuple[Any, ...]], *, at_the_end: bool) -> None:
        wanted = self._at_the_source()
        if self._is_whole and not at_the_end:
            lost = {*self._settled} & {*wanted} - {*stored}
            assert not lost, f"{len(lost)} rows are lost that were there, and are at the source"
            return
        assert not stored - wanted, (
            f"{(stored - wanted).total()} rows are there twice, or are none of the source"
        )
        assert not at_the_end or stored == wanted, f"{(wanted - stored).total()} rows are lost"


def main() -> int:
    from faults.torture.server import Server, scratch_folder

    parser = argparse.ArgumentParser(prog="make shard-torture", description=__doc__)
    parser.add_argument("--seed", default="", help="what everything follows from; default: a new one")
    parser.add_argument("--count", type=int, default=25, help="turns of all shards (default 25)")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--whole", action="store_true", help="read all rows in each run, with versions")
    given = parser.parse_args()
    seed = given.seed or str(random.SystemRandom().randrange(10**9))
    fork_executables()
    folder = scratch_folder()
    with Server(folder) as server, server.database() as name:
        (folder / "work").mkdir()
        method = "upsert" if given.whole else "append"
        torture = ShardTorture(
            folder / "work", server.uri(name), seed, given.shards, 20_000, method, is_whole=given.whole
        )
        for number in range(given.count):
            torture.turn(3.0)
            if given.whole:
                torture.remove(500)
                if number % 3 == 2:
                    torture.finish()
            if number % 5 == 4:
                torture.widen()
            print(
                f"turn {number + 1} of {given.count}: {torture.stored().total()} rows, nothing twice",
                flush=True,
            )
        torture.finish()
        print(
            f"seed {seed}: {torture.kills} kills of {given.shards} shards, {torture.stored().total()} rows, none lost, none twice"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
