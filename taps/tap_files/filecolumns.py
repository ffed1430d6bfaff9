"""The columns that say where a row comes from: its file, its number there, and what is known of the file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tap_files.places.contract import Found

__all__ = ["FILE_COLUMNS", "of_file"]

_TEXT = {"type": ["null", "string"]}

FILE_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "_file": {"type": "string"},
    "_row": {"type": "integer"},
    "_line": {"type": ["null", "integer"]},
    "_modified": {"type": ["null", "string"], "format": "date-time"},
    "_etag": _TEXT,
}
"""Their properties, by name."""


def of_file(file: str, found: Found) -> dict[str, str | None]:
    """Return those that all rows of a file have alike."""
    return {"_file": file, "_modified": _moment(found.modified), "_etag": found.version}


def _moment(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"
