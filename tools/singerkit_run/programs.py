"""The executables of a pipe: where they are, and whether they are ours, which keep their state with their rows."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from singerkit_run.children import run_alone
from singerkit_run.planfile import Plan
from singerkit_shell.signals import StopFlag
from singerkit_shell.validate import line_of

__all__ = ["Found", "find_programs"]

_ABOUT_SECONDS = 60.0
_AT_A_TIME = 4
_LONGEST_SCRIPT = 10_000
_SHELL_WORDS = frozenset(" \t|&;<>")


@dataclass(frozen=True)
class Found:
    """An executable; ``is_ours`` when it is one of singerkit's, whatever it is called."""

    path: str
    is_ours: bool


def find_programs(plan: Plan, names: Iterable[str], stop: StopFlag) -> tuple[dict[str, Found], list[str]]:
    """Return the executables of some pipelines by what the file calls them, and a sentence for each that is not there."""
    places: dict[str, str] = {}
    for name in names:
        pipeline = plan.pipelines[name]
        for side, program in (("tap", pipeline.tap), ("target", pipeline.target)):
            places.setdefault(program.exec, f"pipelines.{name}.{side}.exec")
    paths = {called: located(called, plan.folder) for called in places}
    problems = [_missing(called, place) for called, place in places.items() if paths[called] is None]
    there = {called: path for called, path in paths.items() if path is not None}
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        ours = dict(
            zip(there, pool.map(lambda path: _is_ours(path, plan.folder, stop), there.values()), strict=True)
        )
    return {called: Found(path, ours[called]) for called, path in there.items()}, problems


def located(called: str, folder: str) -> str | None:
    """Return the path of an executable: in ``folder`` where a slash is in its name, else in PATH, else beside this Python."""
    if "/" in called:
        path = os.path.normpath(os.path.join(folder, os.path.expanduser(called)))
        return path if os.path.isfile(path) and os.access(path, os.X_OK) else None
    return shutil.which(called) or shutil.which(called, path=os.path.dirname(sys.executable))


def _missing(called: str, place: str) -> str:
    hint = ""
    if _SHELL_WORDS & set(called):
        hint = "; arguments stand in `args`, a list"
    return f"There is no executable `{called}`, which is named at `{place}`{line_of(place)}, in PATH or in that place{hint}"


def _is_ours(path: str, folder: str, stop: StopFlag) -> bool:
    """Ask an executable what it is, where it may be ours: a script of others may do its work at any question."""
    if not _may_be_ours(path):
        return False
    said: list[bytes] = []
    code = run_alone(
        [path, "--about", "--format=json"],
        folder=folder,
        env=os.environ,
        on_line=lambda _line: None,
        on_output=said.append,
        timeout=_ABOUT_SECONDS,
        stop=stop,
    )
    try:
        about: Any = json.loads(b"".join(said)) if code == 0 else None
    except ValueError:
        return False
    return isinstance(about, Mapping) and "delivery" in about


def _may_be_ours(path: str) -> bool:
    """Tell whether a file is what an installer of Python makes for a `main` of ours."""
    try:
        with open(path, "rb") as file:
            text = file.read(_LONGEST_SCRIPT)
    except OSError:
        return False
    return text.startswith(b"#!") and b" import main" in text
