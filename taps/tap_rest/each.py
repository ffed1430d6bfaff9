"""The values that a stream is read once for each of: every combination of the lists in `for_each`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

__all__ = ["combinations", "is_listed"]

Lists = Mapping[str, Sequence[str | int]]


def combinations(lists: Lists) -> Iterator[dict[str, Any]]:
    """Yield each combination of one value of each list; of no list a single one, which is empty."""
    for values in product(*lists.values()):
        yield dict(zip(lists, values, strict=True))


def is_listed(context: Mapping[str, Any], lists: Lists) -> bool:
    """Tell whether the values of a context are among those of the lists."""
    return all(str(context.get(name)) in map(str, values) for name, values in lists.items())
