"""The suite itself: every rule has a test, every executable a driver, every waiver a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conformance.drivers import distribution_executables

from singerkit_check.rules import RULES, rules_of
from singerkit_check.suite.drivers import Executable
from singerkit_check.suite.run import SUITE

TESTS = re.compile(r"^def (test_\w+)", re.MULTILINE)


HERE = Path(__file__).parent


def names_of_the_tests() -> list[str]:
    return [
        name
        for folder in (SUITE, HERE)
        for path in folder.glob("test_*.py")
        for name in TESTS.findall(path.read_text("utf-8"))
    ]


def test_every_shipped_module_of_tests_runs_against_ours_too() -> None:
    """Here stands a module of the same name, which takes over its tests."""
    for path in SUITE.glob("test_*.py"):
        assert f"from singerkit_check.suite.{path.stem} import *" in (HERE / path.name).read_text("utf-8")


def test_every_executable_has_a_driver() -> None:
    for name in distribution_executables()[1]:
        pytest.fail(
            f"{name} is an executable of the distribution and the conformance suite does not know how to "
            f"configure it: write its driver, tests/taps/NAME/driver.py or tests/targets/NAME/driver.py, as others have."
        )


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_test(rule: str) -> None:
    assert [name for name in names_of_the_tests() if rule in rules_of(name)]


def test_every_test_of_a_rule_names_a_known_one() -> None:
    unknown = {rule for name in names_of_the_tests() for rule in rules_of(name)} - set(RULES)
    assert not unknown


@pytest.mark.parametrize("executable", distribution_executables()[0], ids=lambda one: one.name)
def test_every_waiver_names_a_rule_and_a_reason(executable: Executable) -> None:
    for rule, reason in executable.driver.waivers.items():
        assert rule in RULES
        assert len(reason.split()) > 3, f"{rule}: {reason}"
