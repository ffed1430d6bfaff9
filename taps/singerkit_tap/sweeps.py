"""Sweeps: an incremental stream is read as a whole from time to time, so that rows which are gone at the source go from the target.

A run that reads a part of the rows cannot tell which are gone. So each sweep is a full load with a version of its own, the rows
of the runs between carry the version of the last one, and a sweep that surely had all rows ends with ACTIVATE_VERSION. Beside what
`fullload` keeps, the state says when the last one was begun, and from which `start_date` on::

    "_singerkit_load": {"version": 1764280000000, "rows": 41200, "swept": 1764280000, "since": "2024-01-01"}

A sweep that is cut off begins anew, with another version. It is the schedule alone that goes by the clock of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_shell.walltime import wall_time
from singerkit_tap.fullload import LOAD, FullLoad
from singerkit_tap.stream import BlockStream

__all__ = ["Sweep"]


class Sweep(FullLoad):
    """The part of one run in the sweeps of a stream. ``part`` is what the state says of it."""

    def __init__(
        self, stream: BlockStream, part: Mapping[str, Any], every: int, start_date: str | None
    ) -> None:
        """``every``: so many seconds lie between two sweeps, less a twentieth, so that a daily run sweeps daily."""
        super().__init__(stream, part)
        said = part.get(LOAD)
        former: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
        swept, version = former.get("swept"), former.get("version")
        self._swept = swept if isinstance(swept, int) else None
        self._since, self._start_date = former.get("since"), start_date
        self._now = int(wall_time.now())
        self.is_due = (
            self._swept is None
            or not isinstance(version, int)
            or not self._swept <= self._now < self._swept + every - every // 20
        )
        if not self.is_due:
            self.version = version
        elif part:
            stream.logger.info(
                "Stream `%s`: all rows are read this time, to see which are gone at the source.",
                stream.name,
            )

    def end(self, rows: int, doubt: str | None) -> str | None:
        """Note that the sweep is complete; see `FullLoad.end`."""
        if doubt is None and self._swept is not None and self._since != self._start_date:
            doubt = "the one before began at another `start_date`"
        why = super().end(rows, doubt)
        self._swept, self._since = self._now, self._start_date
        return why

    def written(self) -> dict[str, Any]:
        """Return what a state holds of it."""
        said = {"swept": self._swept, "since": self._since}
        return super().written() | {key: value for key, value in said.items() if value is not None}
