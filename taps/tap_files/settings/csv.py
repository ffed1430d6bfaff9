"""`csv` of a stream: how CSV is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.settings import setting
from tap_files.settings.lines import LINES, LineSettings, line_settings, lines_problems

__all__ = ["CSV", "CsvSettings", "csv_problems", "csv_settings"]

_TABS = (".tsv", ".tab")

CSV = setting.group(
    "How CSV is written. Nothing of it is guessed. Needs `format` `csv`.",
    {
        "delimiter": setting.name(
            "What stands between two fields, one character. Default `,`, of files whose names end in `.tsv` or `.tab` a tab.",
            maxLength=1,
        ),
        "quote": {
            "type": "string",
            "maxLength": 1,
            "secret": False,
            "default": '"',
            "description": 'What stands around a field, doubled inside it; `""` for nothing.',
        },
        "escape": setting.name(
            "A character that takes the meaning from the one behind it. Default: none.", maxLength=1
        ),
        "header": setting.name(
            "Where the names of the columns are: `first`, in the first line that is neither skipped, blank nor a comment (beside `names`: it is "
            "passed over); `none`: nowhere, they are `column_1`, `column_2` and so on. Default: `first`; beside `names` there is no header.",
            enum=["first", "none"],
        ),
        "names": setting.names("The names of the columns, in place of those in the header."),
        "comment": setting.name("What a line begins with that is no row: `#`. Default: none."),
        "short_rows": setting.name(
            "What becomes of a row with fewer fields than there are columns: it is a bad row (`bad`), or what lacks is null (`pad`).",
            enum=["bad", "pad"],
            default="bad",
        ),
        "long_rows": setting.name(
            "What becomes of a row with more fields than there are columns: it is a bad row (`bad`), or the rest of it is left out (`cut`).",
            enum=["bad", "cut"],
            default="bad",
        ),
        "max_row_bytes": setting.count(
            "The longest row, in bytes. A longer one is a bad row; so is one whose quote is not closed within them, and the row behind the "
            "line of that quote is read.",
            default=8 << 20,
            most=1 << 30,
            least=1 << 16,
        ),
        **LINES,
    },
)


@dataclass(frozen=True, kw_only=True)
class CsvSettings(LineSettings):
    """`csv` of a stream."""

    delimiter: str = ","
    is_delimiter_said: bool = False
    quote: str = '"'
    escape: str | None = None
    has_header: bool = True
    names: tuple[str, ...] = ()


def csv_settings(said: Mapping[str, Any], path: str) -> CsvSettings:
    """Return what the section says, of a config that fits its schema; ``path``: the pattern of the files."""
    own = {key: value for key, value in said.items() if key not in ("header", "names")}
    names = tuple(said.get("names", ()))
    return CsvSettings(
        **{"delimiter": "\t" if _is_of_tabs(path) else ",", **line_settings(own)},
        is_delimiter_said="delimiter" in said,
        has_header=said.get("header", "none" if names else "first") == "first",
        names=names,
    )


def _is_of_tabs(path: str) -> bool:
    return any(ending in path.lower().rpartition("/")[2] for ending in _TABS)


def csv_problems(said: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what a schema cannot say about the section, at ``place`` of the config."""
    marks = [
        said.get("delimiter", ""),
        said.get("quote", '"'),
        said.get("escape", ""),
        said.get("comment", "")[:1],
    ]
    there = [mark for mark in marks if mark]
    if len(set(there)) < len(there) or set(there) & set("\r\n") or ("delimiter" not in said and "," in there):
        yield (
            f"Expected different characters, none of them an end of line, at `delimiter`, `quote`, `escape` and the beginning of `comment` of "
            f"`{place}`"
        )
    if "\0" in there:
        yield f"Expected characters other than NUL at `{place}`"
    if said.get("header") == "none" and "names" in said:
        yield f"`{place}.header` `none` has no effect beside `{place}.names`; take it out"
    names = said.get("names", ["a"])
    if not names or len(set(names)) < len(names) or not all(map(str.strip, names)):
        yield f"Expected a different name for each column at `{place}.names`"
    yield from lines_problems(said, place)
