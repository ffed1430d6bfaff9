"""What runs know of the files that they have read: which, of what version, and how far.

It stands in the state as the position of the stream (`singerkit_tap.position`)::

    {"done": {"in/a.csv": ["k3Jd0aPq", 1764280000000000, 918, 48213, 919, 0, "Zk0...", "pQ2..."]},
     "contexts": [["id", "name"]],
     "open": {"in/b.csv": ["x8Hq02Lm", 1764280100000000, 5000, 131072, 5001, 0, "a9B...", "7Jk..."]}}

Of each file: a digest of its version, when it last changed anything of itself (microseconds), the rows that were sent of it, then where
it can be gone on with (byte, line, the number of what its reader needs besides), and digests of its beginning and of what is
before that place. ``open``: of which a part was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError, ConfigurationError
from tap_files.formats.contract import Spot
from tap_files.opening import digest, ends_of
from tap_files.places.contract import Found, Place
from tap_files.turns import Ends, Memory, Turn

__all__ = ["Known"]


class Entry(msgspec.Struct, array_like=True):
    """What is known of one file; see the module."""

    version: str
    appeared: int | None
    rows: int
    byte: int | None = None
    line: int = 0
    context: int = -1
    head: str = ""
    tail: str = ""


class _Position(msgspec.Struct, omit_defaults=True):
    done: dict[str, Entry] = {}
    open: dict[str, Entry] = {}
    contexts: list[Any] = []


_ENTRY_BYTES = 64
"""About so many has an entry besides its name."""


class Known(Memory):
    """What is known of the files of one stream. ``said``: its position in the state, None on a first run."""

    def __init__(self, said: Any, place: Place, shown: str, on_changed: str, way_to_start_over: str) -> None:
        """``shown``: what stands before names. ``on_changed``: `append` or `fail`.

        Raises:
            ConfigurationError: the position is none of ours.
        """
        self._place, self._shown, self._on_changed = place, shown, on_changed
        try:
            kept = msgspec.convert({} if said is None else said, _Position)
        except msgspec.ValidationError as error:
            raise ConfigurationError(
                f"What the state says of the files that were read cannot be understood ({error}); nothing was read. Bring back a state of "
                f"this stream, or read all files again: run {way_to_start_over}."
            ) from None
        self._done, self._open, self._contexts = kept.done, kept.open, kept.contexts
        self._size = sum(_ENTRY_BYTES + len(name) for name in (*self._done, *self._open))

    def turns(self, listed: Iterable[Found]) -> Iterator[Turn]:
        """See `Memory.turns`: the oldest first, so that of rows with one key those of the newest file stay."""
        news = [found for found in listed if not self._is_read(found)]
        news.sort(key=lambda found: (found.modified or 0, found.name))
        for found in news:
            turn = self._turn(found)
            if turn is not None:
                yield turn

    def _is_read(self, found: Found) -> bool:
        entry = self._done.get(self._shown + found.name)
        return entry is not None and entry.version == digest(found.version.encode())

    def _turn(self, found: Found) -> Turn | None:
        file = self._shown + found.name
        entry = self._open.get(file)
        if entry is not None and entry.version == digest(found.version.encode()):
            return Turn(found, file, self._spot(entry))
        entry = entry or self._done.get(file)
        if entry is None:
            return Turn(found, file)
        if self._has_grown(found, entry):
            return Turn(found, file, self._spot(entry))
        if self._on_changed == "fail":
            raise BadDataError(
                f"The file {file} was read before ({entry.rows:,} rows) and has changed since, otherwise than by growing at its end: "
                "what was loaded of it is safe, and nothing of the new version was read. Give files that change another name, or set "
                "`on_changed` (`append`: its rows come again, beside those that stay)."
            )
        return Turn(found, file)

    def _has_grown(self, found: Found, entry: Entry) -> bool:
        if entry.byte is None or found.size is None or found.size < entry.byte:
            return False
        return ends_of(self._place, found, entry.byte) == (entry.head, entry.tail)

    def _spot(self, entry: Entry) -> Spot:
        if entry.byte is None:
            return Spot()
        context = self._contexts[entry.context] if 0 <= entry.context < len(self._contexts) else None
        return Spot(entry.byte, entry.line, entry.rows, context)

    def reached(self, turn: Turn, spot: Spot | None, rows: int, ends: Ends | None) -> None:
        """See `Memory.reached`."""
        self._note(self._open, turn, spot, rows, ends)

    def done(self, turn: Turn, spot: Spot | None, rows: int, ends: Ends | None) -> None:
        """See `Memory.done`."""
        self._open.pop(turn.file, None)
        self._note(self._done, turn, spot, rows, ends)

    def _note(
        self, entries: dict[str, Entry], turn: Turn, spot: Spot | None, rows: int, ends: Ends | None
    ) -> None:
        if turn.file not in entries:
            self._size += _ENTRY_BYTES + len(turn.file)
        entry = Entry(digest(turn.found.version.encode()), turn.found.appeared, rows)
        if spot is not None and ends is not None:
            entry.byte, entry.line, entry.rows = spot.byte, spot.line, spot.row
            entry.context, (entry.head, entry.tail) = self._context(spot.context), ends
        entries[turn.file] = entry

    def _context(self, context: Any) -> int:
        if context is None:
            return -1
        if context not in self._contexts:
            self._contexts.append(context)
            self._size += len(msgspec.json.encode(context))
        return self._contexts.index(context)

    @property
    def size(self) -> int:
        """See `Memory.size`."""
        return self._size

    def position(self) -> Mapping[str, Any]:
        """See `Memory.position`."""
        used = {entry.context for entry in (*self._done.values(), *self._open.values())}
        contexts: Sequence[Any] = [
            context if number in used else None for number, context in enumerate(self._contexts)
        ]
        found: Mapping[str, Any] = msgspec.to_builtins(_Position(self._done, self._open, list(contexts)))
        return found
