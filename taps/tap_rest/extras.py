"""Packages of the extras of singerkit, imported where a config of tap-rest needs them."""

from __future__ import annotations

from typing import Any

from singerkit_shell import extras

__all__ = ["imported"]


def imported(module: str, what: str, extra: str = "auth") -> Any:
    """See `singerkit_shell.extras.imported`."""
    return extras.imported(module, what, extra, "tap-rest")
