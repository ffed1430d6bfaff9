"""docs/faults.md as a table made from a test run: one row, one test, one result.

    @pytest.mark.fault("D1", exit=[0, 69])

says that a test shows a row of `rows.py`, and which exit codes may come of the fault. What the processes of the
test did (`conformance.processes.AFTER_OUTCOME`) is held against that: the process of the fault is the one given to
`records_fault`, else the first that failed, else the last; an exit code that is not named fails the test.
``main=True`` makes it the test of its row, ``only="m07"`` takes the parametrized cases with that text in their id.

`make faults` runs the marked tests and writes the page, `make faults ARGS='-k d08'` the rows of the tests it ran. What was seen travels in ``report.user_properties``,
so that the workers of pytest-xdist tell it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conformance.processes import Outcome
from faults.rows import ROWS, SECTIONS, Row

__all__ = ["FaultTable", "Show", "mark_problem", "page", "records_fault", "sees", "shell_code", "split_cells"]

INTRODUCTION = """\
# Faults, what happens, and the test that shows it

This page is made from a test run by `make faults`: a row is a fault, the exit codes that were seen, the last
sentence on stderr of the process that met it, and the test that made it happen. The tests run the real executables
through pipes against a real PostgreSQL, or a real HTTP server. After each fault a checker that shares no code with
the target (`tests/faults/pipeline.py`) reads the database: no row at or before the committed state is missing, none
is there twice (in a stream without a key either), the state is the last committed position, a key holds its newest
version. Then a second run completes the tables.

Exit codes: 0 complete, 64 usage, 65 bad input, 69 unavailable, 70 our fault, 74 cannot write, 75 another run or
session is in the way, 76 fenced, 77 not authorised, 78 config, 128 + n ended by signal n. Paths, ports, process
ids, moments and names made for a test are written as `<...>`. P1 meets every message to the server with
`SINGERKIT_KILLS=all`.
"""


@dataclass(frozen=True)
class Show:
    """One test that shows a row: its place in the collection, its result, and what its process did."""

    row: str
    test: str
    order: int
    is_main: bool
    result: str = "not run"
    code: int | None = None
    sentence: str = ""

    @property
    def function(self) -> str:
        """The test without its parameters."""
        return self.test.partition("[")[0]


_seen: list[Outcome] = []
_of_the_fault: list[Outcome] = []


def sees(outcome: Outcome) -> None:
    """Take notice of a process of the test under way."""
    _seen.append(outcome)


def records_fault(outcome: Outcome) -> Outcome:
    """Say which process of this test met the fault, where it is neither the first that failed nor the last."""
    _of_the_fault.append(outcome)
    return outcome


def shell_code(code: int) -> int:
    """An exit code as a shell shows it: 137 where signal 9 ended the process."""
    return 128 - code if code < 0 else code


def mark_problem(row: str, exits: Sequence[int]) -> str | None:
    """Say what is wrong with ``@pytest.mark.fault(row, exit=exits)``, if anything is."""
    if row not in ROWS:
        return f"there is no fault {row}"
    extra = set(exits) - set(ROWS[row].exits)
    return f"{row} may not end with {sorted(extra)}" if extra or not exits else None


@dataclass(eq=False)  # pytest keeps plugins in a set
class FaultTable:
    """The plugin. ``path`` is where the controller writes the page, None for nowhere."""

    path: Path | None
    _shows: dict[tuple[str, str], Show] = field(default_factory=dict)
    _secrets: dict[str, Show] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Tell the reports which rows a test shows, whatever becomes of it."""
        for order, item in enumerate(items):
            for mark in _marks_of(item):
                problem = mark_problem(mark.args[0], mark.kwargs["exit"])
                if problem:
                    raise pytest.UsageError(f"{item.nodeid}: {problem}")
                told = {"row": mark.args[0], "order": order, "main": mark.kwargs.get("main", False)}
                item.user_properties.append(("fault", told))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        _seen.clear()
        _of_the_fault.clear()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """After a marked test: hold what its process did against the mark, and tell the report."""
        result = yield
        marks = _marks_of(item)
        if marks:
            met = [*_of_the_fault, *(outcome for outcome in _seen if outcome.code != 0), *_seen[-1:]]
            assert met, "a test of a fault runs no process"
            code = shell_code(met[0].code)
            for mark in marks:
                assert code in mark.kwargs["exit"], (
                    f"exit {code}, the mark says {mark.kwargs['exit']}\n{met[0]}"
                )
            item.user_properties.append(("seen", {"code": code, "sentence": sentence_of(met[0])}))
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test has shown; comes to the controller from all workers."""
        seen = next((value for name, value in report.user_properties if name == "seen"), {})
        for name, told in report.user_properties:
            key = (told["row"], report.nodeid) if name == "fault" else None
            if key is None or (report.when != "call" and report.passed):
                continue
            result = "passed" if report.passed else _reason(report) if report.skipped else "FAILED"
            place = (told["row"], report.nodeid, told["order"], told["main"])
            show = self._shows[key] = Show(*place, result, seen.get("code"), seen.get("sentence", ""))
            self._secrets |= {str(told): show for name, told in report.user_properties if name == "secret"}

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the page, unless the run was broken off."""
        is_whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if self.path is not None and is_whole and not hasattr(session.config, "workerinput"):
            before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            self.path.write_text(page(self._shows.values(), self._secrets, before), encoding="utf-8")


