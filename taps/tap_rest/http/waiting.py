"""What an answer says about asking again: that a rate limit is met, and how long to wait (`Retry-After`, `X-RateLimit-Reset`)."""

from __future__ import annotations

import email.utils
import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from tap_rest.http.heads import by_name

__all__ = ["is_rate_limit", "wait_asked_for"]

_logger = logging.getLogger("tap-rest")
_OF_LIMITS = (420, 429)
_MAY_BE_OF_LIMITS = (400, 403)
_EPOCH = 1_000_000_000  # more seconds than anybody waits: a moment
_EPOCH_MS = 100_000_000_000
# `RateLimit: limit=60, remaining=0, reset=30`, and as later drafts have it, `RateLimit: "default";r=0;t=30`.
_REMAINING_IN_ONE = re.compile(r"\b(?:remaining|r)\s*=\s*([0-9]{1,15})\b")
_RESET_IN_ONE = re.compile(r"\b(?:reset|t)\s*=\s*([0-9]{1,15})\b")


_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?(?:([0-9]+(?:\.[0-9]+)?)ms)?")
_UNITS = (3600, 60, 1, 0.001)
"""Of `6m0s`, as Go writes times."""
_RETRY_AFTER = re.compile(r"(?:ratelimit)?retryafter(s|sec|seconds|ms|millis|milliseconds)?")


def is_rate_limit(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether a status says that a rate limit is met; by 400 and 403 some APIs do, which their headers show."""
    if status in _OF_LIMITS:
        return True
    is_told = _retry_after(headers) is not None or (status == 403 and _has_none_left(headers) is True)
    return status in _MAY_BE_OF_LIMITS and is_told


def wait_asked_for(status: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait: by Retry-After, else until its rate limit begins anew; None: it does not say.

    When the limit begins anew says nothing where requests are left, or nobody knows whether one is met.
    """
    asked = _retry_after(headers)
    if asked is not None:
        return asked
    has_none_left = _has_none_left(headers)
    return (
        _until_reset(headers) if has_none_left or (has_none_left is None and status in _OF_LIMITS) else None
    )


def _has_none_left(headers: Mapping[str, str]) -> bool | None:
    """Tell whether no request is left; None: the headers do not say how many are."""
    left = _of_rate_limit(headers, "remaining", _REMAINING_IN_ONE)
    return any(_is_none(text) for _, text in left) if left else None


def _is_none(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.0*)?", text) is not None and float(text) <= 0


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the limits begin anew that are met; where it is not said which, until all of them do."""
    resets = _of_rate_limit(headers, "reset", _RESET_IN_ONE)
    met = {of for of, text in _of_rate_limit(headers, "remaining", _REMAINING_IN_ONE) if _is_none(text)}
    texts = [text for of, text in resets if of in met] or [text for _, text in resets]
    waits = [_seconds_to(text, headers) for text in texts]
    return max((wait for wait in waits if wait is not None), default=None)


def _of_rate_limit(headers: Mapping[str, str], what: str, in_one: re.Pattern[str]) -> list[tuple[str, str]]:
    """Return the values of `X-RateLimit-Remaining`, `x-rate-limit-remaining` and the like.

    Each with what its name says besides: `minute` of `RateLimit-Remaining-Minute`.
    """
    found: list[tuple[str, str]] = []
    for name, value in headers.items():
        plain = _plain(name)
        if plain.startswith(f"ratelimit{what}"):
            found.append((plain.removeprefix(f"ratelimit{what}"), value.strip()))
        elif plain == "ratelimit":
            found += [(str(number), text) for number, text in enumerate(in_one.findall(value))]
    return found


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").removeprefix("x")


def _seconds_to(text: str, headers: Mapping[str, str]) -> float | None:
    """Return the seconds to the moment that ``text`` is, or the seconds that it is itself; None: it is neither."""
    try:
        duration = _DURATION.fullmatch(text) if text else None
        if duration is not None:
            return sum(float(part or 0) * unit for part, unit in zip(duration.groups(), _UNITS, strict=True))
        if not re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
            moment = datetime.fromisoformat(text)
            return _left(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp(), headers)
        number = float(text)
        if number < _EPOCH:
            return number
        return _left(number / 1000 if number > _EPOCH_MS else number, headers)
    except (TypeError, ValueError, OverflowError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for, by number or HTTP date; None without a usable one.

    Beside it there are `retry-after-ms`, `X-Rate-Limit-Retry-After-Seconds` and the like.
    """
    text = by_name(headers).get("Retry-After", "").strip()
    if not text:
        return _retry_after_of_others(headers)
    try:
        if text.replace(".", "", 1).isdigit():
            return max(0.0, float(text))
        return _left(email.utils.parsedate_to_datetime(text).timestamp(), headers)
    except (TypeError, ValueError, OverflowError):
        _logger.warning("Retry-After is neither seconds nor an HTTP date and is ignored.")
        return None


def _retry_after_of_others(headers: Mapping[str, str]) -> float | None:
    for name, value in headers.items():
        match = _RETRY_AFTER.fullmatch(_plain(name))
        if match is not None and re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", value.strip()):
            return float(value) / (1000 if (match[1] or "").startswith("m") else 1)
    return None


def _left(moment: float, headers: Mapping[str, str]) -> float:
    # The server's own clock, where it tells: ours may be wrong.
    now = by_name(headers).get("Date")
    start = email.utils.parsedate_to_datetime(now).timestamp() if now else time.time()
    return max(0.0, moment - start)
