"""What a user of a database tap can set against what the engine finds."""

from __future__ import annotations

from singerkit_tap.advice import Advice

__all__ = ["ADVICE"]

ADVICE = Advice(
    more_memory="give the stream `primary_keys`, or another replication key",
    fewer_again="give the stream another replication key, of which fewer rows have one value",
    local_times="give the stream a `lookback` of the hour that comes twice, `3600` (and `primary_keys`, if it has none), or a key that holds UTC",
    leaves_out="the selection or the table does not have {it}",
    key_formats=(),  # of texts, which a database compares as such
    places={"where": "the config names another database"},
)
