"""`log` of a stream: what its lines look like."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.settings import setting
from tap_files.settings.jsonlines import ENCODING, LONGEST, encoding_problems

__all__ = ["LOG", "LogSettings", "log_problems", "log_settings"]

PATTERNS = ("common", "combined", "syslog", "rfc5424", "logfmt")

LOG = setting.group(
    "What the lines of a log look like. Needs `format` `log`.",
    {
        "pattern": setting.name(
            "A known look: `common` and `combined` (Apache, nginx), `syslog` (RFC 3164, and as it is written to files), `rfc5424`, `logfmt` "
            "(`key=value`). Needed unless `expression` is set.",
            enum=list(PATTERNS),
        ),
        "expression": setting.name(
            "A regular expression of Python that a whole row has to match; its named groups, `(?P<name>...)`, are the columns. A group that takes "
            "no part is null."
        ),
        "row_start": setting.name(
            "A regular expression that the first line of each row begins with; lines that do not are part of the row before them (stack traces). The "
            "last row of a log that is still written waits for the one behind it. Default: each line is a row."
        ),
        "encoding": ENCODING,
        "max_row_bytes": LONGEST,
    },
) | {"minProperties": 1}


@dataclass(frozen=True)
class LogSettings:
    """`log` of a stream."""

    pattern: str | None = None
    expression: str | None = None
    row_start: str | None = None
    encoding: str | None = None
    max_row_bytes: int = 16 << 20


def log_settings(said: Mapping[str, Any], _path: str) -> LogSettings:
    """Return what the section says, of a config that fits its schema."""
    return LogSettings(**said)


def log_problems(said: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what a schema cannot say about the section, at ``place`` of the config."""
    if ("pattern" in said) == ("expression" in said):
        yield f"Expected one of `{place}.pattern` ({', '.join(PATTERNS)}) and `{place}.expression`, got {'both' if 'pattern' in said else 'none'}"
    for key in ("expression", "row_start"):
        problem = _expression_problem(said[key]) if key in said else None
        if problem:
            yield f"Expected a regular expression of Python at `{place}.{key}`, got one that is none: {problem}"
        elif key == "expression" and "expression" in said and not re.compile(said[key]).groupindex:
            yield f"Expected named groups, `(?P<name>...)`, in `{place}.expression`, got none: they are the columns"
        elif key == "row_start" and "row_start" in said and re.compile(said[key]).match(""):
            yield f"Expected an expression at `{place}.row_start` that not every line begins with, got one that matches nothing at all"
    yield from encoding_problems(said, place)


def _expression_problem(text: str) -> str | None:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return None
