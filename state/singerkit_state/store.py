"""A place that keeps a state, as `singerkit-state` sees it: a file, the manifest of a folder, a row (DESIGN 5).

    snapshot() -> Snapshot       what is committed, and who holds the lock; changes nothing
    change(edit, why) -> Change  one change, all or nothing; the former value goes into the history with it
    entries() -> [Entry]         the history, newest first
    unlock(confirm) -> Holder    free the lock of a run that is gone or stuck

`open_store` finds the kind of place. What the three raise when a change cannot be made:

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from singerkit_shell.errors import ConfigurationError
from singerkit_state import manifest
from singerkit_state.location import check_is_path, is_state_url, parse_state_url
from singerkit_state.statefile import check_text, state_object
from singerkit_state.value import Mark, decode, read_mark

if TYPE_CHECKING:
    from singerkit_state.history import Entry

__all__ = ["Change", "Edit", "Holder", "Snapshot", "Store", "open_store"]

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
    """One pipeline's state in one place. ``pipeline`` is its name, None where only the value can tell."""

    @property
    def pipeline(self) -> str | None: ...

    def snapshot(self) -> Snapshot: ...

    def change(self, edit: Edit, why: str) -> Change: ...

    def entries(self) -> Sequence[Entry]: ...

    def unlock(self, confirm: Callable[[Holder], bool]) -> Holder | None: ...


def open_store(location: str) -> Store:
    """Return the place that ``location`` names; nothing is opened yet.

    Raises:
        ConfigurationError: the URL is wrong, or names no pipeline; the folder holds no manifest.
    """
    if is_state_url(location):
        from singerkit_state.store_postgres import RowStore

        return RowStore(parse_state_url(location))
    from singerkit_state.store_files import FileStore, ManifestStore

    check_is_path(location)
    path = Path(location)
    if path.is_dir():
        if not (path / manifest.NAME).exists():
            raise ConfigurationError(
                f"The folder {path} holds no manifest {manifest.NAME}; name the folder of a target that keeps its "
                "state in one, or a state file."
            )
        return ManifestStore(path)
    return ManifestStore(path.parent) if path.name == manifest.NAME else FileStore(path)
