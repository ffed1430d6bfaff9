"""docs/faults.md names, for every fault, tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| [PSDM][0-9]+ ", line)
]
FAULTS = [
    *(f"P{number}" for number in range(1, 11)),
    *("S1", "S2", "S3", "S4", "S6"),
    *(f"D{number}" for number in range(1, 13)),
    *(f"M{number}" for number in range(1, 19)),
    "M20",
]


def test_every_fault_has_its_row() -> None:
    assert [row[0] for row in ROWS] == FAULTS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_tests_of_a_row_exist(row: list[str]) -> None:
    named = re.findall(r"`(tests/[^`]+)::(test_[^`]+)`", row[-1])
    assert named
    for path, name in named:
        assert re.search(rf"^def {name}", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (
            path,
            name,
        )


@pytest.mark.parametrize("file", ["test_process.py", "test_postgres.py", "test_messages_and_values.py"])
def test_every_test_of_a_fault_belongs_to_a_row(file: str) -> None:
    numbered = re.findall(
        r"^def test_([psdm])([0-9]{2})_", (ROOT / "tests/faults" / file).read_text(), re.MULTILINE
    )
    assert {f"{letter.upper()}{int(number)}" for letter, number in numbered} <= set(FAULTS)
