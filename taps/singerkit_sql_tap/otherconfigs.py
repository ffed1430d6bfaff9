"""Configs of other taps for the same database: whose they are, and how a run takes them in the place of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from singerkit_shell.takenover import TakenOver
from singerkit_shell.validate import schema_problems

__all__ = ["Other", "taken_over"]


@dataclass(frozen=True)
class Other:
    """Another tap: ``own`` are settings that no other tap calls so, ``also`` those that it shares with others.

    ``take`` puts ours in the place of what is said there, or adds a problem.
    """

    whose: str
    own: Mapping[str, Any]
    also: Mapping[str, Any]
    take: Callable[[TakenOver, Mapping[str, Any]], None]

    @property
    def settings(self) -> Mapping[str, Any]:
        """All of them, as JSON Schema."""
        return {**self.own, **self.also}


def taken_over(
    given: Mapping[str, Any], others: Sequence[Other], schema: Mapping[str, Any]
) -> TakenOver | None:
    """Return a config of one of ``others`` in our words; None: it is none. ``schema`` is that of ours."""
    other = next((one for one in others if not given.keys().isdisjoint(one.own)), None)
    if other is None:
        return None
    made = TakenOver(
        other.whose, {name: value for name, value in given.items() if name not in other.settings}
    )
    said = {name: given[name] for name in given.keys() & other.settings.keys() if given[name] is not None}
    both = {**schema, "properties": {**schema["properties"], **other.settings}}
    made.problems += schema_problems(made.config | said, both)
    if not made.problems:
        other.take(made, said)
    return made
