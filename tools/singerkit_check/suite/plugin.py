"""The pytest plugin of the suite: every rule runs against every executable; what cannot apply is waived."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("singerkit_check.suite.tap_runs", "singerkit_check.suite.target_runs")

from singerkit_check.rules import rules_of  # noqa: E402  after the registration
from singerkit_check.suite.drivers import Executable, Services  # noqa: E402
from singerkit_check.suite.tap_runs import TapRuns  # noqa: E402
from singerkit_check.suite.target_runs import TargetRuns  # noqa: E402

__all__ = [
    "EXECUTABLES",
    "fresh",
    "pytest_collection_modifyitems",
    "pytest_generate_tests",
    "tap",
    "target",
]

EXECUTABLES = pytest.StashKey[list[Executable]]()
"""The executables to test, to be put into `pytest.Config.stash` before tests are collected."""


def _executables(config: pytest.Config, kind: str) -> list[Executable]:
    """Return those of a kind: the same objects each time, so that session fixtures are made once for each."""
    return [executable for executable in config.stash[EXECUTABLES] if executable.kind == kind]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for kind in ("tap", "target"):
        if kind in metafunc.fixturenames:
            executables = _executables(metafunc.config, kind)
            names = [executable.name for executable in executables]
            metafunc.parametrize(kind, executables, ids=names, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Turn the waivers of the drivers into skips that carry the reason."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        executable = parameters.get("tap") or parameters.get("target")
        if not isinstance(executable, Executable):
            continue
        for rule in rules_of(getattr(item, "originalname", item.name)):
            if reason := executable.driver.waivers.get(rule):
                item.add_marker(pytest.mark.skip(reason=f"waived: {reason}"))


@pytest.fixture(scope="session")
def tap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TapRuns]:
    """A tap under test with its source; the runs that several rules look at are made once."""
    executable: Executable = request.param
    executable.driver.services = _services(request, executable)
    with executable.driver.source() as source:
        yield TapRuns(executable, source, tmp_path_factory.mktemp(executable.name))


@pytest.fixture
def fresh(tap: TapRuns, tmp_path: Path) -> Iterator[TapRuns]:
    """The same tap with a source of its own, for tests that change the source's rows or answers."""
    with tap.driver.source() as source:
        yield TapRuns(tap.executable, source, tmp_path, discovered=tap.discovered)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TargetRuns:
    """A target under test; the load that several rules look at is made once."""
    executable: Executable = request.param
    folder: Path = tmp_path_factory.mktemp(executable.name)
    return TargetRuns(executable, folder, _services(request, executable))


def _services(request: pytest.FixtureRequest, executable: Executable) -> Services:
    return {name: request.getfixturevalue(name) for name in executable.driver.needs}
