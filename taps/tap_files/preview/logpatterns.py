"""Which of the known looks the lines of a log have, as far as its beginning shows. A guess that a person looks at; a sync never makes one."""

from __future__ import annotations

import re

from tap_files.formats.logfmt import logfmt_pairs
from tap_files.formats.loglines import KNOWN
from tap_files.settings.log import PATTERNS

__all__ = ["pattern_of"]

_LINES = 1_000
_LEAST = 0.5
"""So much of the lines have to fit: others may go on in rows before them."""


def pattern_of(text: str, *, is_cut: bool) -> tuple[str, list[str]] | None:
    """Return the pattern that most lines fit, and doubts about it; None: half of them fit none. ``is_cut``: the last line may go on."""
    lines = text.splitlines()
    lines = [line for line in lines[: -1 if is_cut and len(lines) > 1 else None] if line.strip()][:_LINES]
    if not lines:
        return None
    # Of two that fit as many the one that says more: `combined` before `common`, `rfc5424` before `syslog`.
    found = max(("combined", "rfc5424", *PATTERNS), key=lambda name: sum(_fits(name, line) for line in lines))
    others = [number for number, line in enumerate(lines, 1) if not _fits(found, line)]
    if len(others) > len(lines) * (1 - _LEAST):
        return None
    if not others:
        return found, []
    return found, [
        f"{len(others)} of {len(lines)} lines do not fit the pattern `{found}` (the first of them is line {others[0]} of those that are not blank): a run ends there, unless `row_start` has them go on in the row before, or "
        "`on_bad_row` says otherwise."
    ]


def _fits(name: str, line: str) -> bool:
    if name != "logfmt":
        return re.fullmatch(KNOWN[name], line) is not None
    try:
        return len(logfmt_pairs(line)) > 1
    except ValueError:
        return False
