"""The executables of a pipe: where they are, and whether they are ours, which keep their state with their rows."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from singerkit_run.asking import Answer, Side, ask, sentences_of, sides_of
from singerkit_run.planfile import ENVIRONMENT, Plan
from singerkit_shell.signals import StopFlag
from singerkit_shell.validate import line_of

__all__ = ["Found", "find_programs", "located"]

_AT_A_TIME = 4
_SHELL_WORDS = frozenset(" \t|&;<>")


@dataclass(frozen=True)
class Found:
    """An executable; ``is_ours`` when it is one of singerkit's, whatever it is called."""

    path: str
    is_ours: bool


def find_programs(
    plan: Plan, names: Sequence[str], env: Mapping[str, str], stop: StopFlag, *, tries_configs: bool = True
) -> tuple[dict[str, Found], list[str]]:
    """Return the executables of some pipelines by what the file calls them, and a sentence for each thing that is not there.

    With ``tries_configs`` also for each file that is not there, and whatever ours would refuse.
    """
    sides: dict[str, list[Side]] = {}
    for side in sides_of(plan, names):
        sides.setdefault(side.program.exec, []).append(side)
    paths = {called: located(called, plan.folder) for called in sides}
    problems = [
        _missing(called, f"{sides[called][0].place}.exec") for called, path in paths.items() if path is None
    ]
    there = {called: path for called, path in paths.items() if path is not None}
    tried = [side for some in sides.values() for side in some] if tries_configs else []
    problems += [sentence for side in tried for sentence in _missing_files(side, plan)]
    whole = [side for side in tried if not _missing_files(side, plan)]

    def asked(called: str) -> list[Answer] | None:
        of_it = [side for side in whole if side.program.exec == called]
        return ask(there[called], of_it, plan.folder, env, stop)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        answers = dict(zip(there, pool.map(asked, there), strict=True))
    problems += sentences_of([one for some in answers.values() for one in some or ()], plan.folder)
    return {called: Found(path, answers[called] is not None) for called, path in there.items()}, problems


def _missing_files(side: Side, plan: Plan) -> list[str]:
    program = side.program
    named = [
        *(("config", file) for file in program.configs),
        ("catalog", program.catalog),
        ("properties", program.properties),
    ]
    return [
        f"There is no file `{os.path.relpath(file, plan.folder)}`, which `{side.place}` names{line_of(f'{side.place}.{key}')}"
        for key, file in named
        if file is not None and file != ENVIRONMENT and not os.path.exists(file)
    ]


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
