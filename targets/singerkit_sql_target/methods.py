"""How the rows of each stream go into its table: `load_method`, one word for all streams or by globs over their names."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from singerkit_sql_target.patterns import EVERY, known_words, most_exact, unmatched, word_problems

__all__ = ["METHODS", "Method", "Methods", "method_problems", "methods_of"]


class Method(enum.Enum):
    """``word`` is what the config says."""

    UPSERT = "upsert"
    APPEND = "append"
    OVERWRITE = "overwrite"
    HISTORY = "history"
    REPLACE = "delete+insert"


METHODS: Mapping[str, Method] = {method.value: method for method in Method} | {"append-only": Method.APPEND}
"""What the config may say; `append-only` is what `append` was called first."""


@dataclass(frozen=True)
class Methods:
    """The methods by pattern. Of several that match a stream the most exact one counts."""

    by_pattern: Mapping[str, Method] = field(default_factory=lambda: {EVERY: Method.UPSERT})

    def of(self, stream: str) -> Method:
        """Return how the rows of a stream go into its table; by default they are upserted.

        Raises:
            ConfigurationError: two patterns are as exact as each other, and say different things.
        """
        return most_exact(self.by_pattern, stream, "load_method") or Method.UPSERT

    def unmatched(self, streams: Collection[str]) -> list[str]:
        """Return the patterns that match none of the streams."""
        return unmatched(self.by_pattern, streams)

    def may_be(self, method: Method) -> bool:
        """Tell whether any stream may have a method."""
        return method in self.by_pattern.values()

    @property
    def is_one(self) -> bool:
        """Whether all streams have one method."""
        return EVERY in self.by_pattern and len({*self.by_pattern.values()}) == 1


def methods_of(value: Any) -> Methods:
    """Return what `load_method` says; of what has `method_problems` nothing."""
    return Methods(known_words(value, METHODS))


def method_problems(value: Any) -> list[str]:
    """Say what is wrong with `load_method`, a sentence each without its full stop."""
    return word_problems("load_method", value, METHODS, [method.value for method in Method])
