"""What a run of a database tap has written, for the tests of each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Result", "of_column", "root"]


@dataclass
class Result:
    """What a run has written; ``stream``: the one that is meant where none is named."""

    messages: list[dict[str, Any]]
    stream: str

    def of_type(self, kind: str, stream: str | None = None) -> list[dict[str, Any]]:
        return [one for one in self.messages if one["type"] == kind and stream in (None, one.get("stream"))]

    def rows(self, stream: str | None = None) -> list[dict[str, Any]]:
        return [message["record"] for message in self.of_type("RECORD", stream or self.stream)]

    def column(self, name: str, stream: str | None = None) -> list[Any]:
        return [row[name] for row in self.rows(stream)]

    def properties(self, stream: str | None = None) -> dict[str, Any]:
        return dict(self.of_type("SCHEMA", stream or self.stream)[-1]["schema"]["properties"])

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.of_type("STATE")[-1]["value"])


def root(entry: dict[str, Any]) -> dict[str, Any]:
    """The metadata of the stream itself in a catalog entry."""
    return next(item["metadata"] for item in entry["metadata"] if not item["breadcrumb"])


def of_column(entry: dict[str, Any], column: str) -> dict[str, Any]:
    """The metadata of a column in a catalog entry."""
    return next(
        item["metadata"] for item in entry["metadata"] if item["breadcrumb"] == ["properties", column]
    )
