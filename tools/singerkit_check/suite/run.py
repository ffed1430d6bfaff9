"""Choose executables and rules, run the suite with pytest, print a table: rule, what it says, pass, FAIL or waived."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from singerkit_check.rules import RULES, rules_of
from singerkit_check.suite.drivers import Executable, PlainTap, PlainTarget
from singerkit_check.suite.plugin import EXECUTABLES
from singerkit_shell.errors import BadDataError, ConfigurationError, SingerkitError, UsageError

__all__ = ["SUITE", "Table", "driver_in", "plain", "run_commands", "run_suite"]

SUITE = Path(__file__).resolve().parent

DriverOf = Callable[[list[Path]], Any]
"""Makes a driver for a command whose --config files are these."""

# What stands around the suite is not its: no configuration and no plugin of the place where it is run.
_APART = (
    *("-p", "singerkit_check.suite.plugin", "--noconftest", "-c", os.devnull, "--rootdir", str(SUITE)),
    *("--import-mode=importlib", "-o", "xfail_strict=true"),
)


@dataclass(eq=False)  # pytest keeps plugins in a set
class Table:
    """A pytest plugin: says which executables are tested, and collects how each rule went."""

    executables: list[Executable]
    wanted: Collection[str] = ()
    """The rules to try; empty means all."""
    results: dict[tuple[str, str], list[tuple[str, str, str]]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    _left: int = 0

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[EXECUTABLES] = self.executables

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.wanted:
            items[:] = [item for item in items if set(self.wanted) & set(rules_of(item.name))]
        self._left = len(items)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._left -= 1
        if sys.stderr.isatty():
            name = nodeid.rpartition("::")[2][:60]
            print(f"\r{self._left:4} to go: {name:<60}", end="", file=sys.stderr, flush=True)

    def pytest_sessionfinish(self) -> None:
        if sys.stderr.isatty():
            print(f"\r{'':<73}\r", end="", file=sys.stderr, flush=True)

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
        """Return pass, FAIL or waived, and why; a rule that was tested in part is not waived."""
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


def print_table(table: Table) -> list[str]:
    """Print a row per rule and executable that it was tried on; return the failed rules."""
    failed = []
    for executable in table.executables:
        verdicts = {rule: table.verdict(rule, executable.name) for rule in RULES}
        words = [word for word, _ in verdicts.values()]
        print(f"\n{executable.name} ({' '.join(executable.command)})")
        for rule, (word, why) in verdicts.items():
            if word:
                print(f"  {rule:<7}{word:<8}{RULES[rule]}" + (f"\n{'':17}{why}" if why else ""))
        print("  " + ", ".join(f"{words.count(word)} {word}" for word in ("pass", "FAIL", "waived")))
        failed += [rule for rule, (word, _) in verdicts.items() if word == "FAIL"]
    return failed


# Executables by their command line


def driver_in(place: str) -> tuple[DriverOf, ModuleType]:
    """Load a class from ``file.py:Class``; its drivers make their configs themselves.

    The file is a pytest plugin too: fixtures that the driver ``needs`` may stand in it.

    Raises:
        UsageError: there is no such file or class.
    """
    path, _, name = place.rpartition(":")
    if not Path(path).is_file():
        raise UsageError(f"Expected --driver FILE:CLASS, got `{place}`: there is no such file.")
    spec = importlib.util.spec_from_file_location("singerkit_check_driver", path)
    assert spec is not None  # for a path that ends otherwise than .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise UsageError(f"Expected a class `{name}` in {path}, got none.")
    return (lambda _configs: getattr(module, name)()), module


def plain(command: str, driver_of: DriverOf) -> Executable:
    """Make an executable of a command line; its --config files are taken out of it.

    Raises:
        UsageError: the command line is empty.
        ConfigurationError: the executable is not found, or a config file cannot be read.
    """
    words = shlex.split(command)
    configs: list[Path] = []
    rest: list[str] = []
    while words:
        word = words.pop(0)
        option, _, value = word.partition("=")
        if word in ("--config", "-c") and words and words[0] != "ENV":
            configs.append(_config(words.pop(0)))
        elif option == "--config" and value not in ("", "ENV"):
            configs.append(_config(value))
        else:
            rest.append(word)
    if not rest:
        raise UsageError("Expected a command after --tap or --target, got none.")
    found = shutil.which(rest[0])
    if found is None:
        raise ConfigurationError(f"The executable {rest[0]} is not found; give its path, or set PATH.")
    # The tests run it in folders of their own.
    rest[0] = str(Path(found).absolute())
    return Executable(Path(rest[0]).name, tuple(rest), driver_of(configs))


def _config(path: str) -> Path:
    try:
        json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not JSON"
        raise ConfigurationError(f"The config file {path} cannot be read ({reason}).") from None
    return Path(path).resolve()


def run_commands(
    taps: Sequence[str],
    targets: Sequence[str],
    *,
    read_rows: str | None = None,
    appends: bool = False,
    driver: str | None = None,
    rules: Sequence[str] = (),
    details: bool = False,
) -> int:
    """Test these command lines with the shipped suite; return 0 when no rule failed.

    Raises:
        BadDataError: a rule failed; the table has said which.
        ConfigurationError, UsageError: a command or driver cannot be used.
    """
    tap_driver: DriverOf = PlainTap
    target_driver: DriverOf = partial(PlainTarget, read_rows=read_rows, appends=appends)
    plugins: list[Any] = []
    if driver is not None:
        tap_driver, module = driver_in(driver)
        target_driver = tap_driver
        plugins.append(module)
    executables = [plain(command, tap_driver) for command in taps]
    executables += [plain(command, target_driver) for command in targets]
    return run_suite(executables, SUITE, _APART, rules=rules, details=details, plugins=plugins)


def run_suite(
    executables: list[Executable],
    folder: Path,
    options: Sequence[str],
    *,
    rules: Sequence[str] = (),
    details: bool = False,
    plugins: Sequence[Any] = (),
) -> int:
    """Run the test files of ``folder`` that are for these kinds of executables, and print the table.

    Raises:
        BadDataError: a rule failed.
        SingerkitError: pytest itself ended with an error.
    """
    table = Table(executables, frozenset(rules))
    kinds = {executable.kind for executable in executables}
    files = [
        str(path)
        for path in sorted(folder.glob("test_*.py"))
        if path.name.startswith(tuple(f"test_{k}" for k in kinds))
    ]
    report = contextlib.nullcontext() if details else contextlib.redirect_stdout(io.StringIO())
    with report, _no_other_plugins():
        code = pytest.main(
            [*files, "-p", "no:cacheprovider", "-q", "--no-header", *options], plugins=[table, *plugins]
        )
    failed = print_table(table)
    print("\n".join(table.broken), end="")
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SingerkitError(f"The suite ended with `{pytest.ExitCode(code).name}`; --details shows why.")
    if failed:
        raise BadDataError(
            f"Expected an executable that keeps the rules of Singer, got {len(failed)} that failed "
            f"({', '.join(dict.fromkeys(failed))}); the table says how, --details says more."
        )
    return 0


@contextlib.contextmanager
def _no_other_plugins() -> Any:
    """Plugins of the environment would change what the tests do; those of pytest itself stay."""
    name = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
