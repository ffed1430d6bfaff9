"""What a database tap promises about delivery, by kind of stream, for `--about` (docs/guarantees.md)."""

from __future__ import annotations

from singerkit_state.bookmarks import SEEN_LIMIT
from singerkit_state.delivery import Delivery, Guarantee

__all__ = ["DELIVERIES"]

_BY_KEY = (
    "no row above the greatest value at the beginning of a read is sent, so that the bookmark passes none, as long as no row is "
    "committed with a value below those that were committed before it (`lookback` finds those); "
    f"up to {SEEN_LIMIT} rows at the bookmark are recognised when they are asked for again, and a row whose key is null is sent by the "
    "first run only"
)
_LOOKBACK = "the lookback window is sent again"
_REPLACED = f"replace themselves by their key (in a target that appends they are there twice: {Guarantee.AT_LEAST_ONCE})"
_WHOLE = "each run sends the whole stream"
_VERSIONS = (
    "a target that follows ACTIVATE_VERSION (target-postgres with `add_record_metadata`) keeps those of the last complete load, once "
    "each"
)

DELIVERIES = [
    Delivery("incremental streams, with a key", Guarantee.EFFECTIVELY_ONCE, f"{_BY_KEY}; others {_REPLACED}"),
    Delivery("incremental streams, without a key", Guarantee.EXACTLY_ONCE, _BY_KEY),
    Delivery(
        "incremental with lookback, with a key",
        Guarantee.EFFECTIVELY_ONCE,
        f"{_LOOKBACK}, and its rows {_REPLACED}",
    ),
    Delivery(
        "full-table streams with a key",
        Guarantee.EFFECTIVELY_ONCE,
        f"{_WHOLE}, and its rows {_REPLACED}; {_VERSIONS}",
    ),
    Delivery(
        "full-table streams without a key",
        Guarantee.AT_LEAST_ONCE,
        f"{_WHOLE}, and nothing tells its rows apart; {_VERSIONS}",
    ),
]
