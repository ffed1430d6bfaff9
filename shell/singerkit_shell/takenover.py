"""A config of another program in our words: what becomes of its settings is said by who knows both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TakenOver"]


@dataclass
class TakenOver:
    """``whose``: as `MeltanoLabs' target-postgres`; what is set, what their defaults added, and what cannot be taken."""

    whose: str
    config: dict[str, Any]
    added: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def rename(self, theirs: str, ours: str, value: Any) -> None:
        """Have a setting of theirs be one of ours, which stands below others where ``ours`` has a point in it."""
        *path, name = ours.split(".")
        place = self.config
        for part in path:
            place[part] = place = dict(place.get(part) or {})
        if name in place:
            self.problems.append(f"`{theirs}` and `{ours}` are one setting; remove one of them")
        else:
            place[name] = value

    def told(self) -> list[str]:
        """What the run warns of."""
        if not self.added:
            return [f"{note}." for note in self.notes]
        values = ", ".join(f"`{name}` is {json.dumps(value)}" for name, value in sorted(self.added.items()))
        return [
            *(f"{note}." for note in self.notes),
            f"This is a config of {self.whose} by its names, so that what it leaves out is as there: {values}; write them down where that "
            "is meant.",
        ]
