"""The source of tap-acme: what it has, and its rows, page by page.

TODO(acme): put the client of your source here. This one is made up, so that everything around it runs: a folder with
``tables.json``, which says what there is, and for each table a file with a JSON object a line, in the order of
``tables.json``'s ``replication_key`` where it says ``is_sorted``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from singerkit_shell.errors import BadDataError, NotAuthorisedError, RetryableError

__all__ = ["Store", "Table"]


@dataclass(frozen=True)
class Table:
    """What the store says of a table: its JSON Schema, its key, and what grows with each change of a row."""

    name: str
    schema: dict[str, Any]
    key: tuple[str, ...]
    replication_key: str | None
    is_sorted: bool


class Store:
    """A connection to the source. Each error is one sentence: what failed, where, and what to do."""

    def __init__(self, folder: Path, token: str | None) -> None:
        self._folder, self._token = folder, token

    def tables(self) -> list[Table]:
        """Return what can be read.

        Raises:
            RetryableError: the store cannot be reached.
            NotAuthorisedError: it refuses the token.
            BadDataError: what it says cannot be understood.
        """
        with _told(self._folder):
            expected = self._folder / "token"
            if expected.exists() and expected.read_text("utf-8").strip() != self._token:
                raise NotAuthorisedError(
                    f"The store {self._folder} refuses the token; nothing was read: correct `token` in the config."
                )
            text = (self._folder / "tables.json").read_bytes()
        try:
            return [
                Table(
                    name,
                    about["schema"],
                    tuple(about.get("key", ())),
                    about.get("replication_key"),
                    about.get("is_sorted", False),
                )
                for name, about in json.loads(text).items()
            ]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadDataError(
                f"Expected an object of tables, each with a `schema`, in {self._folder / 'tables.json'}, got something else; "
                "nothing was read: correct that file."
            ) from None

    def pages(self, table: Table, rows: int) -> Iterator[list[bytes]]:
        """Yield the rows of a table as the bytes they are, so that no digit of a number changes.

        TODO(acme): ask the source for what a bookmark wants, and for the next page by the last key of the one before.

        Raises:
            RetryableError: the store cannot be reached.
        """
        with _told(self._folder), (self._folder / f"{table.name}.jsonl").open("rb") as lines:
            while page := list(islice(lines, rows)):
                yield page


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """TODO(acme): try again here, for a while, what may pass by itself; then say it in one sentence."""
    try:
        yield
    except OSError as error:
        raise RetryableError(
            f"The store {folder} cannot be read ({error.strerror}); nothing is lost: check `folder`, then run again."
        ) from None
