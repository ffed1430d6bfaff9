"""Write and read Singer messages; the code is shipped with `singerkit-check`."""

from __future__ import annotations

from singerkit_check.suite.singer import (
    MARK,
    RECORD,
    SCHEMA,
    STATE,
    instant,
    line,
    lines,
    parse,
    parse_line,
    without_mark,
)

__all__ = [
    "MARK",
    "RECORD",
    "SCHEMA",
    "STATE",
    "instant",
    "line",
    "lines",
    "parse",
    "parse_line",
    "without_mark",
]
