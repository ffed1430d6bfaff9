"""Which files a run reads, in which order, and from where on: what remembers that says so, and is told how far it came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from singerkit_shell.errors import SingerkitError
from tap_files.formats.contract import Spot
from tap_files.places.contract import Found

__all__ = ["END_BYTES", "Ends", "Memory", "Turn"]


Ends = tuple[str, str]
"""Digests of at most `END_BYTES` at the beginning of a file, and of as many before a place of it."""

END_BYTES = 1024


_BEGINNING = Spot()


@dataclass(frozen=True)
class Turn:
    """A file to read.

    ``file``: what `_file` of its rows says. ``start``: where to begin. ``is_whole``: its end is the end of it for good. ``replaces``: rows of it may
    be in the target that are not of this version, and are to go before these come. ``was_read``: a run knows of it already.
    """

    found: Found
    file: str
    start: Spot = _BEGINNING
    is_whole: bool = True
    replaces: bool = False
    was_read: bool = False
    problem: SingerkitError | None = None
    """Why it is not to be read, though it is there and no run has read it so."""


class Memory(Protocol):
    """What runs know of the files that they have read."""

    def turns(self, listed: Iterable[Found]) -> Iterator[Turn]:
        """Yield the files to read, in order; ``listed``: all of the place that are meant, in any order."""
        ...

    def again(self, found: Found) -> Turn | None:
        """Return how to go on with a file that has changed while it was read, as it is now; None: all of it was read."""
        ...

    def reached(self, turn: Turn, spot: Spot | None, rows: int, ends: Ends | None, whole: str) -> None:
        """Note that ``rows`` rows of a file were sent, all up to ``spot``; None: no later run can go on there.

        ``ends``: digests of its first bytes and of the last ones before the spot; None: nobody has them. ``whole``: of all bytes before the spot; "": nobody has it.
        """
        ...

    def done(self, turn: Turn, spot: Spot | None, rows: int, ends: Ends | None, whole: str) -> None:
        """Note that all rows of a file were sent; as `reached`. ``whole``: a digest of all its bytes; "": nobody has it."""
        ...

    @property
    def size(self) -> int:
        """About so many bytes `position` has."""
        ...

    def position(self) -> Any:
        """Return what a state says of it: JSON."""
        ...
