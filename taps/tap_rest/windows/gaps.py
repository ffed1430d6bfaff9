"""Whether two windows leave out what lies between them: an end that is not what the config says of it.

With `granularity` a window ends at a whole day, and an API that takes that for its midnight leaves the day out. With it, and with
`until` `exclusive`, the next window begins with a value that no other window has, and an API that gives what is behind it only
leaves that out. No answer shows it. So, where no row has shown that it is not so, what lies around the end of a window is asked
for by itself, twice in a run.
"""

from __future__ import annotations

from tap_rest.settings.incremental import Incremental
from tap_rest.windows.bounds import Scale, Window

__all__ = ["Seams"]

_LOOKS = 2


class Seams:
    """What the rows of one stream have shown of the ends of its windows.

    ``has_whole_end``: a window has had rows behind the beginning of its last day. ``has_begin``: one has had a row at its beginning.
    """

    def __init__(self, settings: Incremental) -> None:
        self.has_whole_end = settings.granularity is None
        self.has_begin = settings.granularity is None and settings.until == "inclusive"
        self._looks = 0

    def to_look_at(self, scale: Scale, window: Window) -> Window | None:
        """Return what lies around the end of a window, to be asked for; None: enough is known."""
        if (self.has_whole_end and self.has_begin) or self._looks >= _LOOKS:
            return None
        self._looks += 1
        return scale.seam(window)
