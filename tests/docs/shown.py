"""Pages that show what a run says: below each marker (`<!-- rows: planes -->`) stands a block, which a test makes anew and compares.

With ``SINGERKIT_WRITE_PAGE=1`` in the environment such a test writes the page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["check_page"]

_PART = re.compile(r"<!-- (\w+): ([\w ]+) -->\n(?:\n```\w*\n.*?\n```\n)?", re.DOTALL)
Made = Callable[[str], tuple[str, str]]


def check_page(page: Path, made: Mapping[str, Made], least: int) -> None:
    """Hold the blocks of a page, at ``least`` so many, against what ``made`` returns for the words of each marker: language and text."""
    count = 0

    def anew(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        language, text = made[found[1]](found[2])
        assert text, f"nothing to show at {found[0]}"
        return f"<!-- {found[1]}: {found[2]} -->\n\n```{language}\n{text}\n```\n"

    text = page.read_text()
    expected = _PART.sub(anew, text)
    assert count >= least
    if os.environ.get("SINGERKIT_WRITE_PAGE"):
        page.write_text(expected)
    else:
        assert text == expected
