"""`jsonl` of a stream: how lines of JSON are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.formats.encodings import codec_named
from tap_files.settings import setting

__all__ = ["ENCODING", "JSONL", "LONGEST", "JsonLinesSettings", "encoding_problems", "jsonl_settings"]

ENCODING = setting.name(
    "The encoding, for instance `windows-1252` or `utf-16-le`. Default: as the BOM says (UTF-8, UTF-16, UTF-32), else UTF-8. It is never "
    "guessed."
)
LONGEST = setting.count(
    "The longest row, in bytes. A longer one is a bad row.", default=16 << 20, most=64 << 20, least=1000
)

JSONL = setting.group(
    "How lines of JSON are written. Needs `format` `jsonl`.", {"encoding": ENCODING, "max_row_bytes": LONGEST}
)


@dataclass(frozen=True)
class JsonLinesSettings:
    """`jsonl` of a stream."""

    encoding: str | None = None
    max_row_bytes: int = 16 << 20


def jsonl_settings(said: Mapping[str, Any], _path: str) -> JsonLinesSettings:
    """Return what the section says, of a config that fits its schema."""
    return JsonLinesSettings(**said)


def encoding_problems(said: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what is wrong with `encoding` of a section."""
    encoding = said.get("encoding")
    if encoding is not None and codec_named(encoding) is None:
        yield f"Expected an encoding of files at `{place}.encoding`, got `{encoding}`"
