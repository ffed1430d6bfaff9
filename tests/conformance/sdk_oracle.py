"""What must stand in a target after a Singer file, worked out in the simplest way there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from singerkit_check.suite.singer import parse_line

__all__ = ["REFUSED", "expected_rows", "same_rows"]

REFUSED = {"invalid_schema", "record_before_schema", "record_missing_key_property"}
"""Files of singer-sdk that a target must not accept; nothing of them may be stored."""

Rows = list[dict[str, Any]]


def expected_rows(path: Path, *, appends: bool = False) -> dict[str, Rows]:
    """Apply the messages of a file one by one; a field of the SCHEMA that is missing from a row is null."""
    keys: dict[str, list[str]] = {}
    declared: dict[str, dict[str, None]] = {}
    rows: dict[str, Rows] = {}
    for line in path.read_bytes().splitlines():
        message = parse_line(line)
        stream = message.get("stream", "")
        if message["type"] == "SCHEMA":
            keys[stream] = message.get("key_properties", [])
            declared[stream] = dict.fromkeys(message["schema"].get("properties", {}))
            rows.setdefault(stream, [])
        elif message["type"] == "RECORD":
            record = {**declared.get(stream, {}), **message["record"]}
            _apply(rows.setdefault(stream, []), record, [] if appends else keys.get(stream, []))
    return {stream: [] for stream in rows} if path.stem in REFUSED else rows


def _apply(rows: Rows, record: dict[str, Any], key: list[str]) -> None:
    for row in rows:
        if key and all(row[name] == record[name] for name in key):
            row.update(record)
            return
    rows.append(dict(record))


def same_rows(found: Rows, expected: Rows, replaced: Mapping[str, str] | None = None) -> bool:
    """Compare without regard to order, to metadata columns, and to null against absent."""
    return sorted(map(_plain, found)) == sorted(_plain(_replace(row, replaced or {})) for row in expected)


def _plain(row: dict[str, Any]) -> str:
    kept = {key: row[key] for key in sorted(row) if row[key] is not None and not key.startswith("_sdc_")}
    return repr(kept)


def _replace(value: Any, replaced: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for old, new in replaced.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, dict):
        return {key: _replace(item, replaced) for key, item in value.items()}
    return [_replace(item, replaced) for item in value] if isinstance(value, list) else value
