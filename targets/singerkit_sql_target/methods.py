"""How the rows of each stream go into its table: `load_method`, one word for all streams or by globs over their names."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from singerkit_catalog.patterns import EVERY, ByPattern, known_words, word_problems

__all__ = ["METHODS", "WHOLE", "Method", "Methods", "method_problems", "methods_of"]


class Method(enum.Enum):
    """``word`` is what the config says."""

    UPSERT = "upsert"
    APPEND = "append"
    OVERWRITE = "overwrite"
    HISTORY = "history"
    REPLACE = "delete+insert"


WHOLE = (Method.OVERWRITE, Method.REPLACE)
"""What takes the place of rows that did not come."""

METHODS: Mapping[str, Method] = {method.value: method for method in Method} | {"append-only": Method.APPEND}
"""What the config may say; `append-only` is what `append` was called first."""


@dataclass(frozen=True)
class Methods(ByPattern[Method]):
    """The methods by pattern; by default rows are upserted."""

    by_pattern: Mapping[str, Method] = field(default_factory=lambda: {EVERY: Method.UPSERT})
    setting: str = "load_method"
    default: Method = Method.UPSERT
    owners: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The streams whose lists others have the elements of, by the names of those, which follow them."""

    def of(self, stream: str) -> Method:
        owner = self.owners.get(stream)
        method = super().of(owner or stream)
        # Elements go with their rows, and those of rows that come are replaced one by one.
        return Method.UPSERT if owner is not None and method in WHOLE else method

    def may_be(self, method: Method) -> bool:
        """Tell whether any stream may have a method."""
        return method in self.by_pattern.values()

    @property
    def is_one(self) -> bool:
        """Whether all streams have one method."""
        return EVERY in self.by_pattern and len({*self.by_pattern.values()}) == 1


def methods_of(value: Any, owners: Mapping[str, str] | None = None) -> Methods:
    """Return what `load_method` says; of what has `method_problems` nothing."""
    return Methods(known_words(value, METHODS), owners={} if owners is None else owners)


def method_problems(value: Any) -> list[str]:
    """Say what is wrong with `load_method`, a sentence each without its full stop."""
    return word_problems("load_method", value, METHODS, [method.value for method in Method])
