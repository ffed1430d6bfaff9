"""Folders that are read by `tap-files` while somebody writes to them. ``stirring``: things done while a run is under way."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from faults.torture.files_logs import Lines
from faults.torture.files_shelves import Drops, Items, Notes, Shelf, Visits
from faults.torture.stirring import Stirred

__all__ = ["FilesSource"]

KINDS: tuple[type[Shelf], ...] = (Notes, Items, Visits, Drops, Lines)


class FilesSource(Stirred):
    """A folder for each stream, and who writes to them."""

    page_size, is_sorted = 10, True
    requests = struck = 0

    def __init__(self, roll: random.Random, texts: int = 1) -> None:
        """``texts``: how many times as long texts are."""
        self._roll, self._texts = roll, texts
        self.goes_on = roll.random() < 0.5
        """Whether a file that cannot be read leaves the others to be read."""
        self.hard_delete = roll.random() < 0.6
        """Whether rows that go leave the target, or are marked there."""
        self.stirring = 0
        self.was_stirred = False
        """Whether anybody wrote while the last run was under way."""
        self.open_runs = 0
        """Runs that are under way."""
        self.in_motion: set[tuple[str, str]] = set()
        """Streams and files that were written to while a run was under way: what it has of one may be of two versions until it is read again."""
        self.shelves: dict[str, Shelf] = {}
        self.journal = SimpleNamespace(versions={}, by_seq={})

    def settle(self, folder: Path) -> None:
        """Make the folders."""
        folder.mkdir()
        numbers = itertools.count(1)
        self.shelves = {
            kind.name: kind(folder / kind.name, random.Random(f"{self._roll.random()}"), numbers, self._texts)
            for kind in KINDS
        }

    def config(self) -> list[dict[str, Any]]:
        """Return the streams of the tap's config."""
        on_error = "continue" if self.goes_on else "fail"
        return [shelf.config() | {"on_error": on_error} for shelf in self.shelves.values()]

    @property
    def is_broken(self) -> bool:
        """Whether a file lies there that cannot be read to its end."""
        return any(shelf.broken for shelf in self.shelves.values() if shelf.name != Drops.name)

    def emit(self, changes: int) -> None:
        """Do so many things, one after the other."""
        for _ in range(changes):
            shelf = self._roll.choice(list(self.shelves.values()))
            before = shelf.versions
            shelf.act()
            if self.open_runs:
                self.in_motion |= {(shelf.name, file) for file, _ in shelf.versions.items() - before.items()}

    def complete(self) -> None:
        """Finish all that is half done."""
        for shelf in self.shelves.values():
            shelf.complete()

    @contextlib.contextmanager
    def stirred(self) -> Iterator[None]:
        """Write while a run is under way, and note whether anybody does."""
        self.was_stirred = bool(self.stirring)
        with super().stirred():
            yield

    def close(self) -> None:
        """Close the log."""
        for shelf in self.shelves.values():
            if isinstance(shelf, Lines):
                shelf.close()
