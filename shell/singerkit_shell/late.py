"""Packages that singer-sdk imports at its start for what no run of ours comes to: they are imported where something of them is called.

joblib drains its own targets, and brings numpy along where that is installed; upath reads its BATCH files. Together they
take a third of the time that singer-sdk needs to import. Another third is its own way to ask an API, which only tap-rest does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["put_off", "take_away"]

_NEVER_NEEDED = ("joblib", "upath")
_OF_HTTP = ("requests", "requests.adapters", "requests.exceptions", "urllib3", "backoff")


class _StandIn(ModuleType):
    """A package whose names are functions that import it and call what has that name."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # the import system asks for some that a package may not have
            raise AttributeError(name)

        def late(*arguments: Any, **options: Any) -> Any:
            take_away()
            return getattr(import_module(self.__name__), name)(*arguments, **options)

        return late


def put_off(*, asks_http: bool) -> None:
    """Let these packages be imported in name only from here on, if nobody has imported them yet."""
    for name in _NEVER_NEEDED if asks_http else (*_NEVER_NEEDED, *_OF_HTTP):
        sys.modules.setdefault(name, _StandIn(name))


def take_away() -> None:
    """Let whoever imports one of them have it."""
    for name in (*_NEVER_NEEDED, *_OF_HTTP):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]
