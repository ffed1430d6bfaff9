"""Which new files may be read: those that are old enough, complete as somebody says, and not from before the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from singerkit_shell.walltime import wall_time
from singerkit_state.instants import iso_instant
from tap_files.places.contract import Found, Place
from tap_files.settings.stream import StreamSettings

__all__ = ["Readiness"]


class Readiness:
    """Tells it of the files of one stream in one run."""

    def __init__(self, settings: StreamSettings, place: Place) -> None:
        self._place = place
        self._marker = settings.done_marker
        self._folders: dict[str, bool] = {}
        age = settings.minimum_age
        self._newest = int((wall_time.now() - age) * 1_000_000) if age else None
        self._oldest = None if settings.start_date is None else _microseconds(settings.start_date)
        self.waiting = 0
        """Files that were left to a later run."""

    def files(self, listed: Iterable[Found]) -> Iterator[Found]:
        """Yield those that are of the stream."""
        return filter(self._is_meant, listed)

    def _is_meant(self, found: Found) -> bool:
        """Tell whether a file is of the stream at all: no marker, and not from before `start_date`."""
        if self._marker is not None and self._is_marker(found.name, self._marker):
            return False
        return self._oldest is None or found.modified is None or found.modified >= self._oldest

    @staticmethod
    def _is_marker(name: str, marker: str) -> bool:
        return name.endswith(marker) if marker.startswith(".") else name.rpartition("/")[2] == marker

    def is_ready(self, found: Found) -> bool:
        """Tell whether a file may be read in this run; one of which nobody knows how old it is may."""
        is_young = self._newest is not None and found.modified is not None and found.modified > self._newest
        is_ready = not is_young and (self._marker is None or self._is_marked(found.name, self._marker))
        self.waiting += not is_ready
        return is_ready

    def _is_marked(self, name: str, marker: str) -> bool:
        if marker.startswith("."):
            return self._place.look(name + marker) is not None
        folder = name.rpartition("/")[0]
        if folder not in self._folders:
            path = f"{folder}/{marker}" if folder else marker
            self._folders[folder] = self._place.look(path) is not None
        return self._folders[folder]


def _microseconds(text: str) -> int:
    seconds, fraction = iso_instant(text)
    return seconds * 1_000_000 + int(f"{fraction:0<6}"[:6])
