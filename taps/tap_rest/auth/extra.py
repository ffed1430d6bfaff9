"""Packages of the extra `singerkit[auth]`, imported where a config needs them."""

from __future__ import annotations

import importlib
from typing import Any

from singerkit_shell.errors import ConfigurationError

__all__ = ["imported"]


def imported(module: str, what: str) -> Any:
    """Return a module that ``what`` of a config needs.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigurationError(
            f"For {what} tap-rest needs a package that is not installed (`{module}`); nothing was asked: run `pip install "
            "'singerkit[auth]'`, then run again."
        ) from None
