"""The page says what is looked at, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from singerkit_check.rules import CHECKS, NOT_IN_A_STREAM

PAGE = (Path(__file__).parents[3] / "docs" / "singerkit-check.md").read_text("utf-8")


def test_the_table_of_checks_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (\w+) \| `([\w-]+)` \| (\w+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert rows == [(check.rule, name, check.severity.value, check.expects) for name, check in CHECKS.items()]


def test_what_a_stream_cannot_show_is_told() -> None:
    for rules, reason in NOT_IN_A_STREAM.items():
        assert f"| {rules} | {reason} |" in PAGE
