"""A full load of a stream: its version, and where it goes on when it is cut off.

Both stand in the stream's part of the state until the next load::

    "_singerkit_load": {"version": 1764280000000, "position": {"after": [41000]}, "rows": 41200}

``position`` is there while a load is not complete. The next run goes on behind it under the same version, so that all rows
of the load, of however many runs, are those that stay when ACTIVATE_VERSION comes at its end. Of a source whose answers may
be wrong without a word (`BlockStream.doubts_small_loads`) there are ``rows``: how many the last load had that took away what
did not come, or one since then that had more; and ``few``: how many the load before had, if it took nothing away since they
were so few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_shell.walltime import wall_time
from singerkit_shell.words import counted
from singerkit_state.shards import Shard
from singerkit_tap.stream import BlockStream

__all__ = ["LOAD", "FullLoad"]

LOAD = "_singerkit_load"


class FullLoad:
    """One full load. ``part`` is what the state says of the stream."""

    def __init__(self, stream: BlockStream, part: Mapping[str, Any]) -> None:
        said = part.get(LOAD)
        former: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
        position, last, rows = former.get("position"), former.get("version"), former.get("rows")
        last_version = last if isinstance(last, int) else None
        is_resumed = (
            position is not None
            and stream.parent is None
            and (last_version is not None) is stream.sends_versions
            and stream.can_resume(position)
        )
        self.position = position if is_resumed else None
        """Where the load begins, and then where it has come to; None: at the start, or at the end."""
        self.version: int | None = None
        """What its records carry; None: the stream sends no versions."""
        self.is_due = True
        """Whether this run reads all rows."""
        if stream.sends_versions:
            self.version = last_version if is_resumed else _new_version(last_version, stream.shard)
        self._rows = rows if isinstance(rows, int) else None
        few = former.get("few")
        self._few = few if isinstance(few, int) else None
        self._was_read = bool(part)
        self._doubts_small = stream.doubts_small_loads
        if is_resumed:
            stream.logger.info(
                "Stream `%s`: the full load that was cut off goes on where it was; what changed before that place meanwhile "
                "comes with the next one.",
                stream.name,
            )

    def end(self, rows: int, doubt: str | None) -> str | None:
        """Note that it is complete, with so many rows; return why other rows stay in the target nonetheless, None: they go.

        ``doubt``: why rows may be missing. An empty list, or the half of it, is what a source also answers that has lost its
        index, or for an account that may no longer see the rest. So what takes more than half of the rows away has to come
        twice in a row, and no rows take none away.
        """
        if not self._doubts_small:
            return doubt
        why = doubt or self._why_too_few(rows)
        # Where nothing goes the target has the rows of this load beside the former ones.
        self._few = rows if doubt is None and self._is_few(rows) else None
        if why is None or rows or self._rows is not None or not self._was_read:
            self._rows = rows if why is None else max(rows, self._rows or 0)
        return why

    def may_leave_rows(self, rows: int) -> bool:
        """Tell, before `end`, whether the target may hold rows that such a load leaves: not where none has ever come."""
        return bool(rows or self._rows) or (self._rows is None and self._was_read)

    def _is_few(self, rows: int) -> bool:
        return self._rows is not None and 0 < rows * 2 < self._rows

    def _why_too_few(self, rows: int) -> str | None:
        if rows == 0:
            return (
                "it had no row at all, which is no proof that there is none (if so, empty its table by hand)"
            )
        if self._rows is None and self._was_read:
            return "the state does not say how many rows the one before had: from the next one on they go"
        if self._is_few(rows) and (self._few is None or rows * 2 <= self._few):
            return f"it had {counted(rows, 'row')}, and one before {self._rows}: if the next is as small, they go"
        return None

    def written(self) -> dict[str, Any]:
        """Return what a state holds of it."""
        said = {"version": self.version, "position": self.position, "rows": self._rows, "few": self._few}
        return {key: value for key, value in said.items() if value is not None}


def _new_version(last: int | None, shard: Shard | None) -> int:
    """Return a number above all that this stream has had: the time in milliseconds, as is usual; of each shard another one."""
    least = max(int(wall_time.now() * 1000), (last or 0) + 1)
    return least if shard is None else least + (shard.number - least) % shard.of
