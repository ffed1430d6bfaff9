"""``python -m faults.torture.log``: a tap on a log into target-postgres, while others write, killed again and again.

After each kill, and at the end, the tables must be what the log was where the committed state stands: rows with a key as they
were there, those without one once, deleted ones gone, or once there and once gone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from faults.loads import TARGET, connected
from starting import fork_executables
from taps.shared.log_file import LogFile, delete, put
from taps.shared.log_model import KEYS, Tables, tap_class
from waiting import wait_until

ROWS = 120
"""Rows of each stream that are there before the first run, for a start of several chunks."""


class LogTorture:
    """One log, one database, and runs between them. Nothing of SQLite is open in this process when it forks."""

    def __init__(self, folder: Path, database: str, seed: str) -> None:
        self.folder, self.database, self.dice = folder, database, random.Random(seed)
        self.path = folder / "log.db"
        self.ended: Counter[tuple[int, int]] = Counter()
        self.moved, self._at = 0, -1
        """How many runs that were cut short have committed something."""
        (folder / "target.json").write_text(
            json.dumps({"dsn": database, "hard_delete": True, "commit_rows": 20, "commit_seconds": 0.05})
        )
        config = {
            "path": str(self.path),
            "select": ["a", "b", "k"],
            "chunk_rows": 25,
            "page_changes": 7,
            "state_every": 20,
        }
        (folder / "tap.json").write_text(json.dumps(config))
        # One that is to be killed goes on until then.
        (folder / "follow.json").write_text(json.dumps({**config, "log": {"end": "follow"}}))
        self.state_url = f"{database}{'&' if '?' in database else '?'}pipeline=tap-log&schema=public"
        with self.log() as log:
            for n in range(ROWS):
                log.commit(*[put(stream, id=n, v=f"v{n}", w=f"w{n}") for stream in KEYS])

    @contextlib.contextmanager
    def log(self) -> Iterator[LogFile]:
        file = LogFile(self.path)
        yield file
        file.close()

    @contextlib.contextmanager
    def writers(self, count: int) -> Iterator[None]:
        """Let ``count`` processes write transactions meanwhile."""
        stop = self.folder / "stop"
        seeds = [(number, self.dice.random()) for number in range(1, count + 1)]
        pids = [self._fork(partial(self._write, number, seed, stop)) for number, seed in seeds]
        try:
            yield
        finally:
            stop.touch()
            for pid in pids:
                os.waitpid(pid, 0)

    def _fork(self, run: Any, out: int | None = None) -> int:
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            with (self.folder / "tap.err").open("ab") as errors:
                os.dup2(errors.fileno(), 2)
            if out is not None:
                os.dup2(out, 1)
                os.closerange(3, 200)
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  the process ends with it
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115  the same
            logging.getLogger().handlers.clear()
            code = run() or 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0
        finally:
            os._exit(code & 0xFF)

    def _write(self, number: int, seed: float, stop: Path) -> None:
        dice, log = random.Random(seed), LogFile(self.path)
        there: dict[str, list[int]] = {stream: [] for stream in KEYS}
        made = number * 1_000_000
        deadline = time.monotonic() + 300
        while not stop.exists() and time.monotonic() < deadline:
            changes = []
            for _ in range(dice.randint(1, 6)):
                stream = dice.choice("abk")
                ids = there[stream]
                made += 1
                kind = dice.random()
                if not ids or kind < 0.4:
                    ids.append(made)
                    changes.append(put(stream, id=made, v=f"v{made}", w=f"w{made}"))
                elif kind < 0.6:
                    gone = ids.pop(dice.randrange(len(ids)))
                    row = {} if KEYS[stream] else {"v": f"v{gone}", "w": f"w{gone}"}
                    changes.append(delete(stream, id=gone, **row))
                elif KEYS[stream]:
                    changes.append(put(stream, id=dice.choice(ids), v=f"v{made}"))
            if changes:
                log.commit(*changes)
            time.sleep(dice.uniform(0, 0.04))

    def run(self, victims: str = "", after: float = 0, *, waits: bool = False) -> tuple[int, int]:
        """Run tap and target once; kill ``victims`` (`tap`, `target`, `both`) ``after`` so many seconds, which begin behind a
        commit if it ``waits`` for one.
        """
        reading, writing = os.pipe()
        tap = self._fork(partial(self._tap, "follow.json" if victims else "tap.json"), writing)
        os.close(writing)
        with (self.folder / "target.err").open("ab") as errors:
            target = subprocess.Popen(
                [TARGET, "--config", str(self.folder / "target.json")],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        os.close(reading)
        if victims:
            if waits:
                wait_until(
                    lambda: self.committed()[1] > self._at, "a commit; see target.err and tap.err", 120
                )
            time.sleep(after)
            for pid in {"tap": [tap], "target": [target.pid], "both": [tap, target.pid]}[victims]:
                os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(tap, 0)[1])
        codes = code, target.wait()
        self.ended[codes] += 1
        return codes

    def _tap(self, config: str) -> None:
        sys.argv = ["tap-log", "--config", str(self.folder / config), "--state", self.state_url]
        tap_class().cli_main()

    def kill(self) -> None:
        """Run once, with a kill at a random moment, and hold the tables against the log."""
        victims, waits = self.dice.choice(["tap", "target", "both"]), self.dice.random() < 0.7
        self.run(victims, self.dice.uniform(0, 0.3 if waits else 1.5), waits=waits)
        at = self.check()
        self.moved += at > self._at
        self._at = at

    def finish(self) -> None:
        """Run until nothing is left, and hold the tables against the whole log."""
        wait_until(lambda: self.run() == (0, 0), "a run to its end; see target.err and tap.err", 120)
        at = self.check()
        with self.log() as log:
            assert at == log.end

    def check(self) -> int:
        """Hold the tables against the log where the committed state stands; return where that is."""
        tables = Tables()
        with connected(self.database, autocommit=False) as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            tables.state, at = self.committed(cursor)
            begun = [
                name for name in KEYS if "_singerkit_log" in tables.state.get("bookmarks", {}).get(name, {})
            ]
            for name in begun:
                cursor.execute(f"SELECT id, v, w, _sdc_deleted_at FROM {name}")
                for number, row in enumerate(cursor.fetchall()):
                    key = row[0] if KEYS[name] else number
                    assert key not in tables.rows[name], "a key is there twice"
                    tables.rows[name][key] = dict(zip(("id", "v", "w", "_sdc_deleted_at"), row, strict=True))
        whole = [name for name in begun if "start" not in tables.state["bookmarks"][name]["_singerkit_log"]]
        if whole:
            with self.log() as log:
                tables.check(log, "".join(whole))
        return at

    def committed(self, cursor: Any = None) -> tuple[dict[str, Any], int]:
        """Return the committed state, and where in the log it stands; nothing is ``{}`` and -1."""
        if cursor is None:
            with connected(self.database) as own:
                return self.committed(own)
        cursor.execute("SELECT to_regclass('public._singerkit_state')")
        if cursor.fetchone() == (None,):
            return {}, -1
        cursor.execute("SELECT state FROM _singerkit_state WHERE pipeline = 'tap-log'")
        found = (cursor.fetchone() or (None,))[0]
        state = found if isinstance(found, dict) else json.loads(found or "{}")
        return state, int(state.get("_singerkit_log", {}).get("position", -1))


def main() -> int:
    from faults.torture.server import Server, scratch_folder

    parser = argparse.ArgumentParser(prog="make log-torture", description=__doc__)
    parser.add_argument("--seed", default="", help="what everything follows from; default: a new one")
    parser.add_argument("--count", type=int, default=25, help="runs that are cut short (default 25)")
    given = parser.parse_args()
    seed = given.seed or str(random.SystemRandom().randrange(10**9))
    fork_executables()
    folder = scratch_folder()
    with Server(folder) as server, server.database() as name:
        (folder / "work").mkdir()
        torture = LogTorture(folder / "work", server.uri(name), seed)
        with torture.writers(3):
            for number in range(given.count):
                torture.kill()
                print(f"run {number + 1} of {given.count}, cut short: equal", flush=True)
        torture.finish()
        with torture.log() as log:
            print(
                f"seed {seed}: {given.count} kills, {torture.moved} of them behind a commit, {log.end} changes in {log.last_tx} transactions, equal, nothing twice"
            )
        print(
            "exit codes (tap, target): "
            + ", ".join(f"{codes} {count}x" for codes, count in torture.ended.most_common())
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
