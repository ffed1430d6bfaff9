"""How a text is written, as far as its beginning shows: encoding, delimiter, quotes, header, null words, commas for points.

A guess that a person looks at; a sync never makes one.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tap_files.formats.contract import UnreadableFile
from tap_files.formats.encodings import coding_of

__all__ = ["Dialect", "dialect_of", "text_of"]

_DELIMITERS = ",;\t|"
_ROWS = 1_000
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+|[+-]?[0-9]+,[0-9]+")
_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:([,' .\u00a0\u202f])[0-9]{3})(?:\1[0-9]{3})*(?:[.,][0-9]+)?")
_NULLS = ("NULL", "null", "NA", "N/A", "n/a", "\\N", "-", "None", "NaN", "nan", "#N/A")
_LIKELY = ("windows-1252", "latin-1")


@dataclass
class Dialect:
    """What a text looks like: ``section`` is that of `csv` in a config; ``doubts`` are sentences."""

    section: dict[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)


def text_of(data: bytes) -> tuple[str, str | None, list[str]]:
    """Return the text of the beginning of a file, the encoding to declare (None: none has to be), and doubts about it."""
    try:
        coding, skipped = coding_of(None, data[:8], "encoding")
    except UnreadableFile as error:
        return data.decode("latin-1"), None, [f"{error}."]
    whole = data[skipped : len(data) - (len(data) - skipped) % coding.unit]
    text = _decoded(whole, coding.codec)
    if text is not None:
        return text, None, []
    for name in _guesses(data):
        text = _decoded(data, name)
        if text is not None:
            return (
                text,
                name,
                [
                    f"Its bytes are no {coding.codec.upper()}; `{name}` is a guess: look at letters with accents below."
                ],
            )
    return (
        data.decode("latin-1"),
        "latin-1",
        ["Its bytes are in no encoding that is known here; look at the rows below."],
    )


def _decoded(data: bytes, codec: str) -> str | None:
    """Return the text; the last character may be cut."""
    for less in range(4):
        try:
            return data[: len(data) - less].decode(codec)
        except UnicodeDecodeError as error:
            if error.end < len(data) - less:
                return None
    return None


def _guesses(data: bytes) -> Iterator[str]:
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        pass
    else:
        found = from_bytes(data).best()
        if found is not None and found.encoding not in ("ascii", "utf_8"):
            yield found.encoding.replace("_", "-")
    yield from _LIKELY


def dialect_of(text: str, default_delimiter: str, *, is_cut: bool) -> Dialect:
    """Return how CSV is written that begins with ``text``; ``is_cut``: its last line may go on."""
    dialect = Dialect()
    comment = _comment_in(text)
    if comment:
        dialect.section["comment"] = comment
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(comment))
    delimiter, quote, rows = _cut_up(text, default_delimiter, is_cut=is_cut)
    if delimiter != default_delimiter:
        dialect.section["delimiter"] = delimiter
    if quote != '"':
        dialect.section["quote"] = quote
    if not rows:
        return dialect
    width = Counter(map(len, rows)).most_common(1)[0][0]
    others = [number for number, row in enumerate(rows, 1) if len(row) != width]
    if others:
        dialect.doubts.append(
            f"{len(others)} of {len(rows)} rows have not {width} fields (the first of them is row {others[0]}): a run ends there, unless `short_rows`, `long_rows` or "
            "`on_bad_row` says otherwise."
        )
    even = [row for row in rows if len(row) == width]
    _look_at_header(dialect, even)
    names = even[0] if "header" not in dialect.section else [f"column_{n}" for n in range(1, width + 1)]
    body = even[1:] if "header" not in dialect.section else even
    _look_at_values(dialect, names, list(zip(*body, strict=True)) if body else [])
    return dialect


def _comment_in(text: str) -> str | None:
    lines = text.splitlines()
    return (
        "#"
        if len(lines) > 1 and lines[0].startswith("#") and any(not line.startswith("#") for line in lines)
        else None
    )


def _cut_up(text: str, default: str, *, is_cut: bool) -> tuple[str, str, list[list[str]]]:
    """Return the delimiter and the quote by which most rows have the same number of fields, and the rows."""
    best: tuple[tuple[float, int, bool], str, str, list[list[str]]] | None = None
    for quote in ('"', "'") if "'" in text and '"' not in text else ('"',):
        for delimiter in dict.fromkeys((default, *_DELIMITERS)):
            rows = _rows(text, delimiter, quote, is_cut=is_cut)
            if not rows:
                continue
            width, count = Counter(map(len, rows)).most_common(1)[0]
            is_quoted = quote == "'" and any(field.startswith("'") for row in rows for field in row)
            score = (0.0 if width == 1 else count / len(rows), width, not is_quoted and delimiter == default)
            if best is None or score > best[0]:
                best = score, delimiter, quote, rows
    return (default, '"', []) if best is None else best[1:]


def _rows(text: str, delimiter: str, quote: str, *, is_cut: bool) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > _ROWS:
                break
    except csv.Error:
        pass
    return rows[:-1] if is_cut and len(rows) > 1 else rows


def _look_at_header(dialect: Dialect, rows: Sequence[Sequence[str]]) -> None:
    first, rest = rows[0], rows[1:]
    looks_like_one = all(name.strip() for name in first) and len(set(first)) == len(first)
    if not looks_like_one or any(_NUMBER.fullmatch(name.strip()) for name in first):
        dialect.section["header"] = "none"
        dialect.doubts.append(
            "The first row does not look like the names of columns (empty, double or a number among them): they are called `column_1` and so on; name them in `names`."
        )
        return
    has_others = any(_NUMBER.fullmatch(value) for row in rest for value in row)
    if rest and not has_others:
        dialect.doubts.append(
            'All columns are texts, so that nothing tells whether the first row is a header: if it is none, say `"header": "none"` in `csv`.'
        )


def _look_at_values(dialect: Dialect, names: Sequence[str], columns: Sequence[Sequence[str]]) -> None:
    nulls, commas, thousands = set[str](), list[str](), dict[str, str]()
    for name, values in zip(names, columns, strict=False):
        there = [value for value in values if value]
        numbers = sum(1 for value in there if _NUMBER.fullmatch(value))
        words = {value for value in there if value in _NULLS}
        if words and numbers and numbers + sum(value in words for value in there) == len(there):
            nulls |= words
        rest = [value for value in there if value not in words]
        if not rest:
            continue
        if numbers < len(rest) and all(_COMMA.fullmatch(value) or value.isdigit() for value in rest):
            commas.append(name)
            if any("." in value for value in rest):
                thousands[name] = "."
        elif marks := _marks_of_thousands(rest):
            thousands[name] = marks
    if nulls:
        dialect.section["nulls"] = ["", *sorted(nulls)]
        dialect.doubts.append(f"Texts among numbers are taken for null (`nulls`): {_listed(sorted(nulls))}.")
    if commas:
        dialect.section["decimal_comma"] = commas
        dialect.doubts.append(
            f"Numbers of {_listed(commas)} have a comma before the decimals (`decimal_comma`)."
        )
    if thousands:
        dialect.section["thousands"] = thousands
        dialect.doubts.append(
            f"Numbers of {_listed(list(thousands))} have marks between thousands (`thousands`)."
        )


def _marks_of_thousands(values: Sequence[str]) -> str:
    """Return what stands between the thousands of all numbers that have four digits and more; "": they have none, or not all are numbers."""
    marks = set()
    for value in values:
        found = _GROUPED.fullmatch(value)
        if found is not None:
            marks.add(found[1])
        elif not _NUMBER.fullmatch(value) or len(value.split(".")[0]) > 3:
            return ""
    return marks.pop() if len(marks) == 1 and marks != {"."} else ""


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words[:5]) + (
        f" and {len(words) - 5} more" if len(words) > 5 else ""
    )
