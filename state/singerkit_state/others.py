"""States of other taps, and of other configs of ours: recognised, or refused by name; never taken for none.

Recognised are Meltano's ``singer_state`` and a whole STATE message around the value, singer-python's
``{"bookmarks": {stream: {key: value}}}``, singer-sdk's markers of a run that did not end, and what pipelinewise taps
put beside a bookmark. All else raises `StateError`, whose message says what was found and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from singerkit_state.bookmarks import strange_memory

__all__ = [
    "StateError",
    "bookmark_left",
    "bookmarks_of_others",
    "check_no_log_of_others",
    "recognised_part",
    "unwrapped",
    "was_loaded_by_others",
]

_OWN_PREFIX = "_singerkit"
_SDK_KEYS = frozenset({"starting_replication_value", "replication_key_signpost", "progress_markers"})
# What pipelinewise taps and singer-python write beside a bookmark, or instead of one for a stream read as a whole.
_FULL_TABLE_KEYS = frozenset({"last_replication_method", "version", "initial_full_table_complete"})
_TOP_KEYS = frozenset({"bookmarks", "currently_syncing", "_singerkit", "_singerkit_log"})


class StateError(ValueError):
    """A state, or a stream's part of it, is not understood; the message is one or two sentences without a full stop."""


def unwrapped(state: Mapping[str, Any], streams: Sequence[str]) -> dict[str, Any]:
    """Return the STATE value inside ``state``: itself, what a STATE message holds, or what Meltano keeps.

    ``streams`` are the names of the streams of this run.

    Raises:
        StateError: it is no STATE value that is known.
    """
    value = _without_wrapping(state)
    bookmarks = value.get("bookmarks")
    if bookmarks is not None and not isinstance(bookmarks, Mapping):
        raise StateError("`bookmarks` of the state is not an object of streams")
    strange = [str(key) for key in value if key not in _TOP_KEYS]
    named = [name for name in strange if name in streams]
    if named:
        raise StateError(
            f"The state has `{named[0]}` at its top level, where `bookmarks` is expected; write it as "
            f'`{{"bookmarks": {{"{named[0]}": {{"replication_key": KEY, "replication_key_value": VALUE}}}}}}`'
        )
    if strange and bookmarks is None:
        raise StateError(
            f"The state has no `bookmarks`, and is of no shape that is known (its keys: {_listed(strange)}); give the "
            "state of this pipeline, or none to start from the beginning"
        )
    return value


def _without_wrapping(state: Mapping[str, Any]) -> dict[str, Any]:
    if state.get("type") == "STATE" and isinstance(state.get("value"), Mapping):
        return _without_wrapping(state["value"])
    parts = [state[name] for name in ("completed", "partial") if isinstance(state.get(name), Mapping)]
    if parts and all(key in ("completed", "partial") for key in state):
        return _merged([_without_wrapping(part) for part in parts])
    if "singer_state" in state and "bookmarks" not in state:
        inner = state["singer_state"]
        if not isinstance(inner, Mapping):
            raise StateError("`singer_state` of the state is not an object")
        return _without_wrapping(inner)
    return dict(state)


def _merged(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what Meltano would hand on: the completed state, and over it the streams of the partial one."""
    merged: dict[str, Any] = {}
    for value in values:
        bookmarks = {**(merged.get("bookmarks") or {}), **(value.get("bookmarks") or {})}
        merged |= {**value, "bookmarks": bookmarks}
    return merged


def recognised_part(part: Any, key: str | None) -> Any:
    """Return a stream's part of the state in our shape; one that is in it comes back as it is.

    ``key`` is the stream's replication key, None for a stream that is read as a whole.

    Raises:
        StateError: the part holds a bookmark that is not understood, or one by another key.
    """
    if part is None:
        return {}
    if not isinstance(part, Mapping):
        raise StateError(
            "its part is not an object"
            + (
                f'; write it as `{{"replication_key": "{key}", "replication_key_value": VALUE}}`'
                if key
                else ""
            )
        )
    if key is None:
        return part
    if isinstance(part.get("partitions"), list):
        entries = [_recognised_entry(entry, key) for entry in part["partitions"]]
        part = {**part, "partitions": entries}
    return _recognised_entry(part, key)


def _recognised_entry(entry: Any, key: str) -> Any:
    if not isinstance(entry, Mapping):
        raise StateError("one of its partitions is not an object")
    strange = strange_memory(entry)
    if strange is not None:
        raise StateError(
            f"what it says of the rows that were sent is nothing that this tap writes (`{strange}`)"
        )
    named = entry.get("replication_key", key)
    value = entry.get("replication_key_value")
    if value is not None:
        if named != key:
            raise StateError(f"its bookmark is by `{named}`, the config says `{key}`")
        _check_value(value, key)
        return entry
    if key in entry and key not in _RESERVED:
        if entry[key] is None:
            return {name: item for name, item in entry.items() if name != key}
        _check_value(entry[key], key)
        rest = {name: item for name, item in entry.items() if name != key}
        return {**rest, "replication_key": key, "replication_key_value": entry[key]}
    unknown = [str(name) for name in entry if not _is_harmless(name)]
    if unknown:
        raise StateError(
            f"it has no bookmark by `{key}`, and what is there is not understood ({_listed(unknown)})"
        )
    return entry


def bookmarks_of_others(part: Mapping[str, Any]) -> list[str]:
    """Return what a part holds beside what says nothing of rows: for a stream that is read as a whole, bookmarks."""
    return [str(name) for name, value in part.items() if value is not None and not _is_harmless(name)]


def bookmark_left(part: Mapping[str, Any]) -> str | None:
    """Return by which field the part of a stream that is read as a whole has a bookmark; None: it has none."""
    if part.get("replication_key_value") is None and not part.get("partitions"):
        others = bookmarks_of_others(part)
        return others[0][:60] if others else None
    # MeltanoLabs' tap-postgres leaves the name out.
    return str(part.get("replication_key") or "_sdc_lsn")


def check_no_log_of_others(part: Any) -> None:
    """Refuse a place in a log that another tap has read by a slot of its own.

    Raises:
        StateError: the part is one.
    """
    if isinstance(part, Mapping) and _is_log_of_others(part):
        raise StateError(
            "it is a place in the log up to which another tap has read it, by a slot of its own, and nothing tells which changes this "
            "one would miss or repeat"
        )


def _is_log_of_others(part: Mapping[str, Any]) -> bool:
    """Tell whether a part is a place in the log of PostgreSQL, up to which MeltanoLabs' or pipelinewise's tap has read it."""
    if part.get("last_replication_method") == "LOG_BASED" and part.get("lsn") is not None:
        return True
    has_value = type(part.get("replication_key_value")) is int
    return has_value and part.get("replication_key", "") in (None, "_sdc_lsn")


def was_loaded_by_others(part: Mapping[str, Any]) -> bool:
    """Tell whether a pipelinewise tap says of a stream that it was read as a whole."""
    return (
        part.get("last_replication_method") == "FULL_TABLE" or part.get("initial_full_table_complete") is True
    )


_RESERVED = frozenset({"context", "partitions", "replication_key", "replication_key_value"}) | _SDK_KEYS


def _is_harmless(name: Any) -> bool:
    """Tell whether a key of an entry says nothing about rows that were read and need not be read again."""
    return name in _RESERVED or name in _FULL_TABLE_KEYS or str(name).startswith(_OWN_PREFIX)


def _check_value(value: Any, key: str) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise StateError(f"its bookmark by `{key}` is neither text nor a number")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name[:40]}`" for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
