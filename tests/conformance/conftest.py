"""The shipped suite, run against every executable of the distribution."""

from __future__ import annotations

import pytest
from conformance.drivers import distribution_executables

from singerkit_check.suite.plugin import (
    EXECUTABLES,
    fresh,
    pytest_collection_modifyitems,
    pytest_generate_tests,
    tap,
    target,
)

__all__ = ["fresh", "pytest_collection_modifyitems", "pytest_generate_tests", "tap", "target"]


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(EXECUTABLES, distribution_executables()[0])
