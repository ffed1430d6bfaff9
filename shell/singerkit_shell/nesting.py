"""How deep a JSON value is: whoever walks one from others by recursion asks before."""

from __future__ import annotations

from typing import Any

__all__ = ["is_deep"]


def is_deep(value: Any, levels: int) -> bool:
    """Tell whether a decoded value has objects and arrays within each other in more than so many levels."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        parts = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for part in parts for item in part if isinstance(item, dict | list)]
        if not level:
            return False
    return True
