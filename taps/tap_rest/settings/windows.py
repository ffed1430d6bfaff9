"""Windows of `incremental`: the end that is asked for, how long a window is, and how one follows the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from singerkit_state.instants import pattern_of
from tap_rest.asking.placeholders import asked_of, names_in
from tap_rest.settings import setting
from tap_rest.windows.durations import Duration, duration_of

__all__ = ["WINDOWS", "end_is_asked", "has_start", "shard_problems", "window_problems"]

Group = Mapping[str, Any]
_MOMENT = 1_767_225_600
"""2026-01-01: where each unit of the calendar begins."""
_LENGTH = {"type": ["string", "number"], "exclusiveMinimum": 0, "minLength": 1, "secret": False}

WINDOWS: dict[str, Any] = {
    "until_param": setting.name(
        "Name of the query parameter for the other end of what is asked for, written as `format` says. It tells the end of the "
        "window, and of the last one the moment when the read began, by the clock of the API (`Date`), or `end_date`.",
        minLength=1,
    ),
    "until_template": setting.text("Text around it, for instance `lt.{value}`. Default `{value}`."),
    "until": setting.text(
        "Whether the API gives rows at the end that is asked for: `inclusive`, or `exclusive`. Default `inclusive`, which is "
        "right for both, as each window begins where the one before has ended.",
        enum=["inclusive", "exclusive"],
    ),
    "window": _LENGTH
    | {
        "description": "Ask for so much at a time, one window after the other, from the bookmark or `start_date` on: an ISO 8601 "
        "duration (`P31D`, `P1M`, `PT6H`), or a number, where the replication key is one. A run that was stopped goes on "
        "behind the last window that was complete. Default: all at once."
    },
    "granularity": _LENGTH
    | {
        "description": "The unit that the API tells ends apart by, where it is inclusive: a window ends so much before the next one "
        "begins, so that no row comes twice (`P1D`: to the 31st, then from the 1st). Default: none, each window begins where "
        "the one before has ended, and what stands there comes twice and is sent once."
    },
    "shard_window": _LENGTH
    | {
        "description": "With `--shard i/n` the shards take turns at spans of this length of the replication key: months, days or seconds of an ISO 8601 duration (`P1M`, `P7D`, `PT6H`), or a number. "
        "Each asks for the windows in its own. A row may be of another shard when it changes, so targets of ours want `newest_by` for the stream. Without it one shard reads all of such a stream."
    },
    "start": {
        "type": "number",
        "description": "Where windows of numbers begin as long as there is no bookmark. Default 0.",
    },
}


def window_problems(stream: Group, place: str) -> list[str]:
    """Return what the windows of a stream, with what it takes from the top level, lack, or say against each other."""
    incremental = stream.get("incremental", {})
    where = f"{place}.incremental"
    has_end = end_is_asked(incremental.get("until_param"), [value for _, value in asked_of(stream)])
    problems = [
        f"`{where}.{name}` has no effect without `{where}.until_param`, or `{{to}}` in what is asked for, which say the end"
        for name in ("window", "granularity", "until", "shard_window")
        if name in incremental and not has_end
    ]
    if incremental.get("from") == "exclusive" and has_end:
        problems.append(
            f"`{where}.from` `exclusive` does not go with an end that is asked for: each window begins where the one before has ended, whose last rows it "
            f"has; `{where}.lookback` is for the first one"
        )
    if "until_template" in incremental and "until_param" not in incremental:
        problems.append(f"`{where}.until_template` has no effect without `{where}.until_param`")
    return problems or [
        *_length_problems(incremental, where),
        *_start_problems(stream, where, has_end=has_end),
        *_shard_problems(stream, where),
    ]


def end_is_asked(until_param: str | None, asked: Iterable[Any]) -> bool:
    """Tell whether the end of what is asked for is sent, by a parameter or where `{to}` stands."""
    return until_param is not None or any("to" in names_in(value) for value in asked)


def has_start(stream: Group) -> bool:
    """Tell whether a first run of a stream, with what it takes from the top level, has a value to ask from."""
    return "start_date" in stream or isinstance(stream.get("incremental", {}).get("window"), int | float)


def _start_problems(stream: Group, where: str, *, has_end: bool) -> list[str]:
    incremental = stream.get("incremental", {})
    counts = isinstance(incremental.get("window"), int | float)
    if "start" in incremental and not counts:
        return [f"`{where}.start` has no effect without a number as `{where}.window`; use `start_date`"]
    if has_end and not has_start(stream):
        return [f"`{where}` asks for both ends, so it needs a `start_date`"]
    return []


def _shard_problems(stream: Group, where: str) -> Iterator[str]:
    incremental = stream.get("incremental", {})
    said, named = incremental.get("shard_window"), f"`{where}.shard_window`"
    if said is None:
        return
    for name in ("parent", "for_each"):
        if stream.get(name):
            yield f"{named} does not go with `{name}`, by which the stream is divided into shards"
    if not stream.get("primary_keys"):
        yield f"{named} needs `primary_keys`: where the number of shards changes rows come again, and would be there twice"
    if "deletes" in stream:
        yield f"{named} does not go with `deletes`: one shard tells that a row is gone, and another one may still have it in hand"
    if isinstance(said, str):
        yield from _span_problems(said, incremental, named)
    elif not isinstance(incremental.get("window"), int | float):
        yield f"{named} has no effect as a number without a number as `{where}.window`"


def _span_problems(said: str, incremental: Group, named: str) -> Iterator[str]:
    if isinstance(incremental.get("window"), int | float):
        yield f"Expected `window` and {named} both as durations or both as numbers"
    try:
        span = duration_of(said)
    except ValueError as error:
        yield f"{error} at {named}, got `{said}`"
        return
    if sum(map(bool, (span.months, span.days, span.seconds))) > 1:
        yield f"Expected a duration of months, of days or of seconds alone at {named}, got `{said}`"


def shard_problems(stream: Group, place: str, streams: Iterable[Group]) -> Iterator[str]:
    """Yield what is wrong with streams below one that is divided by spans of its key."""
    if "shard_window" not in stream.get("incremental", {}):
        return
    for other in streams:
        if other.get("parent", {}).get("stream") == stream["name"]:
            yield (
                f"`{place}.incremental.shard_window` does not go with stream `{other['name']}` below it, which is divided by its parents, whatever their times: "
                "leave it out, and one shard reads the parents while all read what is below them"
            )


def _length_problems(incremental: Group, where: str) -> list[str]:
    lengths = {}
    for name in ("window", "granularity"):
        said = incremental.get(name)
        if isinstance(said, str):
            try:
                lengths[name] = duration_of(said)
            except ValueError as error:
                return [f"{error} at `{where}.{name}`, got `{said}`"]
    if "granularity" in incremental:
        return _granularity_problems(incremental, lengths, where)
    written = incremental.get("format", "as_is")
    if "window" in lengths and "%" in written and not _tells_apart(written, lengths["window"]):
        return [
            f"`{where}.window` is `{incremental['window']}`, and `{where}.format` `{written}` writes both of its ends alike"
        ]
    return []


def _tells_apart(pattern: str, window: Duration) -> bool:
    return pattern_of((_MOMENT, ""), pattern) != pattern_of((window.after(_MOMENT, None), ""), pattern)


def _granularity_problems(incremental: Group, lengths: Mapping[str, Duration], where: str) -> list[str]:
    if "window" not in incremental:
        return [f"`{where}.granularity` has no effect without `{where}.window`"]
    if incremental.get("until") == "exclusive":
        return [
            f"`{where}.granularity` does not go with `{where}.until` `exclusive`, where no window has what the next begins with"
        ]
    window, granularity = incremental["window"], incremental["granularity"]
    if isinstance(window, str) != isinstance(granularity, str):
        return [f"Expected `{where}.window` and `{where}.granularity` both as durations or both as numbers"]
    too_long = (
        lengths["granularity"].at_least >= lengths["window"].at_least
        if isinstance(window, str)
        else granularity >= window
    )
    if too_long:
        return [f"Expected `{where}.granularity` to be shorter than `{where}.window`"]
    return []
