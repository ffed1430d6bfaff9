"""How the rows of each stream go into its table: `load_method`, one word for all streams or by globs over their names."""

from __future__ import annotations

import enum
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import nearest

__all__ = ["METHODS", "Method", "Methods", "method_problems", "methods_of"]

_ALL = "*"


class Method(enum.Enum):
    """``word`` is what the config says."""

    UPSERT = "upsert"
    APPEND = "append"


METHODS: Mapping[str, Method] = {method.value: method for method in Method} | {"append-only": Method.APPEND}
"""What the config may say; `append-only` is what `append` was called first."""


@dataclass(frozen=True)
class Methods:
    """The methods by pattern. Of several that match a stream the most exact one counts."""

    by_pattern: Mapping[str, Method] = field(default_factory=lambda: {_ALL: Method.UPSERT})

    def of(self, stream: str) -> Method:
        """Return how the rows of a stream go into its table; by default they are upserted.

        Raises:
            ConfigurationError: two patterns are as exact as each other, and say different things.
        """
        found = [pattern for pattern in self.by_pattern if _matches(pattern, stream)]
        if not found:
            return Method.UPSERT
        exactness = max(_exactness(pattern, stream) for pattern in found)
        best = [pattern for pattern in found if _exactness(pattern, stream) == exactness]
        other = next((one for one in best if self.by_pattern[one] is not self.by_pattern[best[0]]), None)
        if other is not None:
            raise ConfigurationError(
                f"Expected one pattern at `load_method` that is the most exact for stream `{stream}`, got `{best[0]}` and `{other}`, which "
                f"say different things; nothing of this stream was written: name the stream itself there, then run again."
            )
        return self.by_pattern[best[0]]

    def unmatched(self, streams: Collection[str]) -> list[str]:
        """Return the patterns that match none of the streams."""
        return [
            pattern
            for pattern in self.by_pattern
            if pattern != _ALL and not any(_matches(pattern, stream) for stream in streams)
        ]

    def may_be(self, method: Method) -> bool:
        """Tell whether any stream may have a method."""
        return method in self.by_pattern.values()

    @property
    def is_one(self) -> bool:
        """Whether all streams have one method."""
        return _ALL in self.by_pattern and len({*self.by_pattern.values()}) == 1


def methods_of(value: Any) -> Methods:
    """Return what `load_method` says; of what has `method_problems` nothing."""
    return Methods({pattern: METHODS[word] for pattern, word in _read(value).items() if _is_known(word)})


def method_problems(value: Any) -> list[str]:
    """Say what is wrong with `load_method`, a sentence each without its full stop."""
    said = _read(value)
    is_by_pattern = not isinstance(value, str) or said != {_ALL: value}
    return [
        _problem(f"load_method.{pattern}" if is_by_pattern else "load_method", word)
        for pattern, word in said.items()
        if not _is_known(word)
    ]


def _is_known(word: Any) -> bool:
    return isinstance(word, str) and word in METHODS


def _read(value: Any) -> Mapping[str, Any]:
    """Return the words by pattern; an object that comes from the environment is a text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {_ALL: value}
    return value if isinstance(value, Mapping) else {_ALL: value}


def _problem(place: str, word: Any) -> str:
    near = nearest(word, list(METHODS)) if isinstance(word, str) else None
    hint = f" (did you mean `{near}`?)" if near else ""
    expected = ", ".join(f"`{method.value}`" for method in Method)
    return f"Expected one of {expected}, got `{json.dumps(word)[:80] if not isinstance(word, str) else word[:80]}` at {place}{hint}"


def _matches(pattern: str, stream: str) -> bool:
    return pattern == stream or fnmatchcase(stream, pattern)


def _exactness(pattern: str, stream: str) -> tuple[bool, int]:
    """A name is more exact than any glob, and a glob that has more letters than one with fewer."""
    return pattern == stream, sum(letter not in "*?[]!" for letter in pattern)
