"""The report as a browser draws it: nothing is wider than the window, and the screenshots of docs/report.md (`make test-report`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import pytest

from singerkit_report.page import page
from singerkit_report.standing import standings

from .month import NAMES, month

NOW = datetime(2026, 11, 29, 7, 30, tzinfo=UTC)
IMAGES = Path(__file__).parents[3] / "docs" / "images"
BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
MEASURE = """<!DOCTYPE html><body style="margin:0"><iframe style="border:0;width:{width}px;height:4000px" srcdoc="{page}"></iframe>
<script>onload = () => {{
  const inside = document.querySelector("iframe").contentDocument;
  const wide = [...inside.querySelectorAll("main *")].filter(one => !one.closest(".wide, svg") && one.getBoundingClientRect().right > {width} + 0.5);
  const cut = [...inside.querySelectorAll("h1, h3, p, li, .badge, figcaption b")].filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display != "inline");
  document.body.innerHTML = "<pre>page " + inside.documentElement.scrollWidth + " wide " + wide.map(one => one.className || one.tagName) + " cut " + cut.map(one => one.className || one.tagName) + " ends</pre>";
}}</script>"""


@pytest.fixture(scope="module")
def document() -> str:
    return page(standings(NAMES, month(NOW), NOW, 30), NOW, 30, "singerkit.yaml")


def browse(folder: Path, *options: str, document: str) -> str:
    assert BROWSER, "there is no Chromium here: apt-get install chromium"
    file = folder / "page.html"
    file.write_text(document)
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
            *options,
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(document: str, width: int, tmp_path: Path) -> None:
    measuring = MEASURE.format(width=width, page=escape(document))
    found = re.search(
        r"page (\d+) wide (.*?) cut (.*?) ends",
        browse(tmp_path, "--dump-dom", "--window-size=1400,4000", document=measuring),
    )
    assert found is not None
    assert (int(found[1]), found[2], found[3]) == (width, "", "")


@pytest.mark.parametrize(
    ("name", "size", "dark"),
    [("light", "1280,1240", False), ("dark", "1280,1240", True), ("phone", "500,1240", False)],
)
def test_it_is_drawn(document: str, name: str, size: str, dark: bool, tmp_path: Path) -> None:
    file = (
        IMAGES / f"report-{name}.png" if os.environ.get("SINGERKIT_SCREENSHOTS") else tmp_path / "drawn.png"
    )
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    browse(tmp_path, *scheme, f"--screenshot={file}", f"--window-size={size}", document=document)
    assert file.stat().st_size > 20_000
