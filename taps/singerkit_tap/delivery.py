"""What a stream's settings promise about delivery into a target that commits rows and state together (DESIGN 5)."""

from __future__ import annotations

from dataclasses import dataclass

from singerkit_state.bookmarks import SEEN_LIMIT
from singerkit_state.delivery import Delivery, Guarantee
from singerkit_state.tracker import Signpost

__all__ = ["Reading", "delivery", "log_delivery"]


_REPLACED = f"replace themselves by their key (in a target that appends they are there twice: {Guarantee.AT_LEAST_ONCE})"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a stream is read, as far as the promise depends on it."""

    has_key: bool
    is_incremental: bool
    has_lookback: bool
    signpost: Signpost = Signpost.AUTO
    memory: int = SEEN_LIMIT
    shifts: bool = False
    """Pages are asked for by number, so that rows move between them when the source changes."""
    may_shift: bool = False
    """They may be: links and tokens lead from page to page, and some hold its number."""
    shares: bool = False
    """It is read below many parents, with one bookmark."""
    partitions: int | None = None
    """Bookmarks are kept of so many parents; None: there is one for all."""
    follows: bool = False
    """Each page is asked for by the greatest value before it."""
    filters: bool = False
    """The source is asked for rows from the bookmark on."""
    created: str | None = None
    """The replication key, where its name says that it is the time of creation and there is a primary key."""
    asks_onward: bool = False
    """A run asks for what comes after the one before by a token that the source has given."""
    removes: bool = False
    """A load that is surely whole ends with ACTIVATE_VERSION."""
    sweeps: bool = False
    """From time to time a run reads all rows, and those that are gone go from the target."""


def delivery(configuration: str, reading: Reading) -> Delivery:
    """Return the promise for streams that are read so, as long as the state is kept from run to run."""
    guarantee, reason = _of_incremental(reading) if reading.is_incremental else _again(reading)
    if reading.asks_onward:
        guarantee, reason = (
            Guarantee.EFFECTIVELY_ONCE,
            (
                "a run asks for what comes after the last one by the token that it was given, which the state has once all pages were read; "
                f"what the source tells again, and all rows when it takes a token no more, {_REPLACED}"
            ),
        )
    if reading.may_shift and not reading.shifts:
        reason += (
            "; where the links or tokens that lead to the next page hold its number, which the first run says, rows shift between "
            "pages when the source changes meanwhile, and one is missed, or comes twice"
        )
    if reading.is_incremental and reading.filters:
        if reading.follows:
            reason += (
                "; where more rows have one value than a page holds, the source has to sort them alike on each page (else the "
                "run ends, or warns where there is no key)"
            )
        reason += "; a row whose replication key is null is asked for by the first run only"
    if reading.created is not None:
        reason += (
            f"; a row that changes keeps its `{reading.created}`, the time of creation by its name, so that its change is not "
            "asked for (rows that never change, as events, have no such gap)"
        )
    if reading.sweeps:
        reason += (
            "; a run in which a sweep is due sends all rows again, and ends with ACTIVATE_VERSION where all have surely come, by which a target "
            "that follows it takes away what the source has no more"
        )
    if reading.removes:
        reason += (
            "; a load in which all rows have surely come ends with ACTIVATE_VERSION, by which a target that follows it takes away what "
            "the source lists no more, and what is there twice without a key"
        )
    return Delivery(configuration, guarantee, reason)


def log_delivery(configuration: str = "log-based streams") -> Delivery:
    """Return the promise for streams that are read from a log (`singerkit_tap.log_contract`)."""
    return Delivery(
        configuration,
        Guarantee.EXACTLY_ONCE,
        "a STATE stands only where a transaction ends, the start of a stream leaves out what its snapshot has seen, and the source "
        "is told to forget only what was read back as committed",
    )


def _of_incremental(reading: Reading) -> tuple[Guarantee, str]:
    if reading.shifts:
        return Guarantee.MAY_MISS, (
            "pages asked for by number or offset shift when the source changes while it is read, and a row that "
            "moves to a page already read is missed unless it changes again"
        )
    if reading.shares:
        return Guarantee.MAY_MISS, (
            "all parents share one bookmark, and a row that changes below a parent which is not in their list, or not found, "
            "in that run, or that stands below a new parent already, is missed unless it changes again (`parent.bookmarks` "
            "`each` has no such gap)"
        )
    if reading.signpost is Signpost.NONE:
        return Guarantee.MAY_MISS, (
            "with the signpost `none` a row that changes behind the reading point is missed unless it changes again"
        )
    return _again(reading) if reading.has_lookback else _from_the_bookmark(reading)


def _from_the_bookmark(reading: Reading) -> tuple[Guarantee, str]:
    is_by_date = reading.signpost is Signpost.DATE_HEADER
    clock = "if the source's `Date` is the clock of the replication key, " if is_by_date else ""
    why = (
        f"{clock}the bookmark never passes what was certain when a read began, and up to {reading.memory} rows beyond it are "
        "recognised when they are asked for again"
    )
    if reading.has_key:
        others = f", as those below more than {reading.partitions} parents" if reading.partitions else ""
        return Guarantee.EFFECTIVELY_ONCE, f"{why}; others are sent again{others}, and {_REPLACED}"
    refused = (
        f"; a run that meets rows below more than {reading.partitions} parents ends before it sends them"
        if reading.partitions
        else ""
    )
    return Guarantee.EXACTLY_ONCE, (
        f"{why}, as long as no selected field changes its value with each answer; where there are more a run "
        f"warns, moves the bookmark up, and may miss rows that changed below it meanwhile{refused}"
    )


def _again(reading: Reading) -> tuple[Guarantee, str]:
    """All rows, or those of the lookback window, are sent by each run."""
    again = (
        "the lookback window is sent again" if reading.is_incremental else "each run sends the whole stream"
    )
    if reading.shifts:
        again += (
            ", in which a row that moves between pages meanwhile may be missing until the next run, and one that the source "
            "sorts otherwise on each page in every run (a run warns where rows come twice)"
        )
    if reading.has_key:
        return Guarantee.EFFECTIVELY_ONCE, f"{again}, and its rows {_REPLACED}"
    return Guarantee.AT_LEAST_ONCE, f"{again}, and nothing tells its rows apart"
