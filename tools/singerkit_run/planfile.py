"""The file of pipelines: what is wrong in it, and what it says (docs/run.md)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from singerkit_run.durations import range_of, seconds_of
from singerkit_run.order import problems_of_order
from singerkit_run.planschema import SCHEMA
from singerkit_shell.configfile import Referred, read_config, variables_beside
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor
from singerkit_shell.validate import line_of, schema_problems
from singerkit_shell.words import ended
from singerkit_signals.settings import Signals, signals_of
from singerkit_signals.settings import problems_of as problems_of_signals
from singerkit_state.shards import WHOLE, Shard

__all__ = [
    "ENVIRONMENT",
    "NAMES",
    "SHARD_WORDS",
    "Hook",
    "Pipeline",
    "Plan",
    "Program",
    "Retries",
    "default_file",
    "read_plan",
]

SHARD_WORDS = ("SHARD", "SHARD_INDEX", "SHARD_COUNT")
"""What is filled in when a pipeline is run: nobody has to set it."""
NAMES = ("singerkit.yaml", "singerkit.yml", "singerkit.toml", "singerkit.json")
"""The files that are looked for where none is named."""
ENVIRONMENT = "ENV"
"""What stands in the place of a config file where the settings are variables (singer-sdk's rule)."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SHARD = re.compile(rf"\$\{{(?:{'|'.join(SHARD_WORDS)})\}}")
_NAMES = re.compile(r"\$\{([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Program:
    """One program of a pipe; paths are absolute. What `env` takes from elsewhere is a `Referred`."""

    exec: str
    configs: tuple[str, ...] = ()
    catalog: str | None = None
    properties: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Retries:
    """How often a pipe is tried again, after which exit codes, and the seconds before the first and at the most."""

    times: int = 0
    on: frozenset[int] = frozenset()
    wait: tuple[float, float] = (0.0, 0.0)

    def seconds_before(self, retry: int) -> float:
        """Return how long to wait before a retry, of which the first has the number 1."""
        shortest, longest = self.wait
        return min(shortest * 2.0 ** (retry - 1), max(shortest, longest))


@dataclass(frozen=True)
class Hook:
    """A command that runs behind a pipe; ``always``: also where nothing was committed."""

    run: str
    always: bool
    timeout: float


@dataclass(frozen=True)
class Pipeline:
    """A pipe by its name; ``timeout`` in seconds."""

    name: str
    tap: Program
    target: Program
    after: tuple[str, ...]
    state_file: str
    retries: Retries
    timeout: float | None
    hooks: tuple[Hook, ...]
    late_after: float | None = None
    """Seconds from one good run to the next behind which it is late, if the file says so."""
    called: str | None = None
    """What ours are told that it is called, whatever their config says; None: as the config of one side, or this file."""
    shard: Shard = WHOLE
    mapper: Program | None = None
    """What stands between tap and target."""


@dataclass(frozen=True)
class Plan:
    """What a file says; ``folder`` is where it is, and where everything runs."""

    path: str
    folder: str
    pipelines: Mapping[str, Pipeline]
    jobs: int
    on_failure: tuple[Sequence[str], float] | None
    run_history_days: float = 90.0
    signals: Signals | None = None


def default_file() -> str:
    """Return the file of pipelines in the folder in which we are.

    Raises:
        ConfigurationError: there is none, or there are several.
    """
    found = [name for name in NAMES if os.path.exists(name)]
    if len(found) == 1:
        return found[0]
    there = f"there are {' and '.join(found)}" if found else f"there is none of {', '.join(NAMES)} here"
    raise ConfigurationError(
        f"Expected the file of pipelines, as in `singerkit run FILE`, since {there}; nothing was run."
    )


def read_plan(path: str) -> Plan:
    """Return what a file of pipelines says; `${NAME}` in it is a variable of the environment, or of `.env` beside it.

    Raises:
        ConfigurationError: it cannot be read, or something in it is wrong: all that is, a sentence each, with its line.
    """
    config = read_config(path, left=SHARD_WORDS)
    referred = {place: text for place, text in _texts(config, "") if isinstance(text, Referred)}
    problems = _variables_seen(config) or schema_problems(config, SCHEMA) or _problems_of(config)
    _hide_secrets(path, referred)
    if problems:
        raise ConfigurationError(f"{ended('; '.join(problems))} Nothing was run: mend {path}.")
    return _plan_of(os.path.abspath(path), config, referred)


def _hide_secrets(path: str, referred: Mapping[str, Referred]) -> None:
    """What a variable holds that is called a secret is one in a path, too, and in the sentence that there is no such file."""
    held = {**variables_beside(path), **os.environ}
    for text in referred.values():
        names = _NAMES.findall(text.written or "")
        redactor.add_from_config({name: held[name] for name in names if name in held})


def _variables_seen(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each variable that would stand in a command line, where everybody on the machine sees it."""
    return [
        f"Expected no `${{NAME}}` at `{place}`{line_of(place)}, where everybody on the machine could see what it holds; {advice}"
        for place, value in _texts(config, "")
        if isinstance(value, Referred) and (advice := _advice(place)) is not None
    ]


def _advice(place: str) -> str | None:
    if re.fullmatch(r".*\.run", place):
        return "write `$NAME`, which the shell fills in"
    if re.search(r"\.exec$|\.args\[\d+\]$", place):
        return "give it by `env`, or in the config file"
    return None


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield each text of a config with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{place}[{index}]")


def _problems_of(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that a schema cannot say."""
    pipelines = config["pipelines"]
    names = [
        f"Expected a name of letters, digits, `_`, `-` and `.`, which begins with a letter or digit, got `{name[:100]}` at "
        f"`pipelines`{line_of(f'pipelines.{name}')}"
        for name in pipelines
        if not _NAME.fullmatch(name)
    ]
    after = {name: one.get("after", []) for name, one in pipelines.items()}
    shards = [
        f"Expected `${{SHARD}}` and the like within `tap`, `mapper` and `target` alone, where they are filled in, got them at `{place}`{line_of(place)}"
        for place, value in _texts(config, "")
        if _SHARD.search(value) and not re.search(r"\.(?:tap|mapper|target)\.(?!exec$)", place)
    ]
    return [
        *names,
        *shards,
        *problems_of_order(after, lambda name: line_of(f"pipelines.{name}.after")),
        *_same_states(config),
        *problems_of_signals(config.get("signals", {})),
        *_waits_that_shrink(config),
    ]


def _waits_that_shrink(config: Mapping[str, Any]) -> Iterator[str]:
    said = {f"pipelines.{name}": one for name, one in config["pipelines"].items()} | {"": config}
    for place, one in said.items():
        wait = one.get("retries", {}).get("wait", 0)
        first, last = range_of(wait)
        if last < first:
            where = f"{place}.retries.wait".removeprefix(".")
            yield f"Expected the shorter length of time first, got `{wait}` at `{where}`{line_of(where)}"


def _same_states(config: Mapping[str, Any]) -> list[str]:
    by_file: dict[str, list[str]] = {}
    for name, one in config["pipelines"].items():
        by_file.setdefault(os.path.normpath(_state_file(name, one, config)), []).append(name)
    return [
        f"Expected a state file for each pipeline, got `{file}` for {' and '.join(f'`{name}`' for name in names)}"
        f"{line_of(f'pipelines.{names[-1]}.state')}"
        for file, names in by_file.items()
        if len(names) > 1
    ]


def _state_file(name: str, one: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    given = one.get("state")
    return (
        str(given) if given is not None else os.path.join(config.get("state_folder", "state"), f"{name}.json")
    )


def _plan_of(path: str, config: Mapping[str, Any], referred: Mapping[str, Referred]) -> Plan:
    folder = os.path.dirname(path)

    def pipeline(name: str, one: Mapping[str, Any]) -> Pipeline:
        timeout, late = (one.get(key, config.get(key)) for key in ("timeout", "late_after"))
        return Pipeline(
            name,
            _program(one["tap"], folder, f"pipelines.{name}.tap", referred),
            _program(one["target"], folder, f"pipelines.{name}.target", referred),
            tuple(one.get("after", ())),
            os.path.join(folder, _state_file(name, one, config)),
            _retries(one.get("retries", config.get("retries"))),
            None if timeout is None else seconds_of(timeout),
            tuple(map(_hook, one.get("after_commit", ()))),
            None if late is None else seconds_of(late),
            mapper=_program(one["mapper"], folder, f"pipelines.{name}.mapper", referred)
            if "mapper" in one
            else None,
        )

    failure = config.get("on_failure")
    return Plan(
        path,
        folder,
        {name: pipeline(name, one) for name, one in config["pipelines"].items()},
        config.get("jobs", 1),
        failure and ([failure["exec"], *failure.get("args", ())], seconds_of(failure.get("timeout", "1m"))),
        config.get("run_history_days", 90.0),
        signals_of(config.get("signals"), folder),
    )


def _program(said: Mapping[str, Any], folder: str, place: str, referred: Mapping[str, Referred]) -> Program:
    def located(path: str | None) -> str | None:
        return None if path is None else os.path.join(folder, path)

    configs = said.get("config", ())
    return Program(
        said["exec"],
        tuple(
            one if one == ENVIRONMENT else os.path.join(folder, one)
            for one in ([configs] if isinstance(configs, str) else configs)
        ),
        located(said.get("catalog")),
        located(said.get("properties")),
        tuple(said.get("args", ())),
        {name: referred.get(f"{place}.env.{name}", text) for name, text in said.get("env", {}).items()},
    )


def _retries(said: Mapping[str, Any] | None) -> Retries:
    if said is None:
        return Retries()
    return Retries(
        said.get("times", 3), frozenset(said.get("on", (69, 75))), range_of(said.get("wait", "30s..10m"))
    )


def _hook(said: Mapping[str, Any]) -> Hook:
    return Hook(said["run"], said.get("when") == "success", seconds_of(said.get("timeout", "1h")))
