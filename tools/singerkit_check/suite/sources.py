"""What a rule may ask of the thing that a tap reads, whatever that is: an HTTP API, a database, files.

A `Source` knows its config alone and waives all else. One of its own kind overrides what can be done to it, and each
name that it overrides lets more rules run:

| | what | of a database, say |
|---|---|---|
| `streams` | what is true of its streams | tables and keys that the driver has made |
| `rows` | the rows of a stream as the tap is to send them | SELECT |
| `put` | adds rows; one with the key of another takes its place | INSERT ... ON CONFLICT DO UPDATE |
| `held` | keeps back what comes after the first rows of a stream | a lock, or a read that is slow |
| `ailing` | lets a stream fail for a moment, and then answer | a lock that is soon given up |
| `broken` | lets a stream fail for good | a view that cannot be evaluated |
| `spoilt` | lets a row fail when it is read | a text that is not UTF-8 |
| `filters` | it can be asked for rows from a value on | True |
| `reads` | which streams have been asked for, and from where on | the log of its statements |
| `http` | the server and the path of a stream, for rules of HTTP alone | nothing: they are waived |

`known.KNOWN` are streams to fill a source with: it takes those, and of each the fields, that it can hold, and says in
`streams` and `rows` what it took. Rules ask for a stream that has what they need (`facts`), never for one by its name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest

from singerkit_check.suite.known import Facts, Row
from singerkit_check.suite.processes import Running
from singerkit_check.suite.singer import instant
from singerkit_check.suite.source_server import Server

__all__ = ["Held", "Read", "Source", "another", "key_of", "later"]


@dataclass(frozen=True)
class Read:
    """A stream that was asked for, and the replication key value from which on; None: from the beginning."""

    stream: str
    start: str | None


@dataclass(frozen=True)
class Held:
    """A stream that the source gives no more of than its first ``rows`` rows, until ``release``."""

    rows: int
    reached: Callable[[Running], bool]
    """Waits until this tap has asked for what is held; False if it does not in time."""
    release: Callable[[], None]


class Source:
    """Where a tap reads, and the config that makes it read there."""

    filters = True
    """Whether it can be asked for the rows from a value of the replication key on."""

    def __init__(
        self, config: dict[str, Any], streams: Mapping[str, Facts] | None = None, *, secret: str | None = None
    ) -> None:
        self.config, self.streams, self.secret = config, dict(streams or {}), secret
        """``secret`` stands in the config and is never to be printed."""

    def rows(self, stream: str) -> list[Row]:
        """Return the rows of a stream as the tap is to send them, numbers exact, in the order of the source."""
        self.cannot("whose rows the test knows")

    def put(self, stream: str, *rows: Row) -> None:
        """Store rows, each in the place of the one with its key; where the stream ascends, its order stays."""
        self.cannot("whose rows the test changes")

    @contextmanager
    def held(self, stream: str, rows: int) -> Iterator[Held]:
        """Keep back what comes after about so many rows of a stream, until `Held.release`, or the end."""
        yield self.cannot("that holds an answer back")

    @contextmanager
    def ailing(self, stream: str) -> Iterator[None]:
        """Let a stream fail as often as a tap must bear, and then answer; the end sees that it was asked so often."""
        yield self.cannot("that fails for a moment")

    @contextmanager
    def broken(self, stream: str) -> Iterator[None]:
        """Let a stream fail for good, and no other."""
        yield self.cannot("of which one stream cannot be read")

    @contextmanager
    def spoilt(self, stream: str, row: Row) -> Iterator[None]:
        """Let one row of a stream fail when it is read, and all else be as it was."""
        yield self.cannot("of which one row cannot be read")

    @property
    def reads(self) -> list[Read]:
        """Return which streams were asked for so far, in that order."""
        self.cannot("that tells what it was asked for")

    def http(self, stream: str) -> tuple[Server, str]:
        """Return the server and the path of a stream, for rules that are of HTTP alone."""
        self.cannot("that is asked by HTTP")

    def cannot(self, what: str) -> NoReturn:
        pytest.skip(f"waived: needs a driver with a source {what}")

    # What rules ask for

    @property
    def known_streams(self) -> dict[str, Facts]:
        """Return what is known of the streams, where anything is."""
        return self.streams or self.cannot("whose streams the test knows")

    def facts(self, **wanted: Any) -> tuple[str, Facts]:
        """Return the first stream whose facts are as wanted, for instance ``ascends=True``."""
        for name, facts in self.streams.items():
            if all(getattr(facts, key) == value for key, value in wanted.items()):
                return name, facts
        pytest.skip(f"waived: needs a driver with a stream that has {wanted}")

    def unsorted(self) -> tuple[str, Facts]:
        """Return the first stream with a bookmark whose rows come in no order."""
        for name, facts in self.streams.items():
            if facts.replication_key and not facts.ascends:
                return name, facts
        return self.cannot("with a stream whose rows come in no order")

    def text_field(self, stream: str) -> str:
        """Return a field of text that is neither key nor replication key."""
        facts = self.streams[stream]
        for name, value in self.rows(stream)[0].items():
            if isinstance(value, str) and name not in (*facts.key, facts.replication_key):
                return name
        return self.cannot(f"with a text in stream {stream}")


def key_of(row: Row, facts: Facts) -> tuple[Any, ...]:
    return tuple(row[name] for name in facts.key)


def another(rows: Sequence[Row], facts: Facts, changes: Row, number: int = 1) -> Row:
    """Return the last row as another one: with the ``number``-th key that no row has, and these changes."""
    field = facts.key[0]
    if isinstance(rows[-1][field], str):
        key: Any = f"another-{number}"
    else:
        key = max(row[field] for row in rows) + 900 + number
    return rows[-1] | {field: key} | changes


def later(row: Row, facts: Facts, days: int = 30) -> dict[str, str]:
    """Return the replication key of a row that is so many days later, to be put into it."""
    assert facts.replication_key is not None
    moment = instant(row[facts.replication_key]) + dt.timedelta(days=days)
    return {facts.replication_key: moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
