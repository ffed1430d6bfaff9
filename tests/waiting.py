"""Wait for what other processes and servers do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["wait_until"]


def wait_until(condition: Callable[[], Any], what: str = "the awaited", seconds: float = 30.0) -> Any:
    """Poll until ``condition`` gives something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.01)
    return found
