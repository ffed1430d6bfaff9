"""`--judge`: the tables of a target held against the rules of its config, after a load and without one."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import click

from singerkit_quality.rules import On, Rules
from singerkit_quality.sets import AskedSet, Found, Standing
from singerkit_shell.errors import SingerkitError
from singerkit_shell.words import counted
from singerkit_sql_target.dialect import Runs, Words
from singerkit_sql_target.judging import SetJudge
from singerkit_sql_target.replaying import ReplayingLoader
from singerkit_sql_target.settings import Settings

__all__ = ["TablesBroken", "judge_tables"]


class TablesBroken(SingerkitError):
    """Rows that are stored break rules; nothing was changed."""

    exit_code = 65


def judge_tables(
    loader: ReplayingLoader, rules: Rules, words: Words, settings: Settings, pipeline: str | None
) -> None:
    """Print what came of each rule, a line of JSON each; changes nothing.

    Raises:
        TablesBroken: a rule with `fail` or `quarantine` is broken.
    """
    try:
        loader.open()
        nothing: list[Found] = []
        found = loader.ask(partial(_judged, rules, words, settings, pipeline), "judging the tables", nothing)
    finally:
        loader.rollback()
        loader.close()
    for one in found:
        click.echo(json.dumps(_said(one), ensure_ascii=False))
    bad = [one for one in found if one.standing is Standing.BROKEN and one.rule.on is not On.WARN]
    if bad:
        told = "; ".join(f"stream `{one.stream}`: {one.told()}" for one in bad[:3])
        more = f"; and {counted(len(bad) - 3, 'rule')} more" if len(bad) > 3 else ""
        raise TablesBroken(
            f"Expected tables that keep the rules of quality, got ones that break {counted(len(bad), 'rule')}: {told}{more}. Nothing was changed: correct the rows, "
            "at the source first, then judge again."
        )


def _judged(rules: Rules, words: Words, settings: Settings, pipeline: str | None, runs: Runs) -> list[Found]:
    judge = SetJudge(runs, words, settings, pipeline)
    streams = judge.streams_of(rules)
    return [
        judge.judge(AskedSet(stream, rule, judge.keys_of(stream)))
        for stream in streams
        for rule in rules.of(stream)
    ]


def _said(one: Found) -> dict[str, Any]:
    rule = one.rule
    return {
        "stream": one.stream,
        "rule": rule.kind,
        "fields": list(rule.fields),
        "place": rule.place,
        "on": rule.on.value,
        "verdict": one.standing.value,
        "judged": one.judged,
        "broken": one.broken,
        "why": one.why,
        "keys": list(one.keys),
    }
