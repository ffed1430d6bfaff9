"""A look at all of a file before rows are sent, or taken away, that no STATE covers until its end."""

from __future__ import annotations

from contextlib import closing

from singerkit_shell.signals import stop_flag
from tap_files.opening import PlainBytes
from tap_files.places.contract import Place
from tap_files.rows import Rows
from tap_files.settings.stream import StreamSettings
from tap_files.turns import Turn

__all__ = ["look_through"]


def look_through(settings: StreamSettings, place: Place, rows: Rows, turn: Turn) -> None:
    """Read a file to its end, as a run does; ``rows``: of no use behind it.

    Raises:
        BadDataError: it cannot be read, or has a row that is bad and not set aside.
    """
    with closing(PlainBytes(place, turn)) as content:
        reader = settings.format.reader(settings.format_settings, content, turn.start)
        rows.begin_file(reader, turn)
        for piece in reader.pieces():
            rows.sifted(piece)
            if stop_flag:
                return
