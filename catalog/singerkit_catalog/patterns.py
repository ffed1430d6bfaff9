"""Settings by globs over names, of which the most exact one counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import nearest

__all__ = [
    "EVERY",
    "NAME",
    "ByPattern",
    "known_words",
    "most_exact",
    "said_by_pattern",
    "unmatched",
    "word_problems",
]

_T = TypeVar("_T")

EVERY = "*"
NAME: Mapping[str, Any] = {"type": "string", "minLength": 1, "secret": False}
"""The schema of a setting that names something."""


def most_exact(given: Mapping[str, _T], name: str, setting: str, what: str = "stream") -> _T | None:
    """Return what is given for a name by the most exact of the patterns that match it, None where none does.

    Raises:
        ConfigurationError: two patterns are as exact as each other, and say different things.
    """
    if len(given) == 1 and EVERY in given:
        return given[EVERY]
    found = [pattern for pattern in given if _matches(pattern, name)] if given else []
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


@dataclass(frozen=True)
class ByPattern(Generic[_T]):
    """What a ``setting`` says of streams by pattern; of several that match a stream the most exact one counts."""

    by_pattern: Mapping[str, _T]
    setting: str
    default: _T

    def of(self, stream: str) -> _T:
        """Return what holds for a stream.

        Raises:
            ConfigurationError: two patterns are as exact as each other, and say different things.
        """
        return most_exact(self.by_pattern, stream, self.setting) or self.default

    def unmatched(self, streams: Collection[str]) -> list[str]:
        """Return the patterns that match none of the streams."""
        return unmatched(self.by_pattern, streams)


def known_words(value: Any, words: Mapping[str, _T]) -> dict[str, _T]:
    """Return what a setting says by pattern, as ``words`` mean it; of what has `word_problems` nothing."""
    return {
        pattern: words[word] for pattern, word in said_by_pattern(value).items() if _is_known(word, words)
    }


def word_problems(setting: str, value: Any, words: Collection[str], told: Collection[str] = ()) -> list[str]:
    """Say what is wrong with a setting that is a word, or words by pattern, a sentence each without its full stop.

    ``told`` are those of ``words`` that a sentence names.
    """
    said = said_by_pattern(value)
    is_by_pattern = not isinstance(value, str) or said != {EVERY: value}
    return [
        _problem(f"{setting}.{pattern}" if is_by_pattern else setting, word, words, told or words)
        for pattern, word in said.items()
        if not _is_known(word, words)
    ]


def _is_known(word: Any, words: Collection[str]) -> bool:
    return isinstance(word, str) and word in words


def said_by_pattern(
    value: Any, is_one: Callable[[Mapping[str, Any]], bool] = lambda _said: False
) -> Mapping[str, Any]:
    """Return what is said by pattern; an object that comes from the environment is a text, and one that ``is_one`` is said of all."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {EVERY: value}
    return value if isinstance(value, Mapping) and not is_one(value) else {EVERY: value}


def _problem(place: str, word: Any, words: Collection[str], told: Collection[str]) -> str:
    near = nearest(word, list(words)) if isinstance(word, str) else None
    hint = f" (did you mean `{near}`?)" if near else ""
    expected = ", ".join(f"`{one}`" for one in told)
    got = word[:80] if isinstance(word, str) else json.dumps(word)[:80]
    return f"Expected one of {expected}, got `{got}` at {place}{hint}"
