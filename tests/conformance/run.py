"""Test anybody's tap or target against the rules: ``python tests/conformance/run.py --help``.

    python tests/conformance/run.py
    python tests/conformance/run.py --tap "tap-x --config config.json"
    python tests/conformance/run.py --target "target-y --config config.json" --read-rows "cat out/{stream}.jsonl"

Prints a table: rule, what it says, pass, fail or waived (with the reason). Exit code 1 when a rule failed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from conformance.drivers import Executable, PlainTap, PlainTarget, distribution_executables  # noqa: E402
from conformance.rules import RULES, rules_of  # noqa: E402

DriverOf = Callable[[list[Path]], Any]
"""Makes a driver for a command whose --config files are these."""


@dataclass(eq=False)  # pytest keeps plugins in a set
class Table:
    """A pytest plugin: says which executables are tested, and collects how each rule went."""

    executables: list[Executable]
    wanted: set[str] = field(default_factory=set)
    """The rules to try; empty means all."""
    results: dict[tuple[str, str], list[tuple[str, str, str]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.wanted:
            items[:] = [item for item in items if self.wanted & set(rules_of(item.name))]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2]
        if "NOTSET" in name or (report.when != "call" and report.passed):
            return
        for executable in self.executables:
            if re.search(rf"[\[-]{re.escape(executable.name)}[\]-]", name):
                for rule in rules_of(name):
                    found = (report.outcome, name, _reason(report))
                    self.results.setdefault((rule, executable.name), []).append(found)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(report.longreprtext)

    def verdict(self, rule: str, name: str) -> tuple[str, str]:
        """Return pass, fail or waived, and why; a rule that was tested in part is not waived."""
        found = self.results.get((rule, name), [])
        failed = [f"{test}: {why}" for outcome, test, why in found if outcome == "failed"]
        if failed:
            return "FAIL", failed[0]
        if any(outcome == "passed" for outcome, _, _ in found):
            return "pass", ""
        return ("waived", found[0][2]) if found else ("", "")


def _reason(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ").removeprefix("waived: ")
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = crash.message if crash is not None else report.longreprtext
        return " ".join(text.removeprefix("AssertionError: ").split())[:300]
    return ""


def print_table(table: Table) -> int:
    """Print a row per rule and executable that it was tried on; return the number of failed ones."""
    failed = 0
    for executable in table.executables:
        verdicts = {rule: table.verdict(rule, executable.name) for rule in RULES}
        counts = {
            word: sum(one == word for one, _ in verdicts.values()) for word in ("pass", "FAIL", "waived")
        }
        print(f"\n{executable.name} ({' '.join(executable.command)})")
        for rule, (word, why) in verdicts.items():
            if word:
                print(f"  {rule:<7}{word:<8}{RULES[rule]}" + (f"\n{'':17}{why}" if why else ""))
        print("  " + ", ".join(f"{count} {word}" for word, count in counts.items()))
        failed += counts["FAIL"]
    return failed


def driver_in(place: str) -> DriverOf:
    """Load a class from ``file.py:Class``; its drivers make their configs themselves."""
    path, _, name = place.rpartition(":")
    found = runpy.run_path(path)[name]
    return lambda _configs: found()


def plain(command: str, driver_of: DriverOf) -> Executable:
    """Make an executable of a command line; its --config files are taken out of it."""
    words = shlex.split(command)
    configs: list[Path] = []
    rest: list[str] = []
    while words:
        word = words.pop(0)
        if word in ("--config", "-c") and words:
            configs.append(Path(words.pop(0)).resolve())
        else:
            rest.append(word)
    if "/" in rest[0]:  # the tests run it in a folder of their own
        rest[0] = str(Path(rest[0]).absolute())
    return Executable(Path(rest[0]).name, tuple(rest), driver_of(configs))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tap", action="append", default=[], metavar="COMMAND", help="a tap with its --config"
    )
    parser.add_argument(
        "--target", action="append", default=[], metavar="COMMAND", help="a target with its --config"
    )
    parser.add_argument("--read-rows", metavar="COMMAND", help="prints the rows of {stream} as JSON lines")
    parser.add_argument(
        "--appends", action="store_true", help="the target keeps every version of a key, the last one last"
    )
    parser.add_argument(
        "--driver", metavar="FILE:CLASS", help="a driver like those of drivers.py: with it less is waived"
    )
    parser.add_argument(
        "--rule", action="append", default=[], metavar="ID", help="only this rule; may be repeated"
    )
    parser.add_argument("--details", action="store_true", help="show pytest's own report of each failure")
    given = parser.parse_args(arguments)
    if strange := [rule for rule in given.rule if rule.upper() not in RULES]:
        parser.error(f"there is no rule {strange[0]}; the rules are {', '.join(RULES)}")
    tap_driver: DriverOf = PlainTap
    target_driver: DriverOf = partial(PlainTarget, read_rows=given.read_rows, appends=given.appends)
    if given.driver:
        tap_driver = target_driver = driver_in(given.driver)
    executables = [plain(command, tap_driver) for command in given.tap]
    executables += [plain(command, target_driver) for command in given.target]
    table = Table(executables or distribution_executables()[0], {rule.upper() for rule in given.rule})
    kinds = {executable.kind for executable in table.executables}
    files = [
        str(path)
        for path in sorted(HERE.glob("test_*.py"))
        if any(f"test_{kind}" in path.name for kind in kinds)
    ]
    options = [
        *files,
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-q",
        "--no-header",
        "--rootdir",
        str(HERE.parents[1]),
    ]
    report = contextlib.nullcontext() if given.details else contextlib.redirect_stdout(io.StringIO())
    with report:
        code = pytest.main(options, plugins=[table])
    failed = print_table(table)
    print("\n".join(table.broken))
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        print(f"pytest ended with {code!r}; --details shows why")
    return int(bool(failed) or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED))


if __name__ == "__main__":
    sys.exit(main())
