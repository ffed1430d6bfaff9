"""What a stream's settings promise about delivery into a target that commits rows and state together (DESIGN 5)."""

from __future__ import annotations

from dataclasses import replace

from singerkit_state.bookmarks import SEEN_LIMIT
from singerkit_state.delivery import Delivery, Guarantee
from singerkit_state.tracker import Signpost

__all__ = ["delivery"]


def delivery(
    configuration: str,
    *,
    has_key: bool,
    is_incremental: bool,
    has_lookback: bool,
    signpost: Signpost = Signpost.AUTO,
    memory: int = SEEN_LIMIT,
    shifts: bool = False,
    shares: bool = False,
    filters: bool = False,
) -> Delivery:
    """Return the promise for streams of these settings, as long as the state is kept from run to run.

    ``shifts``: pages are asked for by number, so that rows move between them when the source changes. ``shares``: it is
    read below many parents, with one bookmark. ``filters``: the source is asked for rows from the bookmark on.
    """
    promise = _promise(
        configuration,
        has_key=has_key,
        is_incremental=is_incremental,
        has_lookback=has_lookback,
        signpost=signpost,
        memory=memory,
        shifts=shifts,
        shares=shares,
    )
    if not (is_incremental and filters):
        return promise
    return replace(
        promise,
        reason=f"{promise.reason}; a row whose replication key is null is asked for by the first run only",
    )


def _promise(
    configuration: str,
    *,
    has_key: bool,
    is_incremental: bool,
    has_lookback: bool,
    signpost: Signpost,
    memory: int,
    shifts: bool,
    shares: bool,
) -> Delivery:
    if is_incremental and shifts:
        return Delivery(
            configuration,
            Guarantee.MAY_MISS,
            "pages asked for by number or offset shift when the source changes while it is read, and a row that "
            "moves to a page already read is missed unless it changes again",
        )
    if is_incremental and shares:
        return Delivery(
            configuration,
            Guarantee.MAY_MISS,
            "all parents share one bookmark, and a row that changes below a parent which is not in their list, or not found, "
            "in that run, or that stands below a new parent already, is missed unless it changes again (`parent.bookmarks` "
            "`each` has no such gap)",
        )
    if is_incremental and signpost is Signpost.NONE:
        return Delivery(
            configuration,
            Guarantee.MAY_MISS,
            "with the signpost `none` a row that changes behind the reading point is missed unless it changes again",
        )
    if is_incremental and not has_lookback:
        clock = " if the source's `Date` is the clock of the replication key," * (
            signpost is Signpost.DATE_HEADER
        )
        why = f"{clock} the bookmark never passes what was certain when a read began, and "
        if has_key:
            why += f"up to {memory} rows beyond it are recognised when they are asked for again; others replace themselves by their key"
            return Delivery(configuration, Guarantee.EFFECTIVELY_ONCE, why.strip())
        why += (
            f"up to {memory} rows beyond it are recognised when they are asked for again, as long as no selected "
            "field changes its value with each answer; where there are more a run "
            "warns, moves the bookmark up, and may miss rows that changed below it meanwhile"
        )
        return Delivery(configuration, Guarantee.EXACTLY_ONCE, why.strip())
    again = "the lookback window is sent again" if is_incremental else "each run sends the whole stream"
    if shifts:
        again += ", in which a row that moves between pages meanwhile may be missing until the next run"
    if has_key:
        return Delivery(
            configuration, Guarantee.EFFECTIVELY_ONCE, f"{again}, and a row replaces itself by its key"
        )
    return Delivery(configuration, Guarantee.AT_LEAST_ONCE, f"{again}, and nothing tells its rows apart")
