"""Which streams of a config are read below which."""

from __future__ import annotations

from collections.abc import Sequence

from tap_rest.settings.stream import StreamSettings

__all__ = ["parents_first", "streams_above"]


def streams_above(settings: StreamSettings, streams: Sequence[StreamSettings]) -> list[StreamSettings]:
    """Return the streams above one, its parent first."""
    by_name = {stream.name: stream for stream in streams}
    above = []
    while settings.parent is not None:
        settings = by_name[settings.parent.stream]
        above.append(settings)
    return above


def parents_first(streams: Sequence[StreamSettings]) -> list[StreamSettings]:
    """Return the streams in an order in which each stands behind those above it."""
    return sorted(streams, key=lambda stream: len(streams_above(stream, streams)))
