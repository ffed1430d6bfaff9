"""How a bookmark is written into a request."""

from __future__ import annotations

from datetime import tzinfo

from singerkit_shell.errors import ConfigurationError
from singerkit_state.instants import Instant, iso_of, pattern_of
from singerkit_state.order import UnorderableError, ValueKind, instant_of
from singerkit_tap.contract import BookmarkValue
from tap_rest.config import Incremental

__all__ = ["bookmark_params"]


def bookmark_params(
    settings: Incremental | None, value: BookmarkValue | None, kind: ValueKind
) -> dict[str, str]:
    """Return the query parameters that ask for rows from ``value`` on; none without a value.

    Whatever a format cannot express is cut off downwards, so that the server is asked for too much rather than
    too little; the engine drops what was sent before.

    Raises:
        ConfigurationError: the value is no point in time, and the format needs one.
    """
    if settings is None or value is None:
        return {}
    return {settings.param: settings.template.replace("{value}", _formatted(settings, value, kind))}


def _formatted(settings: Incremental, value: BookmarkValue, kind: ValueKind) -> str:
    if settings.format == "as_is":
        return str(value) if isinstance(value, str | int) else f"{value:f}"
    try:
        instant = instant_of(value, kind)
    except UnorderableError:
        raise ConfigurationError(
            f"Expected a date-time as the bookmark for `incremental.format` `{settings.format}`, got something else; use "
            "`as_is` for keys that are no point in time."
        ) from None
    if settings.is_epoch:
        return _counted(instant, _DIGITS[settings.format])
    return _text_of(settings.format, instant, kind.zone)


def _text_of(name: str, instant: Instant, zone: tzinfo | None) -> str:
    if name != "iso":
        return pattern_of(instant, name, zone)
    seconds, fraction = instant
    fraction = fraction[:6]
    return iso_of((seconds, fraction.ljust(6, "0") if fraction.strip("0") else ""))


def _counted(instant: Instant, digits: int) -> str:
    seconds, fraction = instant
    return str(seconds * 10**digits + int("0" + fraction[:digits].ljust(digits, "0")))


_DIGITS = {"epoch": 0, "epoch_ms": 3, "epoch_us": 6, "epoch_ns": 9}
