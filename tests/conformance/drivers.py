"""What the suite must know of our own executables: ``DRIVER`` of ``tests/taps/NAME/driver.py``, or ``tests/targets/NAME``.

See `singerkit_check.suite.drivers` for what a driver says.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import sys
from pathlib import Path

from singerkit_check.suite.drivers import Executable, TapDriver, TargetDriver

__all__ = ["distribution_executables", "driver_of"]

TESTS = Path(__file__).parents[1]


def distribution_executables(distribution: str = "singerkit") -> tuple[list[Executable], list[str]]:
    """Return the taps and targets among the console scripts, and the names of those without a driver."""
    points = importlib.metadata.distribution(distribution).entry_points.select(group="console_scripts")
    names = sorted(point.name for point in points if point.name.startswith(("tap-", "target-")))
    drivers = {name: driver_of(name) for name in names}
    known = [Executable(name, (_script(name),), driver) for name, driver in drivers.items() if driver]
    return known, [name for name, driver in drivers.items() if driver is None]


def driver_of(name: str) -> TapDriver | TargetDriver | None:
    """Return the driver of an executable; None where there is none."""
    kind, _, connector = name.replace("-", "_").partition("_")
    if not (TESTS / f"{kind}s" / connector / "driver.py").exists():
        return None
    module = importlib.import_module(f"{kind}s.{connector}.driver")
    driver: TapDriver | TargetDriver = module.DRIVER()
    return driver


def _script(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name
