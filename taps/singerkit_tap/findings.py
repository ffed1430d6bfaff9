"""What a read has shown, in sentences: of its bookmark, and of how the source understands what it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from singerkit_shell.words import counted
from singerkit_state.instants import has_no_offset
from singerkit_state.tracker import UNMET_RUNS, BookmarkTracker
from singerkit_tap.changes import listed, reset_of
from singerkit_tap.fields import SentFields
from singerkit_tap.stream import BlockStream

__all__ = [
    "seen_in",
    "told_of_answers",
    "told_of_bookmark",
    "told_of_equal_partitions",
    "told_of_local_times",
    "told_of_many_partitions",
    "told_of_no_place",
    "told_of_nulls",
    "told_of_partitions",
]

_FEW = 5
"""So many remembered rows, or fewer, may all have gone since, or without a key have changed: once, not in two runs."""


def told_of_bookmark(tracker: BookmarkTracker, stream: BlockStream) -> Iterator[str]:
    """Yield why the bookmark is not where the last row is, or stands where it may pass others by."""
    name, key, advice = stream.name, stream.bookmark_key, stream.advice
    if tracker.moved_up_to is not None:
        yield (
            f"More than {counted(tracker.memory_limit, 'row')} of stream `{name}`, which has no key, came after the point that "
            f"was certain when the read began; its bookmark was moved up to `{str(tracker.moved_up_to)[:40]}` so "
            "that none comes twice, and a row that changed below it while it was read may be missed; "
            f"{advice.more_memory}."
        )
    elif tracker.forgets and not stream.primary_keys:
        yield (
            f"More than {counted(tracker.memory_limit, 'row')} of stream `{name}`, which has no key, have the last value of "
            f"`{key}`; they will be sent again; {advice.more_memory}."
        )
    if tracker.is_all_ahead:
        wrong = f"; if the clock is wrong, {advice.no_clock}" if advice.no_clock else ""
        rows = (
            f"Rows of stream `{name}` are dated ahead of the source's own clock, and none that came lies between its bookmark and "
            "that clock"
            if tracker.has_bookmark
            else f"All rows of stream `{name}` are dated ahead of the source's own clock"
        )
        yield f"{rows}, so its bookmark stays and they are asked for again by each run{wrong}."
    ahead, passed = tracker.dated_ahead, tracker.passed_today
    if ahead is not None:
        right = f"; if such dates are right, {advice.no_clock}" if advice.no_clock else ""
        yield (
            f"Rows of stream `{name}` have a `{key}` more than a day ahead of this machine's clock, up to "
            f"`{str(ahead)[:40]}`; the bookmark does not pass the clock for them, so nothing is missed, and each run "
            f"asks for them again. Correct them at the source, or this machine's clock{right}."
        )
    if passed is not None:
        yield (
            f"The bookmark of stream `{name}` is `{str(passed)[:40]}`, more than a day ahead of this machine's clock: "
            f"a row with an earlier `{key}` is not asked for any more. If that date is wrong, correct the row at the "
            f"source and start the stream over with {stream.way_to_start_over}."
        )


def told_of_answers(
    tracker: BookmarkTracker, stream: BlockStream, fields: SentFields, setting: str | None
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, or may be, with what came from the bookmark on, and its kind."""
    is_keyless = not stream.primary_keys
    name, key, remembered = stream.name, stream.bookmark_key, tracker.remembered
    if setting is not None and tracker.older:
        left_out = "" if stream.keeps_older_rows else "; they were left out"
        asked_from = "its bookmark" if tracker.has_bookmark else "`start_date`"
        yield (
            "older",
            f"Stream `{name}` was asked for rows from {asked_from} on, and {tracker.older} of {tracker.rows} rows that came "
            f"are far below it{left_out}. It seems that the API does not listen to `{setting}`, or compares "
            f"another field than `{key}` with it: correct it, or each run reads everything.",
        )
    if setting is not None and stream.lookback and tracker.has_bookmark and not tracker.rows:
        yield (
            "unseen",
            f"Nothing of stream `{name}` came from its bookmark less the lookback on, not even the row that it was taken "
            f"from. If that was not deleted, `{setting}` means something else to the API, and changes are missed: compare "
            "with an answer to a request without it.",
        )
    why = _why_not_recognised(tracker, fields) if remembered and is_keyless else None
    if why is not None:
        met = f"only {tracker.recognised}" if tracker.recognised else "none"
        yield (
            "changed",
            f"Rows of stream `{name}`, which has no key, came where the state remembers {remembered}, and {met} of them "
            f"could be recognised: they are known by what they said, and {why}. The others were sent as new rows and are there "
            f"twice, this once; to have each once, run {reset_of(stream)}, best with `primary_keys`, which tell rows apart "
            "whatever their other fields are.",
        )
    if not remembered or tracker.recognised:
        return
    if why is None and tracker.compared and is_keyless:
        yield (
            "changed",
            f"Rows of stream `{name}`, which has no key, came where the state remembers {remembered}, and none is one of "
            "them: they were sent as new rows. If each run says so, a selected field changes its value with each "
            f"answer, and these rows are there twice: {stream.advice_on_changing_fields()}.",
        )
    doubt = stream.doubt_of_rows(remembered) if why is None and tracker.unmet == remembered else None
    if doubt is not None:
        yield "others", doubt
    if setting is None or tracker.compared or not tracker.unmet:
        return
    if tracker.rows and tracker.unmet <= _FEW and tracker.reads_unmet < UNMET_RUNS:
        return
    if not tracker.rows and tracker.unmet_before >= UNMET_RUNS:
        return  # it was told: where the row at the bookmark is deleted, nothing comes until there is a new one
    helps = f"; {stream.advice.exclusive} helps against the first" if stream.advice.exclusive else ""
    came = (
        f"rows of stream `{name}` came, and" if tracker.rows else f"nothing of stream `{name}` came, and so"
    )
    yield (
        "unseen",
        f"From the bookmark on {came} none of the {remembered} that the state remembers there. That is so if they have "
        "all changed or been deleted since. If each run says so, the API answers with rows *after* the value only, and "
        f"a row that gets the same `{key}` later is missed, or `{setting}` means something else to it, and changes are "
        f"missed: compare with an answer to a request without it{helps}.",
    )


