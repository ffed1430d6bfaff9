"""docs/faults.md shows every fault of the list by tests that carry its mark, and names all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.rows import ROWS, Row
from faults.table import mark_problem, split_cells
from faults.test_canaries import CASES

ROOT = Path(__file__).parents[2]
PAGE = {
    cells[0]: cells
    for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| [PSDHLFM][0-9]+ ", line)
    for cells in [split_cells(line)]
}


def marks() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Every ``@pytest.mark.fault(row, exit=[...])`` of the tests, with the test it stands on."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "mark.fault(" not in (text := path.read_text(encoding="utf-8")):
            continue
        for node in ast.parse(text).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                    keywords = {word.arg: word.value for word in mark.keywords}
                    row, exits = ast.literal_eval(mark.args[0]), ast.literal_eval(keywords["exit"])
                    yield row, f"{path.relative_to(ROOT)}::{node.name}", tuple(exits)


MARKS = list(marks())


def test_the_page_has_every_fault_in_order() -> None:
    assert list(PAGE) == list(ROWS)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_of_the_page(row: Row) -> None:
    _id, fault, must, exits, result, _sentence, tests = PAGE[row.id]
    assert (fault, must) == (row.fault, row.must), "the page is stale: make faults"
    assert result == "passed" or result.startswith("skipped: "), "a fault that no test shows: make faults"
    seen = {int(code) for code in exits.split(", ") if code}
    assert seen <= set(row.exits)
    assert seen or result != "passed"
    named = [re.sub(r"\[.*", "", test) for test in re.findall(r"`+ ?(tests/[^`]+?) ?`+", tests)]
    assert sorted(named) == sorted({test for marked, test, _ in MARKS if marked == row.id}), "make faults"


def test_the_page_has_every_secret() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").partition("## Secrets")[2]
    rows = [split_cells(line) for line in text.splitlines() if re.match(r"\| [\w-]+: ", line)]
    assert [name for name, _exit, _result in rows] == list(CASES), "make faults"
    assert "FAILED" not in text


def test_marks_name_faults_and_their_exit_codes() -> None:
    assert [mark_problem(row, exits) for row, _, exits in MARKS] == [None] * len(MARKS)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_exit_code_of_a_row_is_expected_by_a_test(row: Row) -> None:
    wanted = {code for marked, _, exits in MARKS if marked == row.id for code in exits}
    assert wanted == set(row.exits)


def test_every_test_of_a_fault_belongs_to_a_row() -> None:
    for path in (ROOT / "tests" / "faults").glob("test_*.py"):
        numbered = re.findall(
            r"^def test_([psdhlfm])([0-9]{2})_", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        assert {f"{letter.upper()}{int(number)}" for letter, number in numbered} <= set(ROWS), path.name


def test_a_mark_that_is_wrong_is_told() -> None:
    assert mark_problem("D99", [0]) == "there is no fault D99"
    assert mark_problem("P1", [137, 3]) == "P1 may not end with [3]"
    assert mark_problem("P1", []) is not None
