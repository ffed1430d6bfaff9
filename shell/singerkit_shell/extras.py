"""Packages of the extras of singerkit, imported where a config needs them."""

from __future__ import annotations

import importlib
from typing import Any

from singerkit_shell.errors import ConfigurationError

__all__ = ["imported"]


def imported(module: str, what: str, extra: str, executable: str) -> Any:
    """Return a module that ``what`` of a config of ``executable`` needs, and that comes with ``extra``.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigurationError(
            f"For {what} {executable} needs a package that is not installed (`{module}`); nothing was asked: run `pip install "
            f"'singerkit[{extra}]'`, then run again."
        ) from None
