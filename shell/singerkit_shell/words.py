"""Words of log lines and errors."""

from __future__ import annotations

import re
from textwrap import shorten

__all__ = ["beginning", "bytes_in_words", "counted", "ended", "visible"]

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_SHORT = 160
"""Characters of a warning that are repeated at the end of a run."""


def beginning(sentence: str) -> str:
    """Return one short line of a warning that stands in full further up."""
    return shorten(sentence, _SHORT, placeholder=" ... (in full above)")


def bytes_in_words(count: float) -> str:
    """Return `512 bytes`, `1.5 MB`."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"


def counted(number: int, thing: str) -> str:
    """Return `1 row`, `2 rows`, `10,000 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def visible(line: str) -> str:
    """Return a line of others with `\\x1b` for a control character, which would write over what stands on a terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", line)


def ended(sentence: str) -> str:
    """Return a sentence with its full stop, where no question mark ends it."""
    return sentence if sentence.endswith(("?", ".")) else f"{sentence}."
