"""Run executables as a shell would; the code is shipped with `singerkit-check`."""

from __future__ import annotations

from singerkit_check.suite.processes import AFTER_OUTCOME, SECONDS, Outcome, Running, run

__all__ = ["AFTER_OUTCOME", "SECONDS", "Outcome", "Running", "run"]
