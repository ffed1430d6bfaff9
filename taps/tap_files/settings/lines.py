"""What `csv` and `fixed_width` of a stream have in common: lines that are no rows, the encoding, and what a text means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tap_files.formats.encodings import codec_named
from tap_files.settings import setting

__all__ = ["LINES", "LineSettings", "line_settings", "lines_problems"]

LINES: dict[str, Any] = {
    "skip_lines": setting.count(
        "Lines at the beginning of each file that are passed over.", default=0, most=1_000_000, least=0
    ),
    "footer_lines": setting.count(
        "Lines at the end of each file that are no rows. In a file that grows they are those that stand last.",
        default=0,
        most=100_000,
        least=0,
    ),
    "encoding": setting.name(
        "The encoding, for instance `windows-1252`, `shift_jis`, `utf-16-le`, `cp500`. Default: as the BOM says (UTF-8, UTF-16, UTF-32), else "
        "UTF-8. It is never guessed."
    ),
    "nulls": {
        "type": "array",
        "items": {"type": "string"},
        "secret": False,
        "default": [""],
        "description": "Texts that mean null.",
    },
    "decimal_comma": setting.names(
        "Columns whose numbers have a comma before the decimals: `1,5` becomes `1.5`, digit by digit. What is no number stays as it is."
    ),
    "thousands": {
        "type": "object",
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 1},
        "secret": False,
        "description": "Column -> what stands between the thousands of its numbers, as `.`, `,`, `'` or a space: it is taken out of numbers "
        "in which it stands before each three digits. What is no such number stays as it is.",
    },
}


@dataclass(frozen=True, kw_only=True)
class LineSettings:
    """What both have."""

    skip_lines: int = 0
    footer_lines: int = 0
    comment: str | None = None
    encoding: str | None = None
    nulls: frozenset[str] = frozenset([""])
    decimal_comma: tuple[str, ...] = ()
    thousands: Mapping[str, str] = field(default_factory=dict)
    short_rows: str = "bad"
    long_rows: str = "bad"
    max_row_bytes: int = 8 << 20


def line_settings(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a section says, as `LineSettings` has it, the keys of one format among it as they stand."""
    found = dict(said)
    for key, make in (("nulls", frozenset), ("decimal_comma", tuple)):
        if key in found:
            found[key] = make(found[key])
    return found


def lines_problems(said: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what a schema cannot say about these settings, at ``place`` of the config."""
    if "encoding" in said and codec_named(said["encoding"]) is None:
        yield f"Expected an encoding of files at `{place}.encoding`, got `{said['encoding']}`, which is none, or one in which lines cannot be told"
    for key in ("decimal_comma", "nulls"):
        if len(set(said.get(key, ()))) < len(said.get(key, ())):
            yield f"Expected each text once at `{place}.{key}`"
    for name, mark in said.get("thousands", {}).items():
        point = "," if name in said.get("decimal_comma", ()) else "."
        if mark == point or mark.isdigit() or mark in "+-\r\n":
            yield f"Expected what stands between thousands at `{place}.thousands.{name}`, got `{mark}`, which stands before decimals or is part of a number"
    names = said.get("names")
    if names is not None:
        for key in ("decimal_comma", "thousands"):
            for name in said.get(key, ()):
                if name not in names:
                    yield f"`{place}.{key}` names the column `{name}`, which is not in `{place}.names`"
