"""What runs know of the files that they have read: which, of what version, and how far.

It stands in the state as the position of the stream (`singerkit_tap.position`)::

    {"done": {"in/a.csv": ["k3Jd0aPq", 1764280000000000, 918, 48213, "w0D...", 48213, 919, 0, "Zk0...", "pQ2...", 0]},
     "open": {"in/b.csv": ["x8Hq02Lm", 1764280100000000, 5000, 620121, "", 131072, 5001, 0, "a9B...", "7Jk...", 0]},
     "contexts": [["id", "name"]], "cuts": ["Hy3kW0xq"],
     "floor": 1764100000000000, "at_floor": ["b0Qx71aa"]}

Of each file: a digest of its version, when anything of it changed last (microseconds), the rows that were sent of it, its size, a digest of
all its bytes, or of those up to the place where it was read ("": nobody has it), then where it can be gone on with (byte, line, the number of what its reader needs besides), and digests of its beginning and of what is
before that place; last the number of a digest of the settings that say where its rows and columns are. ``open``: of which a part was sent; it cannot be gone on with where the byte is null.

At most so many names are kept (`remembered_files`). The oldest fall off, and ``floor`` is when the newest of those changed last;
``at_floor`` are digests of the names of those that changed just then. A file from below the floor is one that was read. One from above that
is not known is new, or an old one that has changed: so its rows are replaced, of which there may be none.

Behind `singerkit-state divide` there is ``{"shards": {"0/2": {...}, "1/2": {...}}}``: what the former shards knew, each of the files that were its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from math import inf
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, UsageError
from tap_files.entries import Entry, Position, position_of
from tap_files.formats.contract import Spot
from tap_files.inorder import InOrder
from tap_files.opening import digest, ends_of, is_compared, whole_of
from tap_files.places.contract import Found, Place
from tap_files.settings.stream import StreamSettings
from tap_files.turns import Ends, Memory, Turn

__all__ = ["Known"]


_ENTRY_BYTES = 96
"""About so many has an entry besides its name."""


class Known(Memory):
    """What is known of the files of one stream. ``said``: its position in the state, None on a first run."""

    lost: Sequence[str] = ()

    def __init__(
        self,
        said: Any,
        place: Place,
        settings: StreamSettings,
        ready: Callable[[Found], bool],
        way_to_start_over: str,
        is_mine: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Take up what the state says; ``ready``: whether a file may be read in this run; ``is_mine``: whether one is of this shard.

        Raises:
            ConfigurationError: the position is none of ours, or names files as `path` does not any more.
        """
        self._place, self._settings, self._ready = place, settings, ready
        self._shown = settings.address.shown
        try:
            kept = position_of(said, is_mine)
        except (msgspec.ValidationError, UsageError) as error:
            raise ConfigurationError(
                f"What the state says of the files that were read cannot be understood ({error}); nothing was read. Bring back a state of "
                f"this stream, or read all files again: run {way_to_start_over}."
            ) from None
        self._done, self._open = kept.done, kept.open
        self._check_writing(way_to_start_over)
        self._contexts: dict[bytes, int] = {}
        self._context_values = kept.contexts
        for number, context in enumerate(kept.contexts):
            self._contexts.setdefault(msgspec.json.encode(context), number)
        self._cuts, self._cut = kept.cuts, digest(settings.cut)
        self._floor, self._at_floor = kept.floor, {*kept.at_floor}
        self._has_lost_names = kept.floor is not None
        """Whether names fell off in runs before, so that a file of which nobody knows may be one that was read. Those of this run are listed once."""
        self._size = sum(_ENTRY_BYTES + len(name) for name in (*self._done, *self._open))
        self._listed_known: set[str] = set()
        self._newest_read = -inf
        """When the newest of the files was modified that are listed, and were read by a former run."""
        self.late, self.first_late = 0, ""
        """Files that this run reads behind newer ones that were read before: how many, and one of them."""
        self._bound: float = inf
        """When the oldest file changed last that is still to be read: names from there on may not fall off."""
        self._next: float = inf
        """The same of the files that this run has in hand and before it."""
        self.forgotten = 0
        """Names that fell off in this run."""
        self.unsure = 0
        """Files of which nobody knows whether they are new, or old ones that have changed."""
        self.moved: dict[str, str] = {}
        """Files that this run has read and none before, and that have the very bytes of one that is gone; with the name of that one."""

    def _check_writing(self, way_to_start_over: str) -> None:
        """Refuse a path that is absolute where the state has relative names, or the other way: all files would come again beside themselves."""
        is_absolute = self._shown == "/"
        other = next((one for one in (*self._done, *self._open) if one.startswith("/") != is_absolute), None)
        is_here = "://" not in self._settings.address.root
        if other is None or not is_here or self._settings.on_removed == "delete":
            return
        raise ConfigurationError(
            f"The state names files of stream `{self._settings.name}` like `{other}`, and its `path` is {'absolute' if is_absolute else 'relative'} now, so that each would come again under another name, beside the rows that "
            f"it has; nothing was read. Write `path` as it was; or set `on_removed` to `delete`, which takes the former rows away; or read all files again into an empty table: run {way_to_start_over}."
        )

    # What is to be read

    def turns(self, listed: Iterable[Found]) -> Iterator[Turn]:
        """See `Memory.turns`: the oldest first, so that of rows with one key those of the newest file stay."""
        news = InOrder(found for found in listed if not self._was_read(found) and self._is_ready(found))
        oldest = self._oldest_behind(news)
        for found in news:
            self._next = oldest.pop()
            try:
                turn = self._turn(found)
            except (BadDataError, NotAuthorisedError) as error:  # of the look at its beginning and end
                turn = Turn(found, self._shown + found.name, problem=error)
            if turn is None:
                continue
            if (found.modified or inf) < self._newest_read:
                self.late, self.first_late = self.late + 1, self.first_late or turn.file
            yield turn
        self._next = inf

    def _was_read(self, found: Found) -> bool:
        is_read = self._is_read(found)
        if is_read:
            self._newest_read = max(self._newest_read, found.modified or -inf)
        return is_read

    @staticmethod
    def _oldest_behind(files: InOrder) -> array[float]:
        """Return of each file when the one changed last that is the oldest of it and those behind it; the last comes first."""
        behind = array("d", map(_time, files))
        behind.reverse()
        return array("d", accumulate(behind, min))

    def _is_ready(self, found: Found) -> bool:
        is_ready = self._ready(found)
        if not is_ready:
            self.leave(found)
        return is_ready

    def leave(self, found: Found) -> None:
        """Note that a file is left to a later run, which is not to take it for one that was read."""
        self._bound = min(self._bound, _time(found))

    def _is_read(self, found: Found) -> bool:
        file = self._shown + found.name
        entry = self._done.get(file)
        if entry is not None:
            self._listed_known.add(file)
            return entry.version == _version(found)
        if file in self._open:
            self._listed_known.add(file)
            return False
        return self._was_forgotten(found, file)

    def _was_forgotten(self, found: Found, file: str) -> bool:
        if self._floor is None or found.appeared is None or found.appeared > self._floor:
            return False
        return found.appeared < self._floor or _name(file) in self._at_floor

    def _turn(self, found: Found) -> Turn | None:
        """Return how to read a file; None: all of it was read, and only its times have changed since."""
        file = self._shown + found.name
        entry = self._open.get(file)
        if entry is not None and not self._is_cut_alike(entry):
            return self._changed(found, file, entry)
        if entry is not None and entry.version == _version(found) and entry.byte is not None:
            return Turn(found, file, self._spot(entry), self._settings.is_whole, was_read=True)
        entry = entry or self._done.get(file)
        if entry is None:
            self.unsure += self._has_lost_names and not self._replaces
            return self._anew(found, file, replaces=self._has_lost_names and self._replaces)
        is_open = file in self._open
        if not is_open and self._is_the_same(found, entry):
            entry.version, entry.appeared = _version(found), found.appeared
            return None
        if self._is_cut_alike(entry) and self._may_go_on(found, entry, was_cut=is_open):
            start = self._spot(entry)
            return Turn(found, file, start, self._settings.is_whole, was_read=start != Spot())
        return self._changed(found, file, entry)

    def _is_cut_alike(self, entry: Entry) -> bool:
        """Tell whether the settings of this run find the rows and columns of a file where those did by which it was read."""
        return entry.cut not in range(len(self._cuts)) or self._cuts[entry.cut] == self._cut

    def _changed(self, found: Found, file: str, entry: Entry) -> Turn:
        if self._settings.on_changed == "fail":
            return Turn(found, file, problem=self._has_changed(file, entry))
        return self._anew(found, file, replaces=self._replaces, was_read=True)

    def _anew(self, found: Found, file: str, *, replaces: bool, was_read: bool = False) -> Turn:
        return Turn(found, file, is_whole=self._settings.is_whole, replaces=replaces, was_read=was_read)

    again = _turn

    @property
    def _replaces(self) -> bool:
        return self._settings.on_changed == "replace"

    def _has_changed(self, file: str, entry: Entry) -> BadDataError:
        replace = (
            "`replace`: its rows take the place of those that were loaded"
            if "_file" in self._settings.file_columns
            else "`replace`, which needs `_file` among `file_columns`, and a stream that was started over with it"
        )
        if not self._is_cut_alike(entry):
            return BadDataError(
                f"The file {file} of stream `{self._settings.name}` was begun ({entry.rows:,} rows) with other settings of its format, which find its rows and columns elsewhere: what was loaded of it is safe, and nothing "
                f"more was read. Take the former settings back, or set `on_changed` ({replace}; `append`: its rows come again, beside those that stay)."
            )
        return BadDataError(
            f"The file {file} of stream `{self._settings.name}` was read before ({entry.rows:,} rows) and has changed since, otherwise than by growing at its "
            "end: what was loaded of it is safe, and nothing of the new version was read. Give files that change another name, or set "
            f"`on_changed` ({replace}; `append`: its rows come again, beside those that stay)."
        )

    def _is_the_same(self, found: Found, entry: Entry) -> bool:
        if not entry.whole or found.size != entry.size:
            return False
        return whole_of(self._place, found) == entry.whole

    def _may_go_on(self, found: Found, entry: Entry, *, was_cut: bool) -> bool:
        """Tell whether a file has only grown; or was mended, where nothing else would have the rest of it come."""
        if entry.byte is None or not entry.head or found.size is None or found.size < entry.byte:
            return False
        if entry.byte == 0 and entry.rows:  # records without places in bytes: nothing tells where it grew
            return False
        has_grown = found.size > (entry.size or 0)
        if not has_grown and (self._replaces or not was_cut):
            return False
        size = entry.byte if was_cut else entry.size or 0
        if has_grown and entry.whole and is_compared(self._place, found, size):
            return whole_of(self._place, found, size) == entry.whole
        return ends_of(self._place, found, entry.byte) == (entry.head, entry.tail)

    def _spot(self, entry: Entry) -> Spot:
        known = 0 <= entry.context < len(self._context_values)
        context = self._context_values[entry.context] if known else None
        return Spot(entry.byte or 0, entry.line, entry.rows, context)

    def missing(self) -> Collection[str]:
        """Return the files that are known, and were not listed by `turns`."""
        return [file for file in (*self._done, *self._open) if file not in self._listed_known]

    @cached_property
    def _gone(self) -> Mapping[str, str]:
        """The files that were read and are not there any more, by the digest of all their bytes. To be asked for when all files are listed."""
        known = {file: self._done[file] for file in self.missing() if file in self._done}
        return {entry.whole: file for file, entry in known.items() if entry.rows and entry.whole}

    def forget(self, file: str) -> None:
        """Know a file no more: its rows are gone."""
        for entries in (self._done, self._open):
            if entries.pop(file, None) is not None:
                self._size -= _ENTRY_BYTES + len(file)

    @property
    def has_forgotten(self) -> bool:
        """Whether names have fallen off, in this run or before."""
        return self._floor is not None

    # What was read

    def reached(self, turn: Turn, spot: Spot | None, rows: int, ends: Ends | None, whole: str) -> None:
        """See `Memory.reached`."""
        self._note(self._open, turn, spot, rows, ends)
        self._open[turn.file].whole = whole

    def done(self, turn: Turn, spot: Spot | None, rows: int, ends: Ends | None, whole: str) -> None:
        """See `Memory.done`."""
        if self._open.pop(turn.file, None) is not None:
            self._size -= _ENTRY_BYTES + len(turn.file)
        if whole in self._gone and not turn.was_read:
            self.moved[turn.file] = self._gone[whole]
        self._note(self._done, turn, spot, rows, ends)
        self._done[turn.file].whole = whole
        if (
            len(self._done) > 2 * self._settings.remembered_files
        ):  # no STATE may be due for long, of small files
            self._let_fall()

    def _note(
        self, entries: dict[str, Entry], turn: Turn, spot: Spot | None, rows: int, ends: Ends | None
    ) -> None:
        if turn.file not in entries:
            self._size += _ENTRY_BYTES + len(turn.file)
        self._listed_known.add(turn.file)
        entry = Entry(
            _version(turn.found), turn.found.appeared, rows, turn.found.size, cut=self._cut_number()
        )
        if spot is not None:
            entry.byte, entry.line, entry.rows = spot.byte, spot.line, spot.row
            entry.context, (entry.head, entry.tail) = self._context(spot.context), ends or ("", "")
        entries[turn.file] = entry

    def _cut_number(self) -> int:
        if self._cut not in self._cuts:
            self._cuts.append(self._cut)
        return self._cuts.index(self._cut)

    def _context(self, context: Any) -> int:
        if context is None:
            return -1
        text = msgspec.json.encode(context)
        if text not in self._contexts:
            self._contexts[text] = len(self._context_values)
            self._context_values.append(context)
            self._size += len(text)
        return self._contexts[text]

    @property
    def size(self) -> int:
        """See `Memory.size`."""
        return self._size

    def position(self) -> Mapping[str, Any]:
        """See `Memory.position`."""
        self._let_fall()
        self._leave_contexts()
        said = Position(
            self._done, self._open, self._context_values, self._cuts, self._floor, sorted(self._at_floor)
        )
        found: Mapping[str, Any] = msgspec.to_builtins(said)
        return found

    def _let_fall(self) -> None:
        """Forget the oldest names beyond those that may be kept."""
        more = len(self._done) - self._settings.remembered_files
        if more <= 0:
            return
        timed = [(entry.appeared, file) for file, entry in self._done.items() if entry.appeared is not None]
        bound = min(self._bound, self._next)
        fallen = [one for one in sorted(timed)[:more] if one[0] < bound]
        if fallen:
            self._raise_floor(fallen)
        if max(len(self._done) - len(timed), len(self._at_floor)) > self._settings.remembered_files:
            raise self._too_many()

    def _raise_floor(self, fallen: Sequence[tuple[int, str]]) -> None:
        floor = fallen[-1][0]
        if self._floor is None or floor > self._floor:
            self._floor, self._at_floor = floor, set()
        self._at_floor |= {_name(file) for appeared, file in fallen if appeared == self._floor}
        self.forgotten += len(fallen)
        for _, file in fallen:
            self.forget(file)

    def _too_many(self) -> ConfigurationError:
        return ConfigurationError(
            f"Stream `{self._settings.name}` has more files than it may remember ({self._settings.remembered_files:,}) that nothing but their names tells apart, since they have no time, or all "
            "the same one; what was confirmed by the target is safe. Set `remembered_files` higher, then run again."
        )

    def _leave_contexts(self) -> None:
        """Leave out what no file needs any more, where that is much."""
        if len(self._context_values) < 100:
            return
        entries = (*self._done.values(), *self._open.values())
        used = sorted({entry.context for entry in entries} - {-1})
        if len(used) * 2 > len(self._context_values):
            return
        numbers = {former: number for number, former in enumerate(used)}
        self._context_values = [self._context_values[number] for number in used]
        self._contexts = {
            msgspec.json.encode(context): number for number, context in enumerate(self._context_values)
        }
        for entry in entries:
            entry.context = numbers.get(entry.context, -1)


def _time(found: Found) -> float:
    return inf if found.appeared is None else found.appeared


def _version(found: Found) -> str:
    return digest(found.version.encode())


def _name(file: str) -> str:
    return digest(file.encode())