def _why_not_recognised(tracker: BookmarkTracker, fields: SentFields) -> str | None:
    """Return which change of its fields explains that rows of a stream without a key came and are not known; None: none.

    Rows of which some are known have not changed by a type, which all of them have.
    """
    if not tracker.compared > tracker.recognised or not tracker.unmet:
        return None
    if fields.missing:
        return f"no record of this run has {listed(fields.missing)}"
    if fields.retyped and not tracker.recognised:
        return f"{listed(fields.retyped)} {'is' if len(fields.retyped) == 1 else 'are'} of another type now"
    return None


def told_of_partitions(stream: BlockStream, known: int, came: int, fields: Sequence[str]) -> str:
    """Say that none of the partitions that the state knows came again, though all were asked for."""
    advice = stream.advice_on_new_partitions()
    twice = "" if stream.primary_keys else ", and they are there twice, since the stream has no key"
    changing = (
        ""
        if advice is None
        else f" If that changes with each answer, as a URL does that is signed, each run reads all rows again{twice}: {advice}, and "
        f"run {reset_of(stream)}."
    )
    return (
        f"None of the {known} parents that the state knows of stream `{stream.name}` came again, and {came} others did, told "
        f"apart by {', '.join(f'`{name}`' for name in fields)}.{changing} If the parents are others each time, a bookmark for each "
        "is of no use."
    )


def told_of_many_partitions(stream: BlockStream, limit: int) -> str:
    """Say that some partitions have no bookmark, and what that does to their rows, which have a key."""
    return (
        f"Stream `{stream.name}` has more partitions than bookmarks are kept for ({limit:,}): rows of the others come again in each "
        f"run, where they replace themselves by their key; a target that appends has them twice. If that is not wanted, "
        f"{stream.advice_on_many_partitions}."
    )


