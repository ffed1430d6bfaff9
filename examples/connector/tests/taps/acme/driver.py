"""What the conformance suite must know of tap-acme: a store with known rows, and what can be done to it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from singerkit_check.suite.drivers import OurTap
from singerkit_check.suite.known import KNOWN, Row
from singerkit_check.suite.singer import instant, written
from singerkit_check.suite.sources import Held, Source, key_of

__all__ = ["DRIVER", "StoreOfAcme", "TapAcme"]

TOKEN = "canary-acme-4tq8-token"


class StoreOfAcme(Source):
    """TODO(acme): fill your source with these streams (no parents), and say how each of the methods is done there."""

    filters = False

    def __init__(self, folder: Path) -> None:
        streams = {name: known.facts for name, known in KNOWN.items() if known.facts.is_top}
        super().__init__({"folder": str(folder), "token": TOKEN, "page_rows": 5}, streams, secret=TOKEN)
        self._folder = folder
        self._rows = {name: KNOWN[name].rows for name in streams}
        tables = {
            name: {
                "schema": KNOWN[name].schema,
                "key": facts.key,
                "replication_key": facts.replication_key,
                "is_sorted": facts.ascends,
            }
            for name, facts in streams.items()
        }
        (folder / "tables.json").write_text(json.dumps(tables))
        (folder / "token").write_text(TOKEN)
        for name in streams:
            self.put(name)

    def rows(self, stream: str) -> list[Row]:
        return list(self._rows[stream])

    def put(self, stream: str, *rows: Row) -> None:
        facts = self.streams[stream]
        by_key = {key_of(row, facts): row for row in (*self._rows[stream], *rows)}
        self._rows[stream] = list(by_key.values())
        if (field := facts.replication_key) and facts.ascends:
            self._rows[stream].sort(key=lambda row: instant(row[field]))
        path = self._folder / f"{stream}.jsonl"
        if not path.is_fifo():
            path.write_text("".join(self._lines(stream)), "utf-8")

    def _lines(self, stream: str) -> list[str]:
        return [written(row) + "\n" for row in self._rows[stream]]

    @contextmanager
    def held(self, stream: str, rows: int) -> Iterator[Held]:
        """A pipe in place of the file gives the first rows at once, and the others when it is told to."""
        path = self._folder / f"{stream}.jsonl"
        path.unlink()
        os.mkfifo(path)
        reached, go_on = threading.Event(), threading.Event()

        def give() -> None:
            with contextlib.suppress(BrokenPipeError), path.open("w", encoding="utf-8") as pipe:
                pipe.writelines(self._lines(stream)[:rows])
                pipe.flush()
                reached.set()
                go_on.wait(60)
                pipe.writelines(self._lines(stream)[rows:])

        giver = threading.Thread(target=give, daemon=True)
        giver.start()
        try:
            yield Held(rows, lambda _running: reached.wait(30), go_on.set)
        finally:
            go_on.set()
            giver.join(5)
            path.unlink()
            self.put(stream)

    @contextmanager
    def broken(self, stream: str) -> Iterator[None]:
        (self._folder / f"{stream}.jsonl").write_text("no row\n")
        yield
        self.put(stream)

    @contextmanager
    def spoilt(self, stream: str, row: Row) -> Iterator[None]:
        lines = self._lines(stream)
        lines[self._rows[stream].index(row)] = "no row\n"
        (self._folder / f"{stream}.jsonl").write_text("".join(lines), "utf-8")
        yield
        self.put(stream)


class TapAcme(OurTap):
    """tap-acme against a store of its own."""

    waivers: ClassVar[Mapping[str, str]] = {
        "C11": "its tables are files: there is no SQL type, view or row count",
    }

    @contextmanager
    def source(self) -> Iterator[Source]:
        with tempfile.TemporaryDirectory(prefix="acme-") as folder:
            yield StoreOfAcme(Path(folder))

    def unreachable(self, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"folder": f"{config['folder']}/nowhere"}


DRIVER = TapAcme
