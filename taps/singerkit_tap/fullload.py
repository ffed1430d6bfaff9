"""A full load of a stream: its version, and where it goes on when it is cut off.

Both stand in the stream's part of the state until the next load::

    "_singerkit_load": {"version": 1764280000000, "position": {"after": [41000]}}

``position`` is there while a load is not complete. The next run goes on behind it under the same version, so that all rows
of the load, of however many runs, are those that stay when ACTIVATE_VERSION comes at its end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from singerkit_tap.stream import BlockStream

__all__ = ["LOAD", "FullLoad"]

LOAD = "_singerkit_load"


class FullLoad:
    """One full load. ``part`` is what the state says of the stream."""

    def __init__(self, stream: BlockStream, part: Mapping[str, Any]) -> None:
        said = part.get(LOAD)
        former: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
        position, last = former.get("position"), former.get("version")
        last_version = last if isinstance(last, int) else None
        is_resumed = (
            position is not None
            and (last_version is not None) is stream.sends_versions
            and stream.can_resume(position)
        )
        self.position = position if is_resumed else None
        """Where the load begins, and then where it has come to; None: at the start, or at the end."""
        self.version: int | None = None
        """What its records carry; None: the stream sends no versions."""
        if stream.sends_versions:
            self.version = last_version if is_resumed else _new_version(last_version)
        if is_resumed:
            stream.logger.info(
                "Stream `%s`: the full load that was cut off goes on where it was; what changed before that place meanwhile "
                "comes with the next one.",
                stream.name,
            )

    def written(self) -> dict[str, Any]:
        """Return what a state holds of it."""
        said = {"version": self.version, "position": self.position}
        return {key: value for key, value in said.items() if value is not None}


def _new_version(last: int | None) -> int:
    """Return a number above all that this stream has had: the time in milliseconds, as is usual."""
    return max(int(time.time() * 1000), (last or 0) + 1)
