"""`--shard i/n`: one part of each pipeline, with a state and a lock of its own (docs/shards.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from singerkit_run.commands import name_in
from singerkit_run.planfile import SHARD_WORDS, Pipeline, Plan, Program
from singerkit_run.programs import Found
from singerkit_state.shards import Shard

__all__ = ["problems_of_shard", "sharded", "with_words_of"]


def _words(shard: Shard) -> Mapping[str, str]:
    """Return what `args` of a tap may name, and what stands for it."""
    values = (str(shard), str(shard.number), str(shard.of))
    return {f"${{{word}}}": value for word, value in zip(SHARD_WORDS, values, strict=True)}


def problems_of_shard(
    plan: Plan, names: Iterable[str], found: Mapping[str, Found], shard: Shard
) -> list[str]:
    """Return a sentence for each pipeline whose tap would read all rows in each shard."""
    return [
        f"The tap `{tap.exec}` of `pipelines.{name}` is none of singerkit's, and each shard would read all of it: write `${{SHARD}}` (`{shard}`), or "
        "`${SHARD_INDEX}` and `${SHARD_COUNT}`, into its `args` or `env`, or run it without `--shard`"
        for name in names
        if shard.of > 1
        and not found[(tap := plan.pipelines[name].tap).exec].is_ours
        and _filled(tap, shard) == tap
    ]


def with_words_of(plan: Plan, shard: Shard) -> Plan:
    """Return the plan with what stands for the shard filled in, and all else as it is for the whole."""
    return replace(
        plan,
        pipelines={
            name: replace(
                one,
                tap=_filled(one.tap, shard),
                mapper=None if one.mapper is None else _filled(one.mapper, shard),
                target=_filled(one.target, shard),
            )
            for name, one in plan.pipelines.items()
        },
    )


def sharded(plan: Plan, found: Mapping[str, Found], shard: Shard) -> Plan:
    """Return the plan of one shard."""
    return replace(plan, pipelines={name: _part(one, found, shard) for name, one in plan.pipelines.items()})


def _part(pipeline: Pipeline, found: Mapping[str, Found], shard: Shard) -> Pipeline:
    tap, target = _filled(pipeline.tap, shard), _filled(pipeline.target, shard)
    mapper = None if pipeline.mapper is None else _filled(pipeline.mapper, shard)
    if shard.of == 1:
        return replace(pipeline, tap=tap, mapper=mapper, target=target)
    if tap.exec in found and found[tap.exec].is_ours:
        tap = replace(tap, args=(*tap.args, "--shard", str(shard)))
    name = name_in(tap) or name_in(target) or pipeline.name
    return replace(
        pipeline,
        tap=tap,
        mapper=mapper,
        target=target,
        state_file=shard.file_of(pipeline.state_file),
        called=shard.called(name),
        shard=shard,
    )


def _filled(program: Program, shard: Shard) -> Program:
    def filled(text: str) -> str:
        for word, value in _words(shard).items():
            if word in text:  # else it stays what it is, and says that it comes from a variable
                text = text.replace(word, value)
        return text

    return replace(
        program,
        configs=tuple(map(filled, program.configs)),
        catalog=None if program.catalog is None else filled(program.catalog),
        properties=None if program.properties is None else filled(program.properties),
        args=tuple(map(filled, program.args)),
        env={name: filled(value) for name, value in program.env.items()},
    )
