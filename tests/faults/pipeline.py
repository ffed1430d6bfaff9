"""A source of numbered rows, and a checker of what a target made of it that shares no code with the target.

The rows are 1, 2, 3, ...; the stream `log` has no key and holds each of them, the stream `keyed` has seven keys
and holds the newest of each. A STATE comes after every few rows and says how far they go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from faults.loads import MARKED, RECORD, SCHEMA, STATE, query, state_row

__all__ = ["KEYS", "check", "committed", "rows", "run_of", "schemas"]

KEYS = 7
NUMBER = {"type": "integer"}


def schemas() -> list[Any]:
    return [
        SCHEMA("log", {"n": NUMBER, "text": {"type": "string"}}),
        SCHEMA("keyed", {"id": NUMBER, "n": NUMBER}, ["id"]),
    ]


def rows(first: int, last: int, padding: int = 200) -> Iterator[Any]:
    """Rows of both streams, of ``padding`` bytes and more."""
    for number in range(first, last + 1):
        yield RECORD("log", {"n": number, "text": "x" * padding})
        yield RECORD("keyed", {"id": number % KEYS, "n": number})


def run_of(
    start: int, last: int, *, every: int = 10, marked: bool = True, padding: int = 200
) -> Iterator[Any]:
    """The messages of a whole run that continues after row ``start``."""
    if marked:
        yield MARKED({"at": start} if start else {})
    yield from schemas()
    for number in range(start + 1, last + 1, every):
        until = min(number + every - 1, last)
        yield from rows(number, until, padding)
        yield MARKED({"at": until}) if marked else STATE({"at": until})
    if marked:
        yield MARKED({"at": last}, complete=True)


def committed(database: str, pipeline: str = "default") -> int:
    """How far the state in the database says the rows go."""
    found = state_row(database, pipeline)
    return 0 if found is None or found[1] is None else int(found[1]["at"])


def check(database: str, last: int | None = None) -> int:
    """See that the tables hold exactly the rows up to the committed state, and that this is ``last`` if given.

    I1 no loss, I2 no duplicates, I3 the state is the last committed position, I4 a key holds its newest version.
    """
    at = committed(database)
    assert last is None or at == last
    # Tables are made before the unit, one after the other: a run that is killed may leave one, and it is empty.
    stored = {
        name: query(database, f"SELECT {columns} FROM {name} ORDER BY n")
        for name, columns in (("log", "n"), ("keyed", "id, n"))
        if query(database, f"SELECT to_regclass('public.{name}')")[0][0]
    }
    assert at == 0 or len(stored) == 2
    assert [n for (n,) in stored.get("log", [])] == list(range(1, at + 1))
    newest = {number % KEYS: number for number in range(1, at + 1)}
    assert sorted(stored.get("keyed", [])) == sorted(newest.items())
    return at
