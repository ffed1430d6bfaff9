"""What programs are asked before anything runs: whether they are ours, and whether ours would take the configs that the file gives them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from singerkit_run.children import run_alone
from singerkit_run.planfile import Plan, Program
from singerkit_shell.errors import RetryableError
from singerkit_shell.signals import StopFlag

__all__ = ["Answer", "Side", "arguments_of", "ask", "sentences_of", "sides_of"]

_SECONDS, _SECONDS_EACH = 60.0, 2.0
_TRIES = 2
_LONGEST_SCRIPT = 10_000
_BY_SIGNALS = range(128, 128 + 65)
"""What a shell calls the ends by a signal."""
_TO_BE_MENDED = (64, 77, 78)
"""What a program ends with where its command line or config is wrong; what else may come of it, the run will tell."""


@dataclass(frozen=True)
class Side:
    """One program of a pipeline, with the variables of its environment beside those that there are."""

    place: str
    program: Program
    env: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """How a side would end at once, and what it would say of that."""

    side: Side
    code: int
    said: str


def arguments_of(program: Program, configs: Iterable[str]) -> list[str]:
    """Return what the file says of a command line, with these configs."""
    return [
        *(part for path in configs for part in ("--config", path)),
        *(("--catalog", program.catalog) if program.catalog else ()),
        *(("--properties", program.properties) if program.properties else ()),
        *program.args,
    ]


def sides_of(plan: Plan, names: Sequence[str]) -> Iterator[Side]:
    for name in names:
        pipeline = plan.pipelines[name]
        for side, program in (
            ("tap", pipeline.tap),
            ("mapper", pipeline.mapper),
            ("target", pipeline.target),
        ):
            if program is None:
                continue
            yield Side(f"pipelines.{name}.{side}", program, {"SINGERKIT_PIPELINE": name, **program.env})


def ask(
    path: str, sides: Sequence[Side], folder: str, env: Mapping[str, str], stop: StopFlag
) -> list[Answer] | None:
    """Return what a program says of sides that it is to be; None where it is none of ours: a script of others may do its work at any question.

    Ours answer a line that says so, and then one for each that they are asked (`singerkit_shell.trials`). To a program of others it is
    the question `--about`, with an option that it does not have.

    Raises:
        RetryableError: it was killed, or did not answer, and was so once more: one of ours that counts for another keeps its state elsewhere.
    """
    if not _may_be_ours(path):
        return None
    for _ in range(_TRIES):
        code, said = _asked(path, sides, folder, env, stop)
        if stop:
            return None
        if code is not None and code not in _BY_SIGNALS:
            return _answers(code, said, sides)
    how = (
        "it did not answer in time" if code is None else f"it was ended by signal {code - _BY_SIGNALS.start}"
    )
    raise RetryableError(
        f"The program {path} was asked what it is, and {how}, {_TRIES} times, so that nobody knows whether it is one of ours; nothing was run: run again."
    )


def _asked(
    path: str, sides: Sequence[Side], folder: str, env: Mapping[str, str], stop: StopFlag
) -> tuple[int | None, bytes]:
    said: list[bytes] = []
    code = run_alone(
        [path, "--about", "--format=json", "--check-configs"],
        folder=folder,
        env=env,
        on_line=lambda _line: None,
        on_output=said.append,
        timeout=_SECONDS + _SECONDS_EACH * len(sides),
        stop=stop,
        words="".join(
            json.dumps({"arguments": arguments_of(one.program, one.program.configs), "env": dict(one.env)})
            + "\n"
            for one in sides
        ).encode(),
    )
    return code, b"".join(said)


def _answers(code: int, said: bytes, sides: Sequence[Side]) -> list[Answer] | None:
    try:
        first, *answers = [json.loads(line) for line in said.splitlines()]
        if code != 0 or "singerkit" not in first:
            return None
        return [Answer(side, one["code"], one["said"]) for side, one in zip(sides, answers, strict=True)]
    except (ValueError, TypeError, KeyError):
        return None


def sentences_of(answers: Sequence[Answer], folder: str) -> list[str]:
    """Return a sentence for each thing that is to be mended, with the places that it is wrong for; files in ``folder`` by their names there."""
    places: dict[str, list[str]] = {}
    for one in answers:
        if one.code in _TO_BE_MENDED:
            places.setdefault(_sentence_in(one.said).replace(f"{folder}/", ""), []).append(one.side.place)
    return [f"{_some(of)}: {sentence}" for sentence, of in places.items()]


def _some(places: Sequence[str]) -> str:
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return ", ".join(f"`{one}`" for one in places[:3]) + more


def _sentence_in(said: str) -> str:
    """Return what stands in the last line of a program, without its name and what is said for all."""
    _, _, sentence = said.partition(": ")
    return (sentence or said).removesuffix(" Nothing was read.").removesuffix(".")


def _may_be_ours(path: str) -> bool:
    """Tell whether a file is what an installer of Python makes for a `main` of ours."""
    try:
        with open(path, "rb") as file:
            text = file.read(_LONGEST_SCRIPT)
    except OSError:
        return False
    return text.startswith(b"#!") and b" import main" in text
