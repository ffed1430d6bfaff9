"""`fixed_width` of a stream: which characters of a line are which column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.settings import setting
from tap_files.settings.lines import LINES, LineSettings, line_settings, lines_problems

__all__ = ["FIXED_WIDTH", "FixedWidthSettings", "Span", "fixed_width_problems", "fixed_width_settings"]

_MOST = 1_000_000
_place = {"type": "integer", "minimum": 1, "maximum": _MOST}

FIXED_WIDTH = setting.group(
    "Which characters of a line are which column. Needs `format` `fixed_width`.",
    {
        "columns": {
            "type": "array",
            "minItems": 1,
            "description": "The columns, from the left to the right: of each its name, and its width or the place from and to which it stands.",
            "items": setting.group(
                "A column.",
                {
                    "name": setting.name("The name of the column."),
                    "width": {**_place, "description": "How wide it is. It begins behind the column before."},
                    "from": {**_place, "description": "Where it begins, counted from 1."},
                    "to": {**_place, "description": "Where it ends: what stands there belongs to it."},
                },
                required=["name"],
            ),
        },
        "measure": setting.name(
            "What widths and places count: `characters`, or `bytes` of the encoding.",
            enum=["characters", "bytes"],
            default="characters",
        ),
        "trim": setting.name(
            "On which side of a value spaces are taken off: `both`, `left`, `right` or `none`.",
            enum=["both", "left", "right", "none"],
            default="both",
        ),
        "short_rows": setting.name(
            "What becomes of a line that ends before the last column does: it is a bad row (`bad`), or it is read as if it had spaces there "
            "(`pad`).",
            enum=["bad", "pad"],
            default="bad",
        ),
        "long_rows": setting.name(
            "What becomes of a line in which something other than spaces stands behind the last column: it is a bad row (`bad`), or that is "
            "left out (`cut`).",
            enum=["bad", "cut"],
            default="bad",
        ),
        **LINES,
    },
    required=["columns"],
)


@dataclass(frozen=True)
class Span:
    """What of a line is a column: from ``begin`` up to ``end``, counted from 0."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True, kw_only=True)
class FixedWidthSettings(LineSettings):
    """`fixed_width` of a stream."""

    columns: tuple[Span, ...]
    measure: str = "characters"
    trim: str = "both"


def fixed_width_settings(said: Mapping[str, Any], _path: str) -> FixedWidthSettings:
    """Return what the section says, of a config that fits its schema."""
    return FixedWidthSettings(**{**line_settings(said), "columns": tuple(_spans(said["columns"]))})


def _spans(columns: list[Mapping[str, Any]]) -> Iterator[Span]:
    end = 0
    for column in columns:
        begin = column["from"] - 1 if "from" in column else end
        end = column["to"] if "to" in column else begin + column["width"]
        yield Span(column["name"], begin, end)


def fixed_width_problems(said: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what a schema cannot say about the section, at ``place`` of the config."""
    names = [column["name"] for column in said["columns"]]
    for number, column in enumerate(said["columns"]):
        keys = set(column) & {"width", "from", "to"}
        if keys not in ({"width"}, {"from", "to"}, {"from", "width"}):
            yield f"Expected `width`, `from` and `to`, or `from` and `width` at `{place}.columns[{number}]`, got {' and '.join(sorted(keys)) or 'none'}"
            return
        if column["name"] in names[:number]:
            yield f"Expected a different name for each column at `{place}.columns`, got `{column['name']}` twice"
    spans = list(_spans(said["columns"]))
    for before, span in zip([Span("", 0, 0), *spans], spans, strict=False):
        if span.begin < before.end or span.end <= span.begin:
            yield f"Expected columns that stand behind each other at `{place}.columns`, got `{span.name}` from {span.begin + 1} to {span.end} behind one that ends at {before.end}"
    yield from lines_problems({**said, "names": names}, place)
