"""A history is cut at line feeds only: JSON text may hold what other programs take for ends of lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from singerkit_state import history
from singerkit_state.value import encode


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x1c", "\x0b"])
def test_a_value_with_another_end_of_line_comes_back(tmp_path: Path, character: str) -> None:
    path = tmp_path / "state.json"
    text = encode({"bookmarks": {"a": f"x{character}y"}})
    history.append(path, history.kept_now(text, "set", None))
    history.append(path, history.kept_now('{"a":1}', "set", None))
    assert [entry.text for entry in history.read(path)] == ['{"a":1}', text]
