"""What a config of another program becomes: our `map`, what is otherwise with it, and what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CannotSay", "Converted", "Operation", "Shape"]

Operation = dict[str, Any]
"""One entry of our map, as in ``{"op": "drop", "fields": ["ssn"]}``."""
Shape = Mapping[str, Any]


class CannotSay(Exception):
    """No operations of ours say this: why, and what there is in its place, as the rest of a sentence."""


@dataclass
class Converted:
    """Operations by stream; sentences about what they do otherwise, and about what they leave out."""

    streams: dict[str, list[Operation]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Tell what is otherwise, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def refuse(self, place: str, why: object) -> None:
        """Tell what stands at ``place`` and is left out."""
        self.problems.append(f"`{place}` {why}")
