"""The garbage collector, told what our processes are like."""

from __future__ import annotations

import gc

__all__ = ["calm_collector"]


def calm_collector() -> None:
    """Rows come by the thousand and hold no cycles: looking for some costs a sixth of the time."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
