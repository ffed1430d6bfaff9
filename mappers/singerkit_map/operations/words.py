"""Settings that operations on values have in common, and the sentences in which they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.extras import imported

__all__ = ["ON_VALUE", "extra_of", "refused"]

ON_VALUE: Mapping[str, Any] = {
    "field": {
        "type": "string",
        "minLength": 1,
        "description": "The field: `email`, `address.city`, `items[].sku`, `tags[]`.",
    },
    "as": {
        "type": "string",
        "minLength": 1,
        "description": "The name of a new field beside it that gets the result; the field itself stays as it is. Default: the field gets it.",
    },
}


def refused(what: str, place: str, key: str) -> ConfigurationError:
    """Return the error of a setting that is wrong whatever the SCHEMA says."""
    return ConfigurationError(f"{what} at `{place}.{key}`; nothing was read: correct it.")


def extra_of(module: str, operation: str, place: str) -> Any:
    """Return a module of the extra `clean`, which is imported where an operation needs it and nowhere else.

    Raises:
        ConfigurationError: it is not installed.
    """
    return imported(module, f"`{operation}` at `{place}`", "clean", "the map")
