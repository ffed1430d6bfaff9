"""The contract of a target: what the commit loop calls, when, and what each exception makes it do.

The loop (`load.py`) reads the wire and calls, always from one thread:

    open()                       once, before a line is read: connect, check privileges
    begin(pipeline) -> state     once, at the first message: take the lock, bump the epoch; the committed STATE
    was_former(value) -> bool    whether the STATE value was committed there before
    expect_gone_rows()           after begin(), when the run starts over or (``always``) the config says so: no RowsGone
    change_state(edit, why, ...) after begin(), by hand and instead of a run: replace the committed STATE
    doubts                       sentences about rows that may be gone; the loop tells them after declare()
    declare(stream) -> stream    for each SCHEMA that is new or differs from the last one of its stream; the stream with
                                 the kinds in which its values are to be given
    write(stream, batch)         for each batch of valid rows
    reject(rejects)              for each record that was refused and is to be set aside
    activate_version(...)        for each ACTIVATE_VERSION: before the mark at the next STATE, or when the run ended complete
    mark_safe(point)             at a STATE that covers everything written so far
    settle() -> counts           everything written is where it belongs; how many of its records, by stream, the target
                                 itself had to refuse since the last commit, and has set aside
    commit(state)                what was written up to now, and the state, become durable together
    back_to_safe() -> point      give up what was written after the last mark that was reached; None: there is none
    rollback()                   give up everything since the last commit
    recover()                    after a `UnitLost`: be ready to be given the unit again, from its beginning
    close()                      once, in any case

A target may write in another thread, and find out late that something was refused. So a mark takes the way of the rows
before it, through the same queue, and `back_to_safe` returns the point that was kept: its state, and no other, is then
committed, printed and counted.

A `UnitLost` makes the loop call recover(), declare() every stream anew and write the unit in hand again while it is
still held; else it is an error like others. A `BadDataError` makes the loop commit up to the last safe point and end with 65; a `RetryableError` or
`ConfigurationError` makes it roll back and end with the error's exit code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from singerkit_shell.errors import BadDataError, RetryableError
from singerkit_shell.words import counted
from singerkit_state.store import Edit
from singerkit_target.abilities import Abilities
from singerkit_target.summary import Counts
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.domain import Domain
from singerkit_wire.messages import Message
from singerkit_wire.stream import Stream

__all__ = [
    "Edit",
    "Loader",
    "RowsChanged",
    "RowsCut",
    "RowsGone",
    "RowsUnclear",
    "SafePoint",
    "TableRemade",
    "UnitLost",
    "check_room",
]


@dataclass(frozen=True)
class SafePoint:
    """A place in the input up to which everything may be committed: its state, and the counts up to it.

    ``state`` is None as long as no STATE said anything; ``message`` is the STATE that stands there.
    """

    state: str | None = None
    counts: Counts = field(default_factory=Counts)
    message: Message | None = None


def check_room(limit: int, count: int, last: Reject | None = None) -> None:
    """See that no more records are set aside than ``limit``; ``last`` is the last of ``count``.

    Raises:
        BadDataError: there are more.
    """
    if count > limit:
        reason = f"; the last reason: {last.reason} at {last.stream}.{last.path}" if last else ""
        raise BadDataError(
            f"Expected at most {counted(limit, 'record')} to be set aside (quarantine_limit), got more{reason}."
        )


class RowsGone(RetryableError):
    """The rows that the state says were loaded into a stream's table or file are not there (DESIGN 5)."""

    put_back = "put the rows back"
    before_anew = ""
    go_on = "go on without them"
    each_run: str | None = "where rows are taken away after each run"


class RowsCut(RowsGone):
    """A part of the rows is gone from a file, to which rows are only appended."""

    before_anew = "move what is left of it away and "


class RowsChanged(RowsGone):
    """The file of a stream is not what was committed."""

    put_back = "put it back as it was"
    before_anew = "move it away and "
    go_on = "take it as it is"
    each_run: str | None = "where others change it after each run"


class RowsUnclear(RowsChanged):
    """It may hold rows that were not committed, and that nobody can tell from others."""

    each_run = None


class TableRemade(RowsGone):
    """A table is another one than the rows were loaded into; whether it has all of them, the target cannot tell."""


class UnitLost(RetryableError):
    """The unit in hand was rolled back by no fault of its rows: a lost connection, a deadlock."""


class Loader(Protocol):
    """What a target implements.

    ``domain`` is what it can hold: a value that does not fit is set aside by `on_unstorable` before the target sees it.
    ``abilities`` is what it can do. ``set_aside_in`` names the table or file of `reject`.
    """

    @property
    def domain(self) -> Domain: ...

    @property
    def abilities(self) -> Abilities: ...

    doubts: list[str]

    @property
    def set_aside_in(self) -> str: ...

    def open(self) -> None: ...

    def begin(self, pipeline: str) -> str | None: ...

    def pipelines(self) -> Sequence[str]:
        """Return the pipelines that have a state here; none before its first run."""
        ...

    def was_former(self, value: Any) -> bool: ...

    def expect_gone_rows(self, *, always: bool = False) -> None: ...

    def change_state(self, edit: Edit, why: str, *, as_it_is: bool = False) -> str | None:
        """Return the new STATE text; ``as_it_is``: what tables or files hold now is what they should hold."""
        ...

    def declare(self, stream: Stream) -> Stream: ...

    def write(self, stream: Stream, batch: Batch) -> None: ...

    def reject(self, rejects: Sequence[Reject]) -> None: ...

    def activate_version(self, stream: Stream, version: int) -> None: ...

    def mark_safe(self, point: SafePoint) -> None: ...

    def settle(self) -> Mapping[str, int]: ...

    def commit(self, state: str | None) -> None: ...

    def back_to_safe(self) -> SafePoint | None: ...

    def rollback(self) -> None: ...

    def recover(self) -> None: ...

    def close(self) -> None: ...
