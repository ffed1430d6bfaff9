"""A few cases for many settings: whichever values of three different settings meet, they stand in one of the cases together.

What goes wrong does so by one setting or by few that meet; all further cases only multiply those. Two that meet are not
enough: of a RESTRICT that was taken for deferred only three together told.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

__all__ = ["threes"]


def threes(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return cases that hold a value of each axis, the same ones each time."""
    places = list(itertools.product(*map(range, map(len, axes))))
    left = set().union(*map(_meeting, places))
    chosen = []
    while left:
        best = max(places, key=lambda place: len(_meeting(place) & left))
        left -= _meeting(best)
        chosen.append(tuple(axis[at] for axis, at in zip(axes, best, strict=True)))
    return chosen


def _meeting(place: tuple[int, ...]) -> set[tuple[tuple[int, int], ...]]:
    return set(itertools.combinations(enumerate(place), 3))
