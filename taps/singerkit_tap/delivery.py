"""What a stream's settings promise about delivery into a target that commits rows and state together (DESIGN 5)."""

from __future__ import annotations

from singerkit_state.delivery import Delivery, Guarantee

__all__ = ["delivery"]


def delivery(configuration: str, *, has_key: bool, is_incremental: bool, has_lookback: bool) -> Delivery:
    """Return the promise for streams of these settings, as long as the state is kept from run to run."""
    if is_incremental and not has_lookback:
        return Delivery(
            configuration,
            Guarantee.EXACTLY_ONCE,
            "the bookmark and the rows seen at it are committed with the rows",
        )
    again = "the lookback window is sent again" if is_incremental else "each run sends the whole stream"
    if has_key:
        return Delivery(
            configuration, Guarantee.EFFECTIVELY_ONCE, f"{again}, and a row replaces itself by its key"
        )
    return Delivery(configuration, Guarantee.AT_LEAST_ONCE, f"{again}, and nothing tells its rows apart")
