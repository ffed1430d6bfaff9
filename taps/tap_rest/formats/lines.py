"""NDJSON: one JSON value a line, as one JSON array of them, whose text nobody has touched."""

from __future__ import annotations

import msgspec

from singerkit_shell.errors import BadDataError
from singerkit_wire import jsonexact as exact
from tap_rest.formats.looks import look_of

__all__ = ["array_of_lines"]

_BLANK = b" \t\r"


def array_of_lines(body: bytes, stream: str, before: int = 0) -> bytes:
    """Return the lines of a body as one array; blank ones are none. ``before``: how many lines came before these.

    Raises:
        BadDataError: a line is no JSON.
    """
    numbered = [
        (number, line) for number, line in enumerate(body.split(b"\n"), before + 1) if line.strip(_BLANK)
    ]
    lines = [line for _, line in numbered]
    array = b"[" + b",".join(lines) + b"]"
    try:
        # As many values as lines: a line with two would make an array as well.
        if len(msgspec.json.decode(array, type=list[msgspec.Raw])) == len(lines):
            return array
    except (msgspec.DecodeError, RecursionError):
        pass
    for number, line in numbered:
        _check(line, number, body, stream, is_last=line is lines[-1])
    return array


def _check(line: bytes, number: int, body: bytes, stream: str, *, is_last: bool) -> None:
    """Refuse a line that is no JSON; what msgspec refuses may be some (lone surrogates)."""
    try:
        exact.loads(line)
    except (ValueError, RecursionError):
        look = look_of(body if number == 1 else line)
        advice = look.advice if number == 1 and "ndjson" not in (look.fits or "") else ""
        if number == 1 and look.words == "JSON" and not is_last:
            advice = "; if the body is one JSON document, leave `format` out"
        end = ", the last one, so that the body may have been cut" if is_last and number > 1 else ""
        raise BadDataError(
            f"Expected one JSON value a line (`format` of stream {stream}), got {look.words if number == 1 else 'other text'} in line "
            f"{number}{end}{advice}."
        ) from None
