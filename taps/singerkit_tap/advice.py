"""What a user can do about what the engine finds, in the settings that the tap has: sentences of rooms that taps share name no others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["Advice"]


@dataclass(frozen=True)
class Advice:
    """Parts of sentences; "": there is nothing to set.

    ``places``: what has changed, by part of `BlockStream.asks_of`; ``leaves_out``: why fields are not sent any more, with ``{it}``
    for them; ``key_formats``: those that the setting for the order of a replication key takes, None: all that there are.
    """

    more_memory: str = "give the stream a key"
    more_partitions: str = ""
    fewer_again: str = ""
    no_clock: str = ""
    margin: str = ""
    lookback: str = ""
    exclusive: str = ""
    local_times: str = "let the key hold UTC, or offsets"
    leaves_out: str = "the selection leaves {it} out"
    key_formats: Collection[str] | None = None
    places: Mapping[str, str] = field(
        default_factory=lambda: {
            "where": "it comes from another place",
            "asks": "its source is asked for something else",
            "parent": "its parent is read from another place, or asked for something else",
            "records": "its rows stand at another place",
        }
    )
