"""The operations by the name that a config gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_map.contract import Operation
from singerkit_map.operations import cast

__all__ = ["OPERATIONS", "Row"]


@dataclass(frozen=True)
class Row:
    """An operation: the JSON Schema of what a config says of it, and what makes it of that."""

    settings: Mapping[str, Any]
    made: Callable[[Mapping[str, Any], str], Operation]


OPERATIONS: Mapping[str, Row] = {
    "cast": Row(cast.SETTINGS, cast.made),
}
