"""How a bookmark is written into a request."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal

from singerkit_shell.errors import ConfigurationError
from singerkit_tap.contract import BookmarkValue
from tap_rest.config import Incremental

__all__ = ["bookmark_params"]

_MILLISECONDS = (
    100_000_000_000  # an epoch above this is in milliseconds: as seconds it would be the year 5138
)
_NANOSECONDS = re.compile(r"(\.\d{6})\d+")


def bookmark_params(settings: Incremental | None, value: BookmarkValue | None) -> dict[str, str]:
    """Return the query parameters that ask for rows from ``value`` on; none without a value.

    Whatever a format cannot express is cut off downwards, so that the server is asked for too much rather than
    too little; the engine drops what was sent before.

    Raises:
        ConfigurationError: the value is no point in time, and the format needs one.
    """
    if settings is None or value is None:
        return {}
    return {settings.param: settings.template.replace("{value}", _formatted(settings.format, value))}


def _formatted(name: str, value: BookmarkValue) -> str:
    if name == "as_is":
        return str(value) if isinstance(value, str | int) else f"{value:f}"
    moment = _moment(value, name)
    match name:
        case "iso":
            return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds")[:-6] + "Z"
        case "epoch":
            return str(_epoch_microseconds(moment) // 1_000_000)
        case "epoch_ms":
            return str(_epoch_microseconds(moment) // 1000)
        case pattern:
            return moment.strftime(pattern)


def _epoch_microseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def _moment(value: BookmarkValue, name: str) -> datetime:
    """Return the instant in UTC; text without an offset is UTC, numbers are seconds or milliseconds."""
    try:
        if isinstance(value, int | Decimal):
            number = Decimal(value)
            seconds = number / 1000 if abs(number) >= _MILLISECONDS else number
            return datetime.fromtimestamp(math.floor(seconds), UTC)
        if len(value) == 10:
            return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
        moment = datetime.fromisoformat(_NANOSECONDS.sub(r"\1", value))
    except (ValueError, OverflowError, OSError):
        raise ConfigurationError(
            f"Expected a date-time as the bookmark for `incremental.format` `{name}`, got something else; use "
            "`as_is` for keys that are no point in time."
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
