"""How a bookmark is written into a request."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_state.instants import Instant, iso_of, pattern_of
from singerkit_state.order import (
    UnorderableError,
    ValueKind,
    asked_value,
    instant_of,
    less_lookback,
    starting_value,
)
from singerkit_tap.contract import BookmarkValue
from tap_rest.answers.answer import RefusingAnswer
from tap_rest.asking.moments import counted_since_epoch
from tap_rest.asking.placeholders import BOOKMARKS, texts_around
from tap_rest.settings.incremental import Incremental
from tap_rest.settings.stream import StreamSettings

__all__ = [
    "bookmark_asked",
    "field_of_change",
    "hint_at_start",
    "is_of_creation",
    "least_value",
    "lookback_problem",
    "other_field_asked",
    "said_of_bookmark",
    "unit_problem",
    "window_problem",
    "written",
]


def bookmark_asked(
    settings: Incremental | None, value: BookmarkValue | None, kind: ValueKind
) -> dict[str, str | int | Decimal]:
    """Return what asks for rows from ``value`` on, as `bookmark`; nothing without a value.

    Whatever a format cannot express is cut off downwards, so that the server is asked for too much rather than
    too little; the engine drops what was sent before.

    Raises:
        ConfigurationError: the value is no point in time, and the format needs one.
    """
    if settings is None or value is None:
        return {}
    return {"bookmark": written(settings, value, kind)}


def written(settings: Incremental, value: BookmarkValue, kind: ValueKind) -> str | int | Decimal:
    """Return how a value is asked for: what the format cannot express is cut off downwards.

    Raises:
        ConfigurationError: the value is no point in time, and the format needs one, or nothing is before it.
    """
    if settings.is_exclusive:
        value = _just_before(value, kind)
    if settings.format == "as_is":
        with contextlib.suppress(UnorderableError):  # a text that is no point in time is asked for as it is
            value = asked_value(value, kind)
        return value
    try:
        instant = instant_of(value, kind)
    except UnorderableError:
        raise ConfigurationError(
            f"Expected a date-time as the bookmark for `incremental.format` `{settings.format}`, got something else; use "
            "`as_is` for keys that are no point in time."
        ) from None
    if settings.is_epoch:
        return counted_since_epoch(instant, settings.format)
    return _text_of(settings.format, instant, kind.zone)


def _just_before(value: BookmarkValue, kind: ValueKind) -> BookmarkValue:
    try:
        return less_lookback(value, kind, 1)
    except UnorderableError:
        raise ConfigurationError(
            "`incremental.from` `exclusive` means nothing to a replication key that holds no points in time, dates or numbers: nobody knows what is "
            "just before a text."
        ) from None


def _text_of(name: str, instant: Instant, zone: tzinfo | None) -> str:
    if name != "iso":
        return pattern_of(instant, name, zone, is_asked=True)
    seconds, fraction = instant
    fraction = fraction[:6]
    return iso_of((seconds, fraction.ljust(6, "0") if fraction.strip("0") else ""))


def least_value(kind: ValueKind) -> BookmarkValue | None:
    """Return a value before all others, as far as APIs take one; None: values of this kind have none."""
    if kind.name == "NUMBER":
        return 0
    return starting_value("1970-01-01T00:00:00Z", kind)


def hint_at_start(error: BadDataError, settings: Incremental | None) -> None:
    """Add, to what an API says of a request that misses the parameter of the bookmark, which setting sends it."""
    if settings is None or not isinstance(error, RefusingAnswer):
        return
    if settings.param is not None and _misses_parameter(error.says, settings.param):
        error.args = (
            f"{str(error).rstrip('.')}; as long as there is no bookmark, `{settings.param}` (`incremental.param`) is sent "
            'only from a start on: set `"start_date": "2000-01-01T00:00:00Z"`, or a later one.',
        )


def _misses_parameter(says: str, name: str) -> bool:
    """Tell whether what an API says of a request sounds as if it wanted a parameter that was not sent."""
    return (
        re.search(rf"(?i)(?<!\w){re.escape(name)}(?!\w)|\b(?:required|mandatory|missing)\b", says) is not None
    )


_CENTURY = 36_525
"""Days."""


def unit_problem(stream: str, key: str | None, settings: Incremental | None, kind: ValueKind) -> str | None:
    """Return that numbers are to be written as times, and nobody has said in which unit they count."""
    if settings is None or settings.format == "as_is" or kind.name != "NUMBER":
        return None
    return (
        f"`incremental.format` of stream `{stream}` writes points in time, and its replication key "
        f"`{key}` holds numbers; set `replication_key_format` to `epoch`, `epoch_ms`, `epoch_us` or "
        "`epoch_ns`, or the format to `as_is`"
    )


def lookback_problem(
    stream: str, key: str | None, settings: Incremental | None, kind: ValueKind
) -> str | None:
    """Return that so many days are looked back as nobody means: a `lookback` counts days where the key is a date."""
    counts_days = kind.name == "DATE" or (kind.name == "PATTERN" and not re.search("%[HIsX]", kind.pattern))
    if settings is None or not counts_days or settings.lookback <= _CENTURY:
        return None
    return (
        f"`incremental.lookback` of stream `{stream}` is {settings.lookback:g}, which counts days where the replication key `{key}` "
        "is a date: write days"
    )


def window_problem(stream: str, key: str | None, settings: Incremental | None, kind: ValueKind) -> str | None:
    """Return that windows of time do not fit a key of numbers, or the other way round."""
    if settings is None or kind.name == "ANY":
        return None
    if settings.counts and kind.name != "NUMBER":
        return f"`incremental.window` of stream `{stream}` is a number, and its replication key `{key}` holds none: write a duration like `P31D`"
    if not settings.counts and not kind.is_time:
        fits = "say so in `replication_key_format` (`epoch`), or let `incremental.window` be a number"
        return f"`incremental` of stream `{stream}` asks for points in time, and its replication key `{key}` holds none: {fits}"
    return None


# Whether the parameter speaks of another field


_GENERAL = frozenset(
    (
        *("at", "on", "by", "date", "time", "datetime", "timestamp", "ts", "day", "utc", "iso"),
        *("last", "first", "start", "end", "from", "to", "since", "after", "before", "until", "min", "max"),
    )
)
_TIME_WORDS = frozenset(("at", "on", "date", "time", "datetime", "timestamp", "ts"))
_CREATION, _CHANGE = ("creat", "insert", "added"), ("updat", "modif", "chang", "edit")


def said_of_bookmark(settings: StreamSettings) -> str:
    """Return the words that stand around the bookmark in what a stream asks for."""
    incremental = settings.incremental
    if incremental is None or incremental.param is None:
        return " ".join(text for part in settings.asked for text in texts_around(part, BOOKMARKS))
    return f"{incremental.param} {incremental.template.replace('{value}', ' ')}"


def other_field_asked(said: str, key: str, properties: Mapping[str, Any]) -> str | None:
    """Return what a request speaks of, by what is ``said`` around the bookmark, where that is another time than ``key``.

    `created_since` of a stream that is read by `updated_at`: rows that change would never come, and no answer shows it.
    """
    asked = "".join(_words(said))
    own = _root(key)
    if own and own in asked:
        return None
    for name, schema in properties.items():
        root = _root(name)
        if name != key and root and root in asked and _is_time(name, schema):
            return f"`{name}`"
    is_change = any(root in key.lower() for root in _CHANGE) and not any(root in asked for root in _CHANGE)
    return "the creation" if is_change and any(root in asked for root in _CREATION) else None


def is_of_creation(key: str) -> bool:
    """Tell whether a replication key is the time of creation, by its name: a row that changes later keeps it."""
    words = _words(key)
    return any(word.startswith(_CREATION) for word in words) and not any(
        word.startswith(_CHANGE) for word in words
    )


def field_of_change(properties: Mapping[str, Any]) -> str | None:
    """Return the field that tells when a row has changed, by its name and kind; None: there is none."""
    return next(
        (
            name
            for name, schema in properties.items()
            if any(word.startswith(_CHANGE) for word in _words(name)) and _is_time(name, schema)
        ),
        None,
    )


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)]


def _root(name: str) -> str:
    """Return what `created_at`, `createdAt`, `date_created` and `creation_date` have in common; too little is nothing."""
    root = "".join(word for word in _words(name) if word not in _GENERAL)[:5]
    return root if len(root) > 3 else ""


def _is_time(name: str, schema: Mapping[str, Any]) -> bool:
    branches = [schema, *schema.get("anyOf", ())]
    return any(branch.get("format") in ("date-time", "date") for branch in branches) or bool(
        _TIME_WORDS & set(_words(name))
    )
