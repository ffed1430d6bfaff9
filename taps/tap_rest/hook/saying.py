"""What a hook prints goes to the log, as said by it."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["said_by"]

_logger = logging.getLogger("tap-rest.hook")


def said_by(path: str = "") -> Callable[[str], None]:
    """Return what is told of each line that the hook in a file prints; without one it is told of a thread of its own."""
    head = f"Hook {path}" if path else "Hook"
    return lambda line: _logger.info("%s: %s", head, line)
