"""docs/tap-postgres/traps.md names each trap, and tests of it that are there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "tap-postgres" / "traps.md"
TRAPS = [f"P{number}" for number in range(1, 21) if number != 8]
"""Of the table of traps; it has none with the number 8."""


def test_each_trap_stands_on_the_page_with_tests_that_are_there() -> None:
    rows = re.findall(r"^\| (P\d+) \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [trap for trap, _ in rows] == TRAPS
    named = {trap: re.findall(r"\[`(test_\w+)`\]\((\S+)\)", row) for trap, row in rows}
    for trap, tests in named.items():
        assert tests, f"{trap} has no test"
        for test, link in tests:
            assert f"def {test}(" in (PAGE.parent / link).read_text("utf-8"), f"{test} of {trap} is not there"
    own = [
        found
        for file in sorted(Path(__file__).parent.glob("test_*.py"))
        for found in re.findall(r"^def (test_p\d+_\w+)\(", file.read_text("utf-8"), re.MULTILINE)
    ]
    told = {test for tests in named.values() for test, _ in tests}
    assert [test for test in own if test not in told] == []
