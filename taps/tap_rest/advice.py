"""What a user of tap-rest can set against what the engine finds."""

from __future__ import annotations

from singerkit_tap.advice import Advice

__all__ = ["ADVICE"]

ADVICE = Advice(
    more_memory="raise `bookmark.memory`",
    more_partitions="raise `bookmark.partitions` of the stream",
    fewer_again="raise `bookmark.memory`, or set `bookmark.signpost` to `date_header` if the source's `Date` is the clock of the "
    "replication key",
    no_clock="set `bookmark.signpost` to `read_before`",
    margin="`bookmark.margin`",
    lookback="`incremental.lookback`",
    local_times="set `time_zone` (`UTC` if it is that)",
    leaves_out="the selection or a declared `schema` leaves {it} out",
    places={
        "where": "`base_url` or `path` names another place",
        "asks": "`params`, `headers` or `pagination` ask for something else",
        "parent": "its parent is read from another place, or asked for something else",
        "records": "`records` names another place",
    },
)
