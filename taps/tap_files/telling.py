"""What a run says of the files of a stream: how many it looked at, and what was new of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from singerkit_shell.words import counted
from singerkit_tap.changes import listed, reset_of
from singerkit_tap.stream import BlockStream
from tap_files.formats.contract import Spot
from tap_files.turns import Turn

__all__ = ["Seen", "moved_sentence", "named", "others_of", "settings_sentence"]

_NAMED = 5
"""Files that are named."""


def moved_sentence(stream: str, moved: Mapping[str, str]) -> str:
    """Return what is told of new files that have the bytes of ones that are gone, ``moved``: with the names of those."""
    shown = ", ".join(f"{file} those of {former}" for file, former in islice(moved.items(), _NAMED))
    return (
        f"{counted(len(moved), 'new file')} of stream `{stream}` {'has' if len(moved) == 1 else 'have'} the very bytes of files that were read and are gone ({shown}{', ...' * (len(moved) > _NAMED)}), as if they were moved or renamed: "
        "their rows are in the target under both names then. Set `on_removed` to `delete`, which takes those of files that are gone from it."
    )


def others_of(former: Any, now: Mapping[str, str]) -> list[str]:
    """Return the names of settings that differ from those of the run before, ``former``: digests, as ``now``; anything else: nobody knows them."""
    if not isinstance(former, Mapping):
        return []
    others = [name for name in sorted({*former, *now}) if former.get(name) != now.get(name)]
    return ["format"] if "format" in others else others


def settings_sentence(
    stream: BlockStream, others: Sequence[str], anew: int, kept: int, *, is_cut_off: bool
) -> str | None:
    """Return what is told, once, of settings by which files are read otherwise; None: nothing was read before.

    ``anew``: files that were read before, and again from their beginning in this run; ``kept``: those that were not.
    """
    if not others or not (anew or kept):
        return None
    read = (
        f" {counted(anew, 'file')} {'was' if anew == 1 else 'were'} read anew by {'it' if len(others) == 1 else 'them'}."
        if anew
        else ""
    )
    of = "other files" if is_cut_off else counted(kept, "file")
    stays = (
        f" What was loaded before of {of} stays as it was read then: if it should come again, run {reset_of(stream)}."
        if kept
        else ""
    )
    return f"{listed(others)} of stream `{stream.name}` {'is' if len(others) == 1 else 'are'} set otherwise than for the run before.{read}{stays} This is said once."


def named(files: Sequence[str]) -> str:
    """Return the first names of files, whole: the end of a path tells it from others."""
    return ", ".join(files[:_NAMED]) + (", ..." if len(files) > _NAMED else "")


class Seen:
    """The files of one stream in one run."""

    def __init__(self) -> None:
        self.count = 0
        """Files that were listed, of this shard."""
        self._new = self._grown = self._refused = 0
        self._changed: list[str] = []

    def take(self, turn: Turn) -> None:
        """Note a file that is read, or that would be if it could be."""
        if turn.problem is not None:
            self._refused += 1
        elif not turn.was_read:
            self._new += 1
        elif turn.start == Spot():
            self._changed.append(turn.file)
        else:
            self._grown += 1

    @property
    def anew(self) -> int:
        """Files that were read before, and are read from their beginning."""
        return len(self._changed)

    def kept(self, waiting: int) -> int:
        """Return how many files were read before and are not read from their beginning; as `sentence`."""
        return self.count - self._new - self.anew - self._refused - waiting

    def sentence(self, stream: str, waiting: int, is_cut_off: bool = False) -> str:
        """Return it for people; ``waiting``: files that are left to a later run; ``is_cut_off``: the run ended before all were."""
        said = ", ".join(self._parts(waiting, is_cut_off))
        return f"Looked at {counted(self.count, 'file')} of stream `{stream}`{f': {said}' if said else ''}."

    def _parts(self, waiting: int, is_cut_off: bool) -> Iterator[str]:
        if self._new:
            yield f"{self._new:,} new"
        if self._grown:
            yield f"{self._grown:,} grown or gone on with"
        if self._changed:
            yield f"{len(self._changed):,} changed and read anew ({named(self._changed)})"
        if self._refused:
            yield f"{self._refused:,} not read"
        if waiting:
            yield f"{waiting:,} left to a later run, since they may not be complete yet"
        taken = self._new + self._grown + len(self._changed) + self._refused + waiting
        if self.count > taken:
            rest = "not come to, or with nothing new" if is_cut_off else "with nothing new"
            yield f"{self.count - taken:,} {rest}"
