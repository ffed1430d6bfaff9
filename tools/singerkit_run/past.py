"""Where runs are noted: in a file of the runner beside each state file, and in each target, which is asked for its own (`--history`)."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from singerkit_run.children import run_alone
from singerkit_run.commands import name_in
from singerkit_run.outcomes import Outcome
from singerkit_run.pipe import sentence_in
from singerkit_run.planfile import Plan, Program
from singerkit_run.programs import Found
from singerkit_run.record import files_of_runner, runs_in
from singerkit_shell.configfile import read_text
from singerkit_shell.signals import StopFlag
from singerkit_state.runs import Run, from_json
from singerkit_state.shards import pipeline_and_shard

__all__ = ["Heard", "Question", "ask", "noted_by_runner", "of_pipelines", "questions_of"]

_SECONDS = 120.0
_AT_A_TIME = 4
_PIPELINE = "SINGERKIT_PIPELINE"
_NOT_READ = 78
_LONGEST_CONFIG = 16 << 20


@dataclass(frozen=True)
class Question:
    """A target as it is asked: its command line without options of ours, where it runs, and what of its environment is its own."""

    command: tuple[str, ...]
    folder: str
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Heard:
    """What a target has said: runs, or in one sentence why it has said nothing, with its exit code."""

    runs: Sequence[Run]
    code: int = 0
    why: str = ""


def questions_of(plan: Plan, names: Iterable[str], found: Mapping[str, Found]) -> list[Question]:
    """Return one for each target of ours that pipelines load into, however many do."""
    targets = [(name, plan.pipelines[name].target) for name in names]
    return list(
        dict.fromkeys(
            Question(
                _called(found[one.exec].path, one), plan.folder, tuple(sorted(_env_of(name, one).items()))
            )
            for name, one in targets
            if found[one.exec].is_ours
        )
    )


def _env_of(name: str, target: Program) -> Mapping[str, str]:
    """Return the environment of a target, with the name of the pipeline where its config takes that from there, as in each run."""
    for path in target.configs:
        with contextlib.suppress(OSError, ValueError):
            if _PIPELINE in read_text(path, _LONGEST_CONFIG):
                return {_PIPELINE: name, **target.env}
    return target.env


def _called(path: str, target: Program) -> tuple[str, ...]:
    return (path, *(part for config in target.configs for part in ("--config", config)), *target.args)


def ask(
    questions: Sequence[Question],
    env: Mapping[str, str],
    since: datetime | None,
    last: int | None,
    stop: StopFlag,
    at_least: int | None = None,
) -> list[Heard]:
    """Ask targets for their runs, some of them at a time; ``at_least``: so many of each pipeline, and its last good one, also where they are older."""
    options = ["--history"]
    options += [] if since is None else ["--since", since.isoformat()]
    options += [] if last is None else ["--last", str(last)]
    options += [] if at_least is None else ["--at-least", str(at_least)]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return list(pool.map(lambda one: _heard(one, options, env, stop), questions))


def _heard(question: Question, options: Sequence[str], env: Mapping[str, str], stop: StopFlag) -> Heard:
    words: deque[str] = deque(maxlen=1)
    said: list[Run] = []

    def take(line: bytes) -> None:
        try:
            said.append(from_json(line.decode()))
        except ValueError:
            words.append("It printed something else than a run.")

    code = run_alone(
        [*question.command, *options],
        folder=question.folder,
        env={**env, **dict(question.env)},
        on_line=lambda line: words.append(line) if line.strip() else None,
        on_output=take,
        timeout=_SECONDS,
        stop=stop,
    )
    if code == 0:
        return Heard(said)
    name = os.path.basename(question.command[0])
    if code is None:
        return Heard(said, 69, f"{name} did not say its runs in time.")
    return Heard(
        said, code, f"{name} could not say its runs: {sentence_in(words[-1] if words else '', 'target')}"
    )


def of_pipelines(runs: Iterable[Run], plan: Plan, names: Sequence[str]) -> list[Run]:
    """Return those of some pipelines, of which a config may say another name, and of their shards."""
    called = {_name_of(plan, name) for name in names} | set(names)
    return [run for run in runs if called & {run.pipeline, pipeline_and_shard(run.pipeline)[0]}]


def _name_of(plan: Plan, name: str) -> str:
    pipeline = plan.pipelines[name]
    return name_in(pipeline.tap) or name_in(pipeline.target) or name


def noted_by_runner(plan: Plan, names: Sequence[str]) -> tuple[list[Run], list[Outcome]]:
    """Return what runs of `singerkit run` have noted beside their state files, and which of these cannot be read."""
    runs, unread = list[Run](), list[Outcome]()
    for name in names:
        for file in files_of_runner(Path(plan.pipelines[name].state_file)):
            try:
                runs += runs_in(file)
            except OSError as error:
                why = f"What `singerkit run` has noted in {file} cannot be read ({error.strerror}), and is left out: see to its permissions, or move it away."
                unread.append(Outcome(_NOT_READ, why))
    return runs, unread