def _marks_of(item: pytest.Item) -> list[pytest.Mark]:
    case = item.nodeid.partition("[")[2]
    return [mark for mark in item.iter_markers("fault") if mark.kwargs.get("only", "") in case]


def _reason(report: pytest.TestReport) -> str:
    if known := getattr(report, "wasxfail", ""):
        return f"known to fail: {known}"
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return "skipped: " + reason.removeprefix("Skipped: ")


# --- the sentence ---------------------------------------------------------------------------------------------

_LOG_LINE = re.compile(r"[0-9: ,-]{20,} \| WARNING +\| ([\w.-]+) +\| ")
_CHANGING: tuple[tuple[str, str], ...] = (
    (
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})?",
        "<time>",
    ),
    (
        r"(/[\w.@+-]+)*/(pytest-of-[\w-]+/pytest-[0-9]+/(popen-gw[0-9]+/)?[\w-]+|tmp\w{8}|singerkit-[\w-]+)",
        "<folder>",
    ),
    (r"singerkit_(test|source)_[0-9a-f]+", "<database>"),
    (r"\bsingerkit_reader_test_[0-9a-f]{12}\b", "<role>"),
    (r"\btest_[0-9a-f]{12}\b", "<slot>"),
    (r"singerkit [0-9a-f]{8}", "<role>"),
    (r"(127\.0\.0\.1|localhost):[0-9]+", r"\1:<port>"),
    (r"\bport [0-9]+", "port <port>"),
    (r"\b(pid|PID|process|backend) [0-9]+", r"\1 <pid>"),
    (r"\b[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b", "<run>"),
    (r"\b[0-9]+\.[0-9]+ s\b", "<seconds> s"),
    (r"\bon host [\w.-]+", "on host <host>"),
)


def sentence_of(outcome: Outcome) -> str:
    """The last line on stderr of a failure, the last warning of a success, with what changes from run to run hidden."""
    warnings = [line for line in outcome.stderr.splitlines() if _LOG_LINE.match(line)]
    said = {0: warnings[-1] if warnings else "", 137: ""}
    text = _LOG_LINE.sub(r"WARNING \1: ", said.get(shell_code(outcome.code), outcome.last_words))
    for pattern, name in _CHANGING:
        text = re.sub(pattern, name, text)
    return text


# --- the page -------------------------------------------------------------------------------------------------


SECRETS = """\
## Secrets

Each of these was given to a run, and everything the run printed or left in a file was searched for it: as it is,
percent-encoded, in JSON, in base64, in hex (`tests/canaries.py`). The password in the DSN, `PGPASSWORD`, a proxy's
password, the token and the header of an API are planted in every other test of this page too. A test walks the config
of every executable and fails for a secret that is not in this list (`tests/faults/test_canaries.py`).

| secret | exit | result |
|---|---|---|"""


def page(shows: Iterable[Show], secrets: Mapping[str, Show], before: str = "") -> str:
    """docs/faults.md as the given tests make it; a row that no test was run for is as it was ``before``."""
    kept = {split_cells(line)[0]: line for line in before.splitlines() if line.startswith("| ")}
    by_row: dict[str, list[Show]] = {}
    for show in sorted(shows, key=lambda show: (not show.is_main, show.order)):
        by_row.setdefault(show.row, []).append(show)
    parts = [INTRODUCTION]
    for title, rows in SECTIONS.items():
        parts += [f"## {title}\n", _HEAD, *(_line(row, by_row.get(row.id, []), kept) for row in rows), ""]
    in_order = sorted(secrets.items(), key=lambda item: item[1].order)
    rows_of_secrets = {name: _cells(name, _exit(show), show.result) for name, show in in_order}
    known = {name: line for name, line in kept.items() if ": " in name}
    parts += [SECRETS, *((rows_of_secrets or known).values()), ""]
    return "\n".join(parts)


def _exit(show: Show) -> str:
    return "" if show.code is None else str(show.code)


_HEAD = (
    "| id | fault | what must happen | exit | result | last sentence of the process | test |\n"
    "|---|---|---|---|---|---|---|"
)


def _line(row: Row, shows: list[Show], kept: Mapping[str, str]) -> str:
    if not shows:
        return kept.get(row.id) or _cells(row.id, row.fault, row.must, "", "not shown", "", "")
    codes = sorted({show.code for show in shows if show.code is not None}, key=row.exits.index)
    main = shows[0]
    telling = next((show for show in shows if show.sentence), main)
    others = [name for name in dict.fromkeys(show.function for show in shows) if name != main.function]
    return _cells(
        row.id,
        row.fault,
        row.must,
        ", ".join(map(str, codes)),
        _result(shows),
        _code(telling.sentence) if telling.sentence else "",
        f"{_code(main.test)}" + "".join(f", {_code(name)}" for name in others),
    )


def _result(shows: list[Show]) -> str:
    """What became of all tests of a row: a failure counts before anything else, the main test before the others."""
    failed = [show for show in shows if not show.result.startswith(("passed", "skipped", "known"))]
    return failed[0].result if failed else shows[0].result


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def split_cells(line: str) -> list[str]:
    """The cells of a line of the page."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
