"""singer-sdk's `flattening_...` settings as `flatten` at the end of every stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_map.conversion.converted import Converted, Operation

__all__ = ["take_flattening"]

_USUAL_SEPARATOR, _USUAL_LENGTH = "__", 255


def take_flattening(config: Mapping[str, Any], made: Converted) -> None:
    """Add what the settings say to each stream, and to those that are not named."""
    depth = config.get("flattening_max_depth")
    if not config.get("flattening_enabled"):
        return
    if not isinstance(depth, int) or isinstance(depth, bool) or depth < 0:
        made.refuse(
            "flattening_enabled",
            "needs `flattening_max_depth`, a number of levels, and singer-sdk refuses it without",
        )
        return
    longest = config.get("flattening_max_key_length") or _USUAL_LENGTH
    if longest != _USUAL_LENGTH:
        made.refuse(
            "flattening_max_key_length",
            "shortens longer names, which the mapper does not: remove it; targets of ours shorten what their store cannot take",
        )
    if depth == 0:
        return
    separator = config.get("flattening_separator") or _USUAL_SEPARATOR
    flatten: Operation = {"op": "flatten", "depth": depth, "separator": separator}
    made.streams.setdefault("*", [])
    for operations in made.streams.values():
        if {"op": "drop_stream"} not in operations:
            operations.append(flatten)
    made.note(
        "`flattening_enabled`: lists, and objects below `flattening_max_depth`, became texts of JSON there, and stay lists and objects"
    )
