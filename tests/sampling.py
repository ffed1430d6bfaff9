"""How many examples the tests by property try: a sample in the suite, `make property TIMES=20` twenty times as many, and others each time."""

from __future__ import annotations

import os

__all__ = ["IS_SAMPLE", "tries"]

TIMES = int(os.environ.get("SINGERKIT_TIMES") or 0)
IS_SAMPLE = not TIMES
"""For ``derandomize``: the suite tries the same ones each time, where a test says so."""


def tries(in_the_suite: int) -> int:
    return in_the_suite * (TIMES or 1)