def told_of_no_place(stream: BlockStream, limit: int) -> str:
    """Say that rows of one partition more would be doubled by the next run, since no bookmark is kept of it."""
    return (
        f"Stream `{stream.name}`, which has no key, has rows in more than {counted(limit, 'partition')}, and bookmarks are kept of so many: "
        "rows of others would be there twice after the next run, so they were not sent, and what was confirmed by the target is "
        f"safe; {stream.advice_on_many_partitions}."
    )


def told_of_equal_partitions(stream: BlockStream, fields: Sequence[str], *, has_own_bookmarks: bool) -> str:
    """Say that two parents of one run cannot be told apart, and what that does to the rows below them."""
    parent = stream.parent.name if stream.parent is not None else ""
    twice = "" if stream.primary_keys else ", and are there twice then, since the stream has no key"
    effect = (
        f" They have no bookmark: each run that meets both reads all rows below them again{twice}; after one that meets one of "
        "them only, rows of the other may be passed by."
        if has_own_bookmarks
        else " If it is one that came twice, the rows below it are there twice, since the stream has no key."
    )
    again = f", and run {reset_of(stream)}" if has_own_bookmarks else ""
    return (
        f"Two rows of stream `{parent}` came in one run with the same {', '.join(f'`{name}`' for name in fields)}, and stream "
        f"`{stream.name}` asks by other fields, which differ; both were read.{effect} If the key of `{parent}` is not unique, "
        f"{stream.advice_on_equal_partitions()}{again}."
    )


def seen_in(tracker: BookmarkTracker, stream: BlockStream) -> Iterator[str]:
    """Yield what nobody has to act on."""
    advice = stream.advice
    if tracker.is_all_young:
        margin = f" (its {advice.margin})" if advice.margin else ""
        yield (
            f"All rows of stream `{stream.name}` are younger than what was certain when the read began{margin}, "
            "so its bookmark stays; a later run moves it."
        )
    if tracker.remembered:
        yield (
            f"Stream `{stream.name}`: of {counted(tracker.remembered, 'row')} that the state remembers {tracker.recognised} "
            "came again, recognised and not sent again."
        )
    if tracker.forgotten and stream.primary_keys and not stream.lookback:
        fewer = f": {advice.fewer_again}" if advice.fewer_again else ""
        yield (
            f"More than {counted(tracker.memory_limit, 'row')} of stream `{stream.name}` came after the point that was certain "
            f"when the read began: the next run asks for {counted(tracker.forgotten, 'row')} again and sends them again, where "
            f"they replace themselves by their key. A target that appends has them twice{fewer}."
        )


def told_of_nulls(stream: BlockStream, nulls: int, *, goes_on: bool) -> str:
    """Say that so many rows have no replication key, and what becomes of them; ``goes_on``: the next run has a bookmark."""
    fate = stream.fate_of_nulls()
    if not goes_on:
        fate = "comes again with the next run, since no row has a value to go on from"
        if not stream.primary_keys:
            fate = (
                f"{fate}, and is there twice then, since the stream has no key; to have each once, give it `primary_keys`, then run "
                f"{reset_of(stream)}"
            )
    return (
        f"{counted(nulls, 'row')} of stream `{stream.name}` {'has' if nulls == 1 else 'have'} no value in the replication key "
        f"`{stream.bookmark_key}`: what has none was sent, and {fate}."
    )


def told_of_local_times(stream: BlockStream, bookmark: Any) -> str | None:
    """Say that times are taken for UTC, where they may be local; ``bookmark`` is one of them."""
    kind = stream.bookmark_kind
    if kind.zone is not None or not kind.has_local_times:
        return None
    if not kind.pattern and not has_no_offset(bookmark):
        return None
    return (
        f"The replication key `{stream.bookmark_key}` of stream `{stream.name}` holds times without an offset, which are taken "
        f"for UTC. If they are local times, rows may be missed when the clocks go back: {stream.advice.local_times}."
    )
