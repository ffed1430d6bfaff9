"""Logs that rotate: which file has what was read of which log, whatever it is called by now.

A log is written to a file, which is renamed (`a.log` to `a.log.1`), or copied and emptied (copytruncate), and packed later (`a.log.2.gz`), in any
order and between any two runs. What was read is a *trail*: where it lay, and digests of the first 1,024 bytes and of those before the place up to
which it was read. A file has a trail if both are in it, at that place; device and inode alone tell nothing, as a new file often gets those of a
file that went (decision 87). It stands in the state as the position of the stream::

    {"trails": [["app.log.1", "app.log", "64769:1311", "k3Jd0aPq", 48213, 48213, 919, "utf-8", "Zk0...", "pQ2...", 1]], "rows": {"app.log": 918}}

Of each trail: the name of its file, what `_file` of its rows says (the name under which it was first seen), device and inode, a digest of the
version of the file and its size when it was read, the place up to which it was read (byte, line, what its reader needs besides), the digests, and
how much of the file as it was then was read (`_IN_PART`, `_READ`, `_ENDED`). ``rows``: how many rows have each `_file`: they are counted on from log to log, and no
number comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from singerkit_shell.errors import ConfigurationError, RetryableError
from tap_files.formats.contract import Spot, UnreadableFile
from tap_files.opening import digest, ends_of
from tap_files.packed.packing import inner_name, packing_of
from tap_files.places.contract import FileChanged, Found, Place
from tap_files.settings.stream import StreamSettings
from tap_files.turns import END_BYTES, Ends, Memory, Turn

__all__ = ["Trails"]

_TRAIL_BYTES = 200
"""About so many has a trail in the state."""
_PIECE = 1 << 20
_SUFFIX = re.compile(r"(?:[-._]\d[-\d._T:]*|\.old|\.bak|~)$")
_DATE = re.compile(r"[-._]\d{4}[-._]?\d\d[-._]?\d\d[-\d._T:]*(?=\.[^./]*$)")
_BASE = "base of "
_SEPARATOR = re.compile(r"[-._~]")


class Trail(msgspec.Struct, array_like=True):
    """What was read of one file of a log; see the module."""

    name: str
    file: str
    identity: str | None
    version: str
    size: int | None
    byte: int
    line: int
    context: Any
    head: str
    tail: str
    stage: int
    """One of the following."""

    @property
    def seen(self) -> int:
        """The bytes of which there are digests: what was read, or what there was where not a line of it was complete."""
        return self.byte or self.size or 0

    def is_at(self, found: Found) -> bool:
        """Tell whether a file is the very one that was read last, unchanged, whatever its name is by now."""
        return _key(self) == _key(found) and self.version == _version(found)


_IN_PART, _READ, _ENDED = 0, 1, 2
"""What was read of a file as it was then: a part; all but a last line without its end; all, and no more will come."""


class _Position(msgspec.Struct):
    trails: list[Trail] = []
    rows: dict[str, int] = {}


class Trails(Memory):
    """The trails of one stream. ``said``: its position in the state, None on a first run."""

    forgotten = unsure = 0
    has_forgotten = False
    moved: Mapping[str, str] = {}
    late, first_late = 0, ""

    def __init__(
        self,
        said: Any,
        place: Place,
        settings: StreamSettings,
        ready: Callable[[Found], bool],
        way_to_start_over: str,
        is_mine: Callable[[str], bool] = lambda _: True,  # noqa: ARG002  one shard reads all logs
    ) -> None:
        """Take up what the state says; ``ready``: whether a file may be read in this run.

        Raises:
            ConfigurationError: the position is none of ours.
        """
        self._place, self._settings, self._ready = place, settings, ready
        self._shown = settings.address.shown
        try:
            if said is not None and "trails" not in said:
                raise msgspec.ValidationError("it is that of files that do not rotate")
            kept = msgspec.convert({} if said is None else said, _Position)
        except (msgspec.ValidationError, TypeError) as error:
            raise ConfigurationError(
                f"What the state says of the logs that were read cannot be understood ({error}); nothing was read. Bring back a state of "
                f"this stream, set `rotation` to what it was, or read all files again: run {way_to_start_over}."
            ) from None
        self._trails, self._rows = kept.trails, kept.rows
        self._of: dict[str, tuple[Trail, Found]] = {}
        """The trail that a file of this run has, by its name."""
        self._past: Collection[str] = ()
        self.lost: list[str] = []
        """Logs whose file is not there any more though another one has taken its place."""

    # Which file has which trail

    def turns(self, listed: Iterable[Found]) -> Iterator[Turn]:
        """See `Memory.turns`: the oldest first."""
        files = _one_each(listed)
        gone = self._assign(files)
        by_name = {found.name: found for found in files}
        strange = [found for found in files if found.name not in self._of]
        former = self._related(gone)
        news = [found for found in strange if not self._is_copy(found, by_name, former)]
        names = {found.name for found in news}
        self.lost = [trail.file for trail in gone if trail.name in names and trail.stage != _ENDED]
        self._past = past_of(files)
        # Rows of one `_file` come in the order in which they were written.
        for found in sorted(files, key=lambda one: (one.modified or 0, one.name in names, one.name)):
            if found.name in self._of:
                turn = self._turn(found)
            else:
                turn = self._first_turn(found) if found.name in names else None
            if turn is not None and self._ready(found):
                yield turn

    def _assign(self, files: Sequence[Found]) -> list[Trail]:
        """Find the file of each trail; return the trails that have none."""
        left, free = {_key(found): found for found in files}, list[Trail]()
        for trail in self._trails:
            found = left.get(_key(trail))
            if found is not None and trail.is_at(found):
                self._of[found.name] = trail, found
                del left[_key(found)]
            else:
                free.append(trail)
        related = self._related(free)
        candidates: dict[int, list[Found]] = {}
        for found in left.values() if free else ():
            for trail in self._trails_in(found, related(found)):
                candidates.setdefault(id(trail), []).append(found)
        gone = list[Trail]()
        for trail in free:
            own = [found for found in candidates.get(id(trail), ()) if found.name not in self._of]
            if own:
                best = max(own, key=lambda one: self._rank(trail, one))
                self._of[best.name] = trail, best
            else:
                gone.append(trail)
        return gone

    def _rank(self, trail: Trail, found: Found) -> tuple[bool, bool, int, bool]:
        """Return what is greatest for the file in which a log goes on: of two that begin alike it is the longer one, and then its own one.

        As many logs begin as a line that is not complete, its own one comes first there.
        """
        is_plain, is_own = not self._is_packed(found), _key(trail) == _key(found)
        return trail.byte == 0 and is_own, is_plain, (found.size or 0) if is_plain else 0, is_own

    def _trails_in(self, found: Found, trails: Sequence[Trail]) -> list[Trail]:
        """Return those of ``trails`` that a file has."""
        if not trails:
            return []
        head = self._head(found)
        begin_so = [trail for trail in trails if _begins(head, trail)]
        return [trail for trail in begin_so if self._ends(found, trail.seen) == (trail.head, trail.tail)]

    def _related(self, trails: Sequence[Trail]) -> Callable[[Found], list[Trail]]:
        """Return what finds the trails that a file may have by its name, as rotation makes them, or by device and inode."""
        by_clue: dict[str, list[Trail]] = {}
        for trail in trails:
            for clue in {_key(trail), *clues_left_by(trail.name), *clues_left_by(self._name(trail.file))}:
                by_clue.setdefault(clue, []).append(trail)

        def related(found: Found) -> list[Trail]:
            clues = {_key(found), *clues_to(found.name)}
            found_trails = {id(trail): trail for clue in clues for trail in by_clue.get(clue, ())}
            return list(found_trails.values())

        return related

    def _name(self, file: str) -> str:
        return file.removeprefix(self._shown)

    def _is_copy(
        self, found: Found, others: Mapping[str, Found], gone: Callable[[Found], list[Trail]]
    ) -> bool:
        """Tell whether a file that has no trail of its own is a copy, whole or not, of one of ``others``, or of one that is gone.

        Nobody copies a file to the place of a log: what lies where a log lay is the next one, however it begins.
        """
        copied = [others[name] for name in originals(found.name) if name in others]
        former = [trail for trail in gone(found) if trail.byte >= END_BYTES and trail.name != found.name]
        if not copied and not former:
            return False
        head = self._head(found)
        if any(_begins(head, trail) for trail in former):
            return True
        return any(self._is_beginning(found, head, other) for other in copied)

    def _is_beginning(self, found: Found, head: bytes, other: Found) -> bool:
        """Tell whether of two files one is the beginning of the other; nothing was copied of one that is empty."""
        own, others = self._unpacked_size(found), self._unpacked_size(other)
        if own > others == 0:
            return False
        size = min(own, others)
        return head[:size] == self._head(other)[: min(size, END_BYTES)] and self._ends(
            found, size
        ) == self._ends(other, size)

    def _unpacked_size(self, found: Found) -> int:
        if not self._is_packed(found) and found.size is not None:
            return found.size
        size = 0
        try:
            content = self._place.open(found)
            try:
                while part := content.read(_PIECE):
                    size += len(part)
            finally:
                content.close()
        except (UnreadableFile, FileChanged):
            pass  # it is being written
        return size

    def _head(self, found: Found) -> bytes:
        """Return the first bytes of a file, as many as a trail has the digest of."""
        head = b""
        try:
            content = self._place.open(found)
            try:
                while len(head) < END_BYTES and (part := content.read(END_BYTES - len(head))):
                    head += part
            finally:
                content.close()
        except (UnreadableFile, FileChanged):
            pass
        return head

    def _ends(self, found: Found, byte: int) -> Ends | None:
        try:
            return ends_of(self._place, found, byte)
        except (UnreadableFile, FileChanged):
            return None

    def _is_packed(self, found: Found) -> bool:
        return packing_of(found.name, self._settings.compression) != "none"

    # How it is read

    def _turn(self, found: Found) -> Turn | None:
        """Return how to go on with a log; None: nothing is new of it."""
        trail, _ = self._of[found.name]
        was_unchanged = trail.is_at(found)
        was_rotated = trail.name != self._name(trail.file) or found.name in self._past
        trail.name = found.name
        # A log that lay elsewhere already when a run saw it, and has not changed since, has ended: its last line needs no end. So has one that
        # had the name of a rotated one from the beginning.
        is_ended = self._is_packed(found) or (was_unchanged and was_rotated)
        if was_unchanged and (trail.stage == _ENDED or (trail.stage == _READ and not is_ended)):
            return None
        return Turn(found, trail.file, self._spot(trail), is_ended or self._settings.is_whole, was_read=True)

    def _first_turn(self, found: Found) -> Turn:
        file = self._shown + found.name
        is_whole = self._is_packed(found) or self._settings.is_whole
        return Turn(found, file, Spot(row=self._rows.get(file, 0)), is_whole)

    def _spot(self, trail: Trail) -> Spot:
        return Spot(trail.byte, trail.line, self._rows.get(trail.file, 0), trail.context)

    def again(self, found: Found) -> Turn | None:
        """See `Memory.again`: a log that was emptied while it was read is read on in its copy, by the next run."""
        trail, _ = self._of.get(found.name, (None, found))
        if trail is None or not self._trails_in(found, [trail]):
            return None
        return Turn(found, trail.file, self._spot(trail), self._settings.is_whole)

    def leave(self, found: Found) -> None:
        """Nothing is to be noted of a file that is left to a later run."""

    def missing(self) -> tuple[str, ...]:
        """Logs go in time, and their rows stay."""
        return ()

    def forget(self, file: str) -> None:
        """No log is forgotten for its rows."""

    # What was read

    def reached(self, turn: Turn, spot: Spot | None, rows: int, ends: Ends | None, whole: str) -> None:  # noqa: ARG002
        """See `Memory.reached`."""
        self._note(turn, spot, ends)

    def done(self, turn: Turn, spot: Spot | None, rows: int, ends: Ends | None, whole: str) -> None:  # noqa: ARG002
        """See `Memory.done`."""
        trail = self._note(turn, spot, ends)
        if trail is not None:
            trail.stage = _ENDED if turn.is_whole else _READ

    def _note(self, turn: Turn, spot: Spot | None, ends: Ends | None) -> Trail | None:
        if spot is not None and spot.byte == 0:  # not a line of it is complete
            size = 0 if self._is_packed(turn.found) else turn.found.size
            ends = self._ends(turn.found, size) if size else None
            if ends is None:
                return None
        if spot is None or ends is None:
            raise RetryableError(
                f"The log {turn.file} of stream `{self._settings.name}` was emptied or replaced while it was read, and nobody can tell any more which part of it that was; "
                "what was confirmed by the target is safe: run again."
            )
        found = turn.found
        if found.name not in self._of:
            new = Trail("", turn.file, None, "", None, 0, 0, None, "", "", _IN_PART)
            self._of[found.name] = new, found
            self._trails.append(new)
        trail, _ = self._of[found.name]
        trail.name, trail.identity, trail.version, trail.size = (
            found.name,
            found.identity,
            _version(found),
            found.size,
        )
        trail.byte, trail.line, trail.context, (trail.head, trail.tail) = (
            spot.byte,
            spot.line,
            spot.context,
            ends,
        )
        trail.stage = _IN_PART
        self._rows[trail.file] = spot.row
        return trail

    @property
    def size(self) -> int:
        """See `Memory.size`."""
        return len(self._trails) * _TRAIL_BYTES

    def position(self) -> Mapping[str, Any]:
        """See `Memory.position`: trails of logs that are gone stay, as a packed copy may come later; the oldest fall off."""
        there = {id(trail) for trail, _ in self._of.values()}
        gone = [trail for trail in self._trails if id(trail) not in there]
        fall_off = {
            id(trail) for trail in gone[: max(len(self._trails) - self._settings.remembered_files, 0)]
        }
        kept = [trail for trail in self._trails if id(trail) not in fall_off]
        said: Mapping[str, Any] = msgspec.to_builtins(_Position(kept, self._rows))
        return said


def clues_left_by(name: str) -> set[str]:
    """Return by what the name of a log is known in names that rotation makes of it; see `clues_to`."""
    return {name, _BASE + _base(name)}


def clues_to(name: str) -> set[str]:
    """Return by what a file may be known as one of a log: `a.log.2.gz` of `a.log.1`, and of `a.log`."""
    return {name, _BASE + _base(name), *originals(name)}


def originals(name: str) -> set[str]:
    """Return the names that a file may have had, or may be a copy of: `a.log` of `a.log.1`, `a.log-20260131.gz` and `a-20260131.log`."""
    inner = inner_name(name)
    _, _, base = inner.rpartition("/")
    begin, ending = len(inner) - len(base), inner[inner.rfind(".") :] if "." in base else ""
    found = {inner}
    for separator in _SEPARATOR.finditer(inner, begin + 1):
        found.add(inner[: separator.start()])
        if separator.start() < len(inner) - len(ending):
            found.add(inner[: separator.start()] + ending)
    return found - {name}


def past_of(files: Sequence[Found]) -> set[str]:
    """Return the names of those that another one goes on: a number or a date stands in their name, and the log without it is there, or a newer one with another."""
    names = {found.name for found in files}
    newest: dict[str, int] = {}
    for found in files:
        log = _log_of(found.name)
        newest[log] = max(newest.get(log, 0), found.modified or 0)
    return {
        found.name
        for found in files
        if (log := _log_of(found.name)) != inner_name(found.name)
        and (log in names or (found.modified is not None and found.modified < newest[log]))
    }


def _log_of(name: str) -> str:
    """Return the name of a log less a number or a date behind it, or a date before its ending: `a.log` of `a.log.2` and `a-20260131.log`; `a-1.log` may be a log of its own."""
    base = _base(name)
    return base if base != inner_name(name) else _DATE.sub("", base)


def _base(name: str) -> str:
    """Return the name of a log before it was rotated, as far as a number or a date behind it tells: `a.log` of `a.log.2.gz`."""
    return _SUFFIX.sub("", inner_name(name))


def _key(one: Trail | Found) -> str:
    """Return what stays of a file when it is renamed, where something does."""
    return one.name if one.identity is None else one.identity


def _one_each(listed: Iterable[Found]) -> list[Found]:
    """Return the files, each once: one that is renamed while the folder is listed may be listed with both names."""
    return list({_key(one): one for one in listed}.values())


def _begins(head: bytes, trail: Trail) -> bool:
    """Tell whether a file begins as the one of a trail did."""
    size = min(END_BYTES, trail.seen)
    return len(head) >= size and digest(head[:size]) == trail.head


def _version(found: Found) -> str:
    return digest(found.version.encode())
