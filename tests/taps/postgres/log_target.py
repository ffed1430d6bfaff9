"""A target in memory that commits at STATEs, to be held against the tables themselves. Shares no code with tap or engine."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Tables"]

Message = Mapping[str, Any]
_OURS = ("_sdc_deleted_at", "version")


class Tables:
    """What a target has committed: rows by key, or every row; and the state. ``keys``: of each stream."""

    def __init__(self, keys: Mapping[str, Sequence[str]]) -> None:
        self.keys = keys
        self.rows: dict[str, dict[Any, dict[str, Any]]] = {name: {} for name in keys}
        self.state: dict[str, Any] = {}
        self._count = 0

    def load(self, messages: Sequence[Message], upto: int | None = None) -> None:
        """Take the messages up to the STATE with this number, the first being 0; those behind it never come."""
        number, kept = -1, copy.deepcopy((self.rows, self.state))
        for message in messages:
            match message["type"]:
                case "RECORD":
                    self._put(message["stream"], {**message["record"], "version": message["version"]})
                case "ACTIVATE_VERSION":
                    rows = self.rows[message["stream"]]
                    self.rows[message["stream"]] = {
                        key: row for key, row in rows.items() if row["version"] == message["version"]
                    }
                case "STATE":
                    number += 1
                    self.state = message["value"]
                    kept = copy.deepcopy((self.rows, self.state))
                    if number == upto:
                        return
        self.rows, self.state = kept

    def _put(self, stream: str, record: dict[str, Any]) -> None:
        self._count += 1
        key = tuple(record[name] for name in self.keys[stream]) or self._count
        rows = self.rows[stream]
        rows[key] = {**rows.get(key, {}), **record}
        if self.keys[stream] and record["_sdc_deleted_at"]:
            del rows[key]

    def table(self, stream: str) -> list[dict[str, Any]]:
        """Return the rows that there are; without a key a row that was deleted takes one that was there with it."""
        rows: Counter[str] = Counter()
        for row in self.rows[stream].values():
            text = json.dumps({name: row[name] for name in sorted(row.keys() - set(_OURS))}, default=str)
            rows[text] += -1 if row["_sdc_deleted_at"] else 1
        assert all(count >= 0 for count in rows.values()), rows
        return [json.loads(text) for text in sorted(rows.elements())]
