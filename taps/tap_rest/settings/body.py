"""What a body is and how rows stand in it: `format` and what goes with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from singerkit_shell.errors import ConfigurationError
from tap_rest.http.charsets import codec_named
from tap_rest.paths import parse_path
from tap_rest.settings import setting

__all__ = [
    "BODY",
    "FIRST_ROW",
    "ArraysSettings",
    "CsvSettings",
    "XmlSettings",
    "body_problems",
    "with_accept",
]

FIRST_ROW = "first_row"
_ACCEPT = {
    "ndjson": "application/x-ndjson, application/jsonl, application/json;q=0.8",
    "csv": "text/csv",
    "xml": "application/xml, text/xml",
}

BODY = {
    "format": setting.text(
        "What bodies are: `json`; `ndjson`, one JSON value a line; `csv`; `xml`, of which `records` names the elements down to a record "
        "(`$.feed.entry[*]`). Default: by their Content-Type, else `json`.",
        enum=["json", "ndjson", "csv", "xml"],
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
    "zip_members": setting.name(
        "Which files of a zip are read, as a pattern: `*.csv`, `export/*`. Default `*`: all, one after the other.",
        minLength=1,
    ),
    "layout": setting.text(
        'How rows stand at `records`: `objects`; `columns`, an object with one array for each (`{"a": [1, 2], "b": [3, 4]}`); '
        "`arrays`, whose names stand in a header. Default `objects`.",
        enum=["objects", "columns", "arrays"],
    ),
    "arrays": setting.group(
        "Where names and values of rows that are arrays are. Needs `layout` `arrays`.",
        {
            "header": {
                "type": ["string", "array"],
                "items": {"type": "string"},
                "minLength": 1,
                "minItems": 1,
                "secret": False,
                "description": "Path of the names, or of several parts of them: `$.columns`, `$.cols[*].label`; or `first_row`. "
                "Default: `columns`, `fields`, `headers` and the like beside the rows, `dimensionHeaders` above `dimensionValues`.",
            },
            "names": setting.names("The names, where no answer holds them."),
            "cells": setting.names(
                "Paths of the values in a row, one after the other: `$.dimensionValues[*].value`. Default: the row is the array, "
                "or has members whose names end in `Values`."
            ),
        },
    ),
    "xml": setting.group(
        "How XML becomes records. Needs `format` `xml`.",
        {
            "lists": setting.names(
                "Elements of which there may be several beside each other: arrays, also where there is one. Not needed for records, "
                "nor for what `schema` says is an array."
            ),
            "namespaces": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "secret": False,
                "description": "Prefix -> namespace, for names in `records` and of fields, whatever prefix a document has for it. Default: "
                "the prefixes of the document.",
            },
        },
    ),
}


class ArraysSettings(msgspec.Struct, frozen=True):
    """`arrays`."""

    header: str | tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of `header`."""
        if isinstance(self.header, str):
            return () if self.header == FIRST_ROW else (self.header,)
        return self.header


class XmlSettings(msgspec.Struct, frozen=True):
    """`xml`."""

    lists: tuple[str, ...] = ()
    namespaces: dict[str, str] = {}


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
    kind = stream.get("format")
    problems = [
        f'`{place}.{group}` has no effect without `"format": "{group}"` in `{place}`'
        for group in ("csv", "xml")
        if group in stream and kind != group
    ]
    layout = stream.get("layout", "objects")
    if kind in ("csv", "xml") and layout != "objects":
        problems.append(
            f"`{place}.layout` has no effect with `{place}.format` `{kind}`, whose records are made objects"
        )
    problems += _arrays_problems(stream, place)
    if kind == "csv":
        problems += _csv_problems(stream.get("csv", {}), place)
    path = stream.get("records", "$[*]")
    if kind in ("csv", "ndjson") and not path.removeprefix("$").startswith("["):
        problems.append(
            f"Expected `{place}.records` to take rows of an array (`$[*]`, which is the default), got `{path}`: a body of the format "
            f"`{kind}` is read as an array of its rows"
        )
    if kind == "xml" and not _leads_to_elements(stream.get("records")):
        problems.append(
            f"Expected the elements down to a record at `{place}.records`, which `format` `xml` needs, as `$.feed.entry[*]`"
        )
    urls = list(stream.get("xml", {}).get("namespaces", {}).values())
    if len(set(urls)) < len(urls):
        problems.append(f"Expected a different namespace for each prefix at `{place}.xml.namespaces`")
    return problems


def _arrays_problems(stream: Mapping[str, Any], place: str) -> Iterator[str]:
    arrays = stream.get("arrays", {})
    if "arrays" in stream and stream.get("layout") != "arrays":
        yield f'`{place}.arrays` has no effect without `"layout": "arrays"` in `{place}`'
    if "header" in arrays and "names" in arrays and arrays["header"] != FIRST_ROW:
        yield f"`{place}.arrays.header` has no effect beside `{place}.arrays.names`; take one of them out"
    names = arrays.get("names", ["a"])
    if not names or len(set(names)) < len(names) or not all(names):
        yield f"Expected a different name for each column at `{place}.arrays.names`"
    header = arrays.get("header", ())
    for path in ([header] if isinstance(header, str) else header, arrays.get("cells", ())):
        yield from (
            f"Expected the path of an array at `{place}.arrays`, as `$.columns` or `$.cols[*].label`, got `{one}`"
            for one in path
            if one != FIRST_ROW and not _is_plain(one)
        )


def _is_plain(path: str) -> bool:
    """Tell whether a path leads to an array, and in its items at most to one member."""
    return (
        re.fullmatch(r"\$(?:\.[A-Za-z_@][\w@-]*|\['[^'\\]+'\])+(?:\[\*\](?:\.[A-Za-z_]\w*)?)?", path)
        is not None
    )


def with_accept(stream: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Return a stream that asks for its `format` before all others, unless it, or ``headers`` of all streams, say what to ask for."""
    own = stream.get("headers", {})
    wanted = _ACCEPT.get(stream.get("format", ""))
    if wanted is None or any(name.lower() == "accept" for name in (*own, *headers)):
        return dict(stream)
    return {**stream, "headers": {**own, "Accept": f"{wanted}, */*;q=0.5"}}


def _leads_to_elements(path: str | None) -> bool:
    """Tell whether a path names one element after the other."""
    if path is None:
        return False
    try:
        return bool(parse_path(path, "records").names)
    except ConfigurationError:
        return True  # what is wrong with it is said elsewhere


def _csv_problems(csv: Mapping[str, Any], place: str) -> list[str]:
    problems = []
    defaults = {"delimiter": ",", "quote": '"', "escape": ""}
    marks = [mark for mark in ({**defaults, **csv}[key] for key in defaults) if mark]
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
