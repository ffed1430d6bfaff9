"""What a body is, by its Content-Type and by how it begins: for the format that is taken by default, and for errors."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from tap_rest.http.heads import by_name

__all__ = ["Look", "format_of_name", "format_of_type", "is_json", "look_of"]

_TYPES = {
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/jsonlines": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonl": "ndjson",
    "application/json-lines": "ndjson",
    "application/stream+json": "ndjson",
    "text/csv": "csv",
    "application/csv": "csv",
    "text/x-csv": "csv",
    "text/tab-separated-values": "csv",
    "application/xml": "xml",
    "text/xml": "xml",
}
_SUFFIXES = {".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv", ".tsv": "csv", ".xml": "xml"}
_HEAD = 64 * 1024
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.I)
_DELIMITERS = {
    ",": ("`,`", ""),
    ";": ("`;`", ', "csv": {"delimiter": ";"}'),
    "\t": ("a tab", ', "csv": {"delimiter": "\\t"}'),
    "|": ("`|`", ', "csv": {"delimiter": "|"}'),
}


class Look(NamedTuple):
    """What a body is, in words, and the settings that read it, if there are any."""

    words: str
    fits: str | None = None

    @property
    def advice(self) -> str:
        """The settings as the end of a sentence."""
        return f"; set `{self.fits}` in the stream" if self.fits else ""


def format_of_type(headers: Mapping[str, str]) -> str | None:
    """Return the format that a Content-Type names; None where it names none that is read."""
    kind = by_name(headers).get("Content-Type", "").partition(";")[0].strip().lower()
    return _TYPES.get(kind, "xml" if kind.endswith("+xml") and "html" not in kind else None)


def format_of_name(name: str) -> str | None:
    """Return the format that the name of a file tells."""
    return _SUFFIXES.get(PurePosixPath(name).suffix.lower())


def is_json(body: bytes) -> bool:
    """Tell whether a body begins as an object or an array of JSON does."""
    return body[:_HEAD].removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[")


def look_of(body: bytes) -> Look:
    """Return what a body is by how it begins."""
    head = body[:_HEAD].lstrip()
    if not head:
        return Look("an empty body")
    if head.startswith(b"<"):
        return Look("an HTML page") if _HTML.match(head) else Look("XML", '"format": "xml"')
    lines = [line for line in head.splitlines()[:3] if line.strip()]
    if head[:1] in (b"{", b"["):
        is_lines = len(lines) > 1 and all(line.lstrip()[:1] in (b"{", b"[") for line in lines[:2])
        return (
            Look("one JSON value a line", '"format": "ndjson"')
            if is_lines and _is_value(lines[0])
            else Look("JSON")
        )
    return _look_of_table([line.decode("utf-8", "replace") for line in lines])


def _is_value(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _look_of_table(lines: list[str]) -> Look:
    """Tell CSV by what its first two lines have in common."""
    for delimiter, (named, setting) in _DELIMITERS.items():
        counts = [line.count(delimiter) for line in lines[:2]]
        if counts and all(counts) and len(set(counts)) == 1:
            return Look(f"CSV with {named} between its fields", f'"format": "csv"{setting}')
    return Look("text")
