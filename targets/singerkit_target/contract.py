"""The contract of a target: what the commit loop calls, when, and what each exception makes it do.

The loop (`load.py`) reads the wire and calls the methods of `Loader`, always from one thread, in the order of that class.

A target may write in another thread, and find out late that something was refused. So a mark takes the way of the rows
before it, through the same queue, and `Loader.back_to_safe` returns the point that was kept: its state, and no other, is
then committed, printed and counted. An exception of an earlier call may come out of any later one.

What an exception makes the loop do, unless a method says otherwise:

    UnitLost              recover(), declare() every stream of the unit, write it again, as long as it is held in memory
    BadDataError          back_to_safe(), commit() up to there, close(); the run ends with 65
    other SingerkitErrors rollback(), close(); the run ends with the exit code of the error
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from singerkit_quality.sets import AskedSet, Found
from singerkit_shell.errors import BadDataError, RetryableError
from singerkit_shell.words import counted
from singerkit_state.store import Edit
from singerkit_target.abilities import Abilities
from singerkit_target.outcomes import Outcomes
from singerkit_target.siblings import Siblings
from singerkit_target.summary import Counts
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.blocks import BlockDecoder
from singerkit_wire.domain import Domain
from singerkit_wire.messages import Message, Run
from singerkit_wire.stream import Stream

__all__ = [
    "Asked",
    "CommitsBeside",
    "DecodesAhead",
    "Edit",
    "GivesWay",
    "JudgesSets",
    "KeepsLists",
    "Loader",
    "RowsChanged",
    "RowsCut",
    "RowsGone",
    "RowsUnclear",
    "SafePoint",
    "TableRemade",
    "UnitInTheWay",
    "UnitLost",
    "check_room",
]


@dataclass(frozen=True)
class SafePoint:
    """A place in the input up to which everything may be committed: its state, and the counts up to it.

    ``state`` is None as long as no STATE said anything; ``message`` is the STATE that stands there, ``told`` how many lines of the log wait
    for the commit.
    """

    state: str | None = None
    counts: Counts = field(default_factory=Counts)
    message: Message | None = None
    told: int = 0


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
    """The unit in hand was rolled back by no fault of its rows: a lost connection, a deadlock.

    ``finding`` is what has happened, ``rest`` what of the sentence follows: what is safe, and what to do, which the run does
    itself as long as it holds the unit.
    """

    def __init__(self, finding: str, rest: str = "") -> None:
        super().__init__(finding + rest)
        self.finding = finding.rstrip(".")


class UnitInTheWay(UnitLost):
    """A table is to be altered, and who reads it would wait for the end of the unit, which has locked it: it is better given up, and
    written again behind the change.
    """


class Asked(Protocol):
    """Rows that are decoded before their turn."""

    def is_done(self) -> bool: ...

    def batches(self) -> list[Batch] | None:
        """Wait for them; None: they are to be decoded in their turn."""
        ...

    def give_up(self) -> None:
        """Nobody wants them."""
        ...


@runtime_checkable
class DecodesAhead(Protocol):
    """What a loader has besides `Loader` that can have rows decoded while those before them are written.

    Rows that are asked for change nothing, and may never be written.
    """

    def ask_ahead(self, decoder: BlockDecoder, run: Run) -> Asked | None:
        """Have a run decoded as the decoder would now; None: it is not."""
        ...


@runtime_checkable
class CommitsBeside(Protocol):
    """What a loader has besides `Loader` whose commits can go on while rows behind them are written.

    One is under way at a time. When it fails nothing that was written behind it is ever committed: `end_commit` raises what has
    happened, as often as it is called, as may any other method, and `back_to_safe` returns None.
    """

    def begin_commit(self, state: str | None) -> None:
        """Do what `commit` does, which may go on behind this call. In its place, but for the last of a run."""
        ...

    def is_committing(self) -> bool: ...

    def end_commit(self) -> None:
        """Wait for the commit that is under way, if one is; its STATE is told to nobody before. Raises what `commit` does."""
        ...

    def is_enough(self, rows: int) -> bool:
        """Whether the unit in hand, of so many rows, had better be committed at once, beside those behind it. At a STATE."""
        ...


@runtime_checkable
class GivesWay(Protocol):
    """What a loader has besides `Loader` that may have its store for itself."""

    def give_way(self) -> None:
        """Let others have the store until `begin`. Right behind `open`, where the input is still awaited."""
        ...


@runtime_checkable
class KeepsLists(Protocol):
    """What a loader has besides `Loader` that has tables for the elements of lists in records, and tells them from others."""

    def lists_of(self, stream: str, keys: Sequence[str], named: Sequence[str]) -> Mapping[str, bool]:
        """Return the streams whose tables have elements of lists of a stream, from any run, and whether any is marked as deleted; but for those that are ``named`` anyway.

        After `begin`, before it is declared. Those that are known by other ``keys`` of its records are passed over, with a warning.
        """
        ...


@runtime_checkable
class JudgesSets(Protocol):
    """What a loader has besides `Loader` that can be asked whether all rows of a stream keep a rule of quality."""

    def judge_sets(self, asked: Sequence[AskedSet], take: Callable[[Sequence[Found]], None]) -> None:
        """Have rules judged in the transaction of the next `commit`, when all of its rows are in their tables; ``take`` is given what came of them.

        What ``take`` raises comes out of that `commit`, which then has not happened. It may be called again where a `commit` is made again.
        """
        ...


class Loader(Protocol):
    """What a target implements. Between `begin` and `close` everything is in a *unit*: what came since the last commit."""

    @property
    def domain(self) -> Domain:
        """What it can hold: a value that does not fit is set aside by `on_unstorable` before the target sees it."""
        ...

    @property
    def abilities(self) -> Abilities:
        """What it can do; the same for the whole run."""
        ...

    doubts: list[str]
    """Sentences about rows that may be gone; the loop tells them after each `declare`, and empties the list."""

    outcomes: Outcomes
    """What was done to the rows of each stream, by all that is committed; read at the end of a run."""

    @property
    def set_aside_in(self) -> str:
        """The table or file of `reject`, as the summary calls it."""
        ...

    def open(self) -> None:
        """Connect and see that all rights are there. Once, before a line is read; writes no row and takes no lock."""
        ...

    def begin(self, pipeline: str) -> str | None:
        """Take the lock, begin a new epoch, return the committed STATE. Once, at the first message.

        Raises:
            LockHeldError: another run is at work (75).
        """
        ...

    def expect_rows_of(self, pipelines: Collection[str]) -> None:
        """Have tables hold the rows, too, that the states of these other shards say were loaded. After `begin`."""
        ...

    def pipelines(self, *, with_state: bool = False) -> Sequence[str]:
        """Return the pipelines that have been here, none before the first run; or those alone that have a state now.

        After `open`, when a state is changed by hand; after `begin`, in the first run of one.
        """
        ...

    def was_former(self, value: Any) -> bool:
        """Tell whether a STATE value was committed here before. After `begin`."""
        ...

    def expect_gone_rows(self, *, always: bool = False) -> None:
        """Raise no `RowsGone` in this run. After `begin`, where it starts over, or (``always``) the config says so."""
        ...

    def change_state(self, edit: Edit, why: str, *, as_it_is: bool = False) -> str | None:
        """Replace the committed STATE, return the new one. After `begin`, once, by hand and instead of a run.

        ``as_it_is``: what tables or files hold now is what they should hold.
        """
        ...

    def declare(self, stream: Stream) -> Stream:
        """Make room for a stream; return it with the kinds in which its values are to be given.

        For each SCHEMA that is new or differs from the last one of its stream, and again after `recover`.

        Raises:
            RowsGone: rows are missing that the state says were loaded; ends the run, with the ways out (69).
            ConfigurationError, BadDataError: there is no table or file that could hold it.
            UnitInTheWay: `recover` makes room before the unit comes again; where that cannot, since it is not held any more, the
                same stream is declared once more at once, and the unit goes on.
        """
        ...

    def write(self, stream: Stream, batch: Batch) -> None:
        """Take a batch of valid rows of a declared stream, in the order of the input; may only queue them.

        Raises:
            DoesNotFit: the store cannot hold some values, and nothing of the batch was taken; they become null or their
                records are set aside, as `on_unstorable` says, and the rest comes again.
            UnitInTheWay: nothing of the batch was taken, and it goes on as with `declare`.
        """
        ...

    def reject(self, rejects: Sequence[Reject]) -> None:
        """Set aside records that were refused, in the unit that they came in; after the `write` of the same lines."""
        ...

    def activate_version(self, stream: Stream, version: int, siblings: Siblings | None = None) -> None:
        """Take the rows of other versions away. For each ACTIVATE_VERSION: before the next `mark_safe`, or at a complete end.

        ``siblings``: other shards have rows in the table, and only what is of none of their versions goes, once all have been read.
        """
        ...

    def replace(self, stream: Stream, where: Batch | None) -> None:
        """Take away the rows, of all that were written before this call, that have the values of the one row of ``where``; null is one.

        For each REPLACE, in its place among the rows. It is part of the unit, as they are. None, of a stream of lists: elements go whose
        record is gone at the end of the unit.

        Raises:
            ConfigurationError: rows of the stream do not go, as the config has it, or the store can take none away.
        """
        ...

    def overwrite(self, stream: Stream, *, removes: bool) -> None:
        """Let all that was written of an overwritten stream take the place of what was there, with the next `settle`.

        Once for each, at the complete end of a run, in the unit that has all of its rows. Without ``removes`` no row goes: those with a key
        are upserted, those without are given up.
        """
        ...

    def mark_safe(self, point: SafePoint) -> None:
        """Mark that everything written so far is covered by a STATE. At each STATE; the last mark that is reached counts."""
        ...

    def settle(self) -> Mapping[str, int]:
        """Bring everything written to where it belongs. Before each `commit`.

        Return how many of its records, by stream, the target itself had to refuse since the last commit, and has set aside.
        """
        ...

    def commit(self, state: str | None) -> None:
        """Make what was written and the state durable together, all or nothing; None keeps the state that is there.

        Raises:
            FencedError: a newer run has taken over (76); nothing was committed.
            UnitLost: nothing was committed. Where the answer is unknown the target finds out, and does not raise.
        """
        ...

    def back_to_safe(self) -> SafePoint | None:
        """Give up what was written after the last mark that was reached, and return it; None: there is none in this unit.

        After a `BadDataError` or a signal; the errors of what was given up are forgotten.
        """
        ...

    def rollback(self) -> None:
        """Give up everything since the last commit. After any error and in any state, before `open` too; may come twice."""
        ...

    def recover(self) -> None:
        """Be ready to be given the unit again, from its beginning. After a `UnitLost`.

        Raises:
            FencedError: a newer run has taken over (76).
            RetryableError: the store does not come back (69).
        """
        ...

    def close(self) -> None:
        """Leave lock and connection; what is not committed is gone. Once, in any case, also where `open` has failed."""
        ...
