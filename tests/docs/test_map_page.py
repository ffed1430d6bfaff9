"""docs/singerkit-map.md shows what `explain` and `convert` say of examples/map."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from docs.shown import check_page

from singerkit_map.commands import command

ROOT = Path(__file__).parents[2]
RUNS = {
    "explain": ["explain", "--config", "map.json", "--stream", "users.singer"],
    "convert": ["convert", "stream_maps.json", "--hmac-key-env", "MAP_KEY", "--leave-out"],
}


def test_the_page_shows_what_the_commands_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "examples" / "map")
    monkeypatch.setenv("MAP_KEY", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("COLUMNS", "110")

    def said(words: str) -> tuple[str, str]:
        done = CliRunner().invoke(command, RUNS[words], catch_exceptions=False)
        return "text", f"$ singerkit-map {' '.join(RUNS[words])}\n{done.output.rstrip()}"

    check_page(ROOT / "docs" / "singerkit-map.md", {"run": said}, least=2)
