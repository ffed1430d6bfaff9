"""`csv` of a stream: how values stand apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CSV", "CsvSettings", "csv_problems", "csv_settings"]

CSV: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "description": "How the text of CSV files is cut into values.",
    "properties": {
        "delimiter": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1,
            "secret": False,
            "description": "The character between two values. Default: a comma; a tab in files that end with `.tsv`.",
        },
    },
}


@dataclass(frozen=True, slots=True)
class CsvSettings:
    """How values stand apart."""

    delimiter: str = ","


def csv_settings(said: Mapping[str, Any], path: str) -> CsvSettings:
    """Return the settings of a section; ``path``: the pattern of the files."""
    return CsvSettings(said.get("delimiter", "\t" if ".tsv" in path.lower() else ","))


def csv_problems(said: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what a JSON Schema cannot say about a section."""
    if said.get("delimiter", ",") in ('"', "\n", "\r"):
        yield f"Expected a delimiter that is neither a quote nor the end of a line at `{place}.delimiter`"
