"""The command lines of a pipe, and the files that they need: a state, and the name of the pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from singerkit_run.asking import arguments_of
from singerkit_run.planfile import Pipeline, Program
from singerkit_run.programs import Found
from singerkit_shell.configfile import read_text
from singerkit_shell.configtext import kind_of, value_of
from singerkit_state.statefile import replace_file

__all__ = ["Commands", "commands_of", "name_file", "named", "said_in", "write_name"]

_LONGEST_CONFIG = 16 << 20


@dataclass(frozen=True)
class Commands:
    """What is run; ``last_state`` asks a target of ours for the state that it has committed, and is None for others."""

    tap: list[str]
    target: list[str]
    last_state: list[str] | None
    tap_env: Mapping[str, str]
    target_env: Mapping[str, str]
    state_file: str
    is_target_ours: bool
    mapper: list[str] | None = None
    mapper_env: Mapping[str, str] = field(default_factory=dict)

    def in_order(self) -> list[tuple[str, list[str], Mapping[str, str]]]:
        """Return what each program of the pipe is called, its command line and its variables, from the tap on."""
        between = [] if self.mapper is None else [("mapper", self.mapper, self.mapper_env)]
        return [
            ("tap", self.tap, self.tap_env),
            *between,
            ("target", self.target, self.target_env),
        ]


def commands_of(pipeline: Pipeline, found: Mapping[str, Found], has_state: bool) -> Commands:
    """Return the command lines of a pipeline; ``has_state``: its state file is there.

    Ours are told the name of the pipeline by a small file beside the state, which `write_name` writes, unless their config says one; a state file that is
    not there is a first run to them, and an error to others. A mapper of ours is told of the state, too: it looks there which map the rows went through.
    """
    tap, target = found[pipeline.tap.exec], found[pipeline.target.exec]
    state = ["--state", pipeline.state_file] if tap.is_ours or has_state else []
    whole = [*_called(pipeline.target, target, pipeline)]
    of_state = ["--state-file", pipeline.state_file] if target.is_ours else []
    return Commands(
        [*_called(pipeline.tap, tap, pipeline), *state],
        [*whole, *of_state],
        [*whole, *of_state, "--last-state"] if target.is_ours else None,
        pipeline.tap.env,
        pipeline.target.env,
        pipeline.state_file,
        target.is_ours,
        *_mapper(pipeline, found),
    )


def _mapper(
    pipeline: Pipeline, found: Mapping[str, Found]
) -> tuple[list[str], Mapping[str, str]] | tuple[()]:
    if pipeline.mapper is None:
        return ()
    it = found[pipeline.mapper.exec]
    state = ["--state", pipeline.state_file] if it.is_ours else []
    return [it.path, *arguments_of(pipeline.mapper, pipeline.mapper.configs), *state], pipeline.mapper.env


def _called(program: Program, found: Found, pipeline: Pipeline) -> list[str]:
    configs = [*program.configs]
    if found.is_ours and (pipeline.called is not None or name_in(program) is None):
        configs.append(name_file(pipeline))
    return [found.path, *arguments_of(program, configs)]


def name_file(pipeline: Pipeline) -> str:
    return f"{pipeline.state_file.removesuffix('.json')}.pipeline.json"


def write_name(pipeline: Pipeline) -> None:
    """Write the small config that gives ours the name of their pipeline.

    Raises:
        CannotWriteError: it cannot be written.
    """
    data = named(pipeline).encode() + b"\n"
    try:
        with open(name_file(pipeline), "rb") as file:
            if file.read() == data:
                return
    except OSError:
        pass
    replace_file(name_file(pipeline), data, "config")


def named(pipeline: Pipeline) -> str:
    """Return what stands in that small config."""
    # Where one side says another name the two are one pipeline all the same.
    name = pipeline.called or name_in(pipeline.tap) or name_in(pipeline.target) or pipeline.name
    return json.dumps({"pipeline": name})


def name_in(program: Program) -> str | None:
    """Return the pipeline that a config names; of one that cannot be read, the program itself will say why."""
    name = said_in(program, "pipeline")
    return name if isinstance(name, str) else None


def said_in(program: Program, key: str) -> Any:
    """Return what the config files of a program say at a key, None for nothing; of several the last one counts."""
    found = None
    for path in program.configs:
        try:
            said = value_of(read_text(path, _LONGEST_CONFIG), kind_of(path), dict)
        except (OSError, ValueError):
            continue
        if isinstance(said, Mapping) and key in said:
            found = said[key]
    return found
