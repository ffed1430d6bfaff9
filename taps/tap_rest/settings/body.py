"""What a body is and how rows stand in it: `format` and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tap_rest.charsets import codec_named
from tap_rest.settings import setting

__all__ = ["BODY", "CsvSettings", "body_problems"]

BODY = {
    "format": setting.text(
        "What bodies are: `json`; `ndjson`, one JSON value a line; `csv`. Default: by their Content-Type, else `json`.",
        enum=["json", "ndjson", "csv"],
    ),
    "csv": setting.group(
        "How CSV is written. Needs `format` `csv`.",
        {
            "delimiter": setting.name(
                "What stands between two fields, one character. Default `,`, of `text/tab-separated-values` a tab.",
                minLength=1,
                maxLength=1,
            ),
            "quote": setting.name(
                'What stands around a field, doubled inside it; `""` for nothing. Default `"`.', maxLength=1
            ),
            "escape": setting.name(
                "A character that takes the meaning from the one behind it. Default: none.",
                minLength=1,
                maxLength=1,
            ),
            "names": setting.names("The names of the columns, where the body has no header."),
            "skip_lines": {
                "type": "integer",
                "minimum": 0,
                "description": "Lines before the header, or before the first row. Default 0.",
            },
            "encoding": setting.name(
                "The charset, whatever the Content-Type says, for instance `windows-1252`. Default: by the Content-Type, else UTF-8."
            ),
            "nulls": setting.names('Texts that mean null. Default `[""]`.'),
        },
    ),
}


class CsvSettings(msgspec.Struct, frozen=True):
    """`csv`."""

    delimiter: str | None = None
    quote: str = '"'
    escape: str | None = None
    names: tuple[str, ...] = ()
    skip_lines: int = 0
    encoding: str | None = None
    nulls: tuple[str, ...] = ("",)


def body_problems(stream: Mapping[str, Any], place: str) -> list[str]:
    """Return what its settings of bodies say against each other."""
    problems = []
    kind = stream.get("format")
    if "csv" in stream and kind != "csv":
        problems.append(f'`{place}.csv` has no effect without `"format": "csv"` in `{place}`')
    if kind == "csv":
        problems += _csv_problems(stream.get("csv", {}), place)
    path = stream.get("records", "$[*]")
    if kind in ("csv", "ndjson") and not path.removeprefix("$").startswith("["):
        problems.append(
            f"Expected `{place}.records` to take rows of an array (`$[*]`, which is the default), got `{path}`: a body of the format "
            f"`{kind}` is read as an array of its rows"
        )
    return problems


def _csv_problems(csv: Mapping[str, Any], place: str) -> list[str]:
    problems = []
    marks = [csv[key] for key in ("delimiter", "quote", "escape") if csv.get(key)]
    if len(set(marks)) < len(marks) or any(mark in "\r\n" for mark in marks):
        problems.append(
            f"Expected different characters, none of them an end of line, at `delimiter`, `quote` and `escape` of `{place}.csv`"
        )
    if "encoding" in csv and codec_named(csv["encoding"]) is None:
        problems.append(
            f"Expected a charset at `{place}.csv.encoding`, got `{csv['encoding']}`, which is unknown"
        )
    names = csv.get("names", ["a"])
    if not names or len(set(names)) < len(names) or not all(names):
        problems.append(f"Expected a different name for each column at `{place}.csv.names`")
    return problems
