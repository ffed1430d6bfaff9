"""Settings by globs over names, of which the most exact one counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from singerkit_shell.errors import ConfigurationError

__all__ = ["EVERY", "most_exact", "unmatched"]

_T = TypeVar("_T")

EVERY = "*"


def most_exact(given: Mapping[str, _T], name: str, setting: str, what: str = "stream") -> _T | None:
    """Return what is given for a name by the most exact of the patterns that match it, None where none does.

    Raises:
        ConfigurationError: two patterns are as exact as each other, and say different things.
    """
    found = [pattern for pattern in given if _matches(pattern, name)]
    if not found:
        return None
    exactness = max(_exactness(pattern, name) for pattern in found)
    best = [pattern for pattern in found if _exactness(pattern, name) == exactness]
    other = next((one for one in best if given[one] != given[best[0]]), None)
    if other is not None:
        raise ConfigurationError(
            f"Expected one pattern at `{setting}` that is the most exact for {what} `{name}`, got `{best[0]}` and `{other}`, which "
            f"say different things; nothing of this stream was written: name the {what} itself there, then run again."
        )
    return given[best[0]]


def unmatched(given: Iterable[str], names: Collection[str]) -> list[str]:
    """Return the patterns that match none of the names."""
    return [
        pattern
        for pattern in given
        if pattern != EVERY and not any(_matches(pattern, name) for name in names)
    ]


def _matches(pattern: str, name: str) -> bool:
    return pattern == name or fnmatchcase(name, pattern)


def _exactness(pattern: str, name: str) -> tuple[bool, int]:
    """A name is more exact than any glob, and a glob that has more letters than one with fewer."""
    return pattern == name, sum(letter not in "*?[]!" for letter in pattern)
