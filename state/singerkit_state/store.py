"""A place that keeps a state, as taps and `singerkit-state` see it: a file, the manifest of a folder, a row (DESIGN 5).

    read(pipeline) -> value      the STATE value that a tap starts from; None for a first run
    snapshot() -> Snapshot       what is committed, and who holds the lock; changes nothing
    change(edit, why) -> Change  one change, all or nothing; the former value goes into the history with it
    entries() -> [Entry]         the history, newest first
    unlock(confirm) -> Holder    free the lock of a run that is gone or stuck

`location.open_store` finds the kind of place. What they raise when it cannot be read or changed:

    LockHeldError          75  a run is at work and cannot be fenced from here: nothing was changed
    ConfigurationError     78  there is no such place, or it holds something else than a state
    NotAuthorisedError     77  the database refuses
    CannotWriteError       74  no space, no permission: nothing was changed
    RetryableError         69  the database is away
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from singerkit_state.history import Entry
from singerkit_state.statefile import check_text, state_object
from singerkit_state.value import Mark, decode, read_mark

__all__ = ["Change", "Edit", "Holder", "Snapshot", "StateTable", "Store"]

Edit = Callable[[str | None], str | None]
"""From the text of the former STATE value, None for none, to the text of the new one, None to forget it."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as far as it is known. ``since`` is an ISO 8601 time; ``session`` a server process."""

    pid: int | None = None
    host: str | None = None
    since: str | None = None
    run_id: str | None = None
    session: int | None = None
    application: str | None = None

    def __str__(self) -> str:
        name = f"the run {self.run_id}" if self.run_id else "a run"
        facts = [
            f"`{self.application}`" if self.application else "",
            f"pid {self.pid} on host {self.host}" if self.pid is not None else "",
            f"server process {self.session}" if self.pid is None and self.session is not None else "",
            f"since {self.since}" if self.since else "",
        ]
        known = ", ".join(filter(None, facts))
        return f"{name} ({known})" if known else name


@dataclass(frozen=True)
class Snapshot:
    """What a place says. ``text`` is the STATE value as it is stored, None before the first one.

    ``epoch`` counts runs and changes by hand, ``sequence`` commits; a plain file has neither. ``run_id`` is the last
    run that wrote, or what `by_hand` made of a person.
    """

    where: str
    kind: str
    text: str | None
    pipeline: str | None = None
    epoch: int | None = None
    sequence: int | None = None
    run_id: str | None = None
    committed_at: datetime | None = None
    holder: Holder | None = None
    others: tuple[str, ...] = ()
    """The pipelines that have a state in this place, where this one has none."""

    @property
    def value(self) -> dict[str, Any] | None:
        """The STATE value; ConfigurationError when it is none."""
        if self.kind == "file" and self.text is not None:
            check_text(self.where.removeprefix("the file "), self.text)
        way_out = "set another one with `singerkit-state set`, or forget it with `singerkit-state reset`"
        where = f"state in {self.where}"
        return None if self.text is None else state_object(self.text, where, None, way_out)

    @property
    def is_there(self) -> bool:
        """Whether anybody has been here: a run that has committed nothing yet, a state that was forgotten."""
        return any(known is not None for known in (self.text, self.epoch, self.holder))

    @property
    def mark(self) -> Mark | None:
        """What the last run of our taps has said about itself; None for taps of others, and for a torn value."""
        with contextlib.suppress(ValueError):
            return None if self.text is None else read_mark(decode(self.text))
        return None


@dataclass(frozen=True)
class Change:
    """A change that was made. ``before.holder`` is who held the lock: fenced now. ``number`` is the history's."""

    before: Snapshot
    after: Snapshot
    number: int


class Store(Protocol):
    """One pipeline's state in one place."""

    @property
    def pipeline(self) -> str | None:
        """The name of the pipeline; None where only the value can tell."""
        ...

    @property
    def location(self) -> str:
        """What names this place on a command line, without a password."""
        ...

    @property
    def is_file(self) -> bool:
        """Whether it is a file that target and tap are told of; else a target keeps it beside the rows."""
        ...

    def read(self, pipeline: str | None = None) -> dict[str, Any] | None: ...

    def snapshot(self) -> Snapshot: ...

    def change(self, edit: Edit, why: str) -> Change: ...

    def entries(self) -> Sequence[Entry]: ...

    def unlock(self, confirm: Callable[[Holder], bool]) -> Holder | None: ...


class StateTable(Protocol):
    """The states of all pipelines of one place."""

    @property
    def where(self) -> str:
        """What to call it in messages."""
        ...

    def snapshots(self) -> Sequence[Snapshot]: ...
