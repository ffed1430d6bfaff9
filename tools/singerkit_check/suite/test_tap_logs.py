"""Metrics, logs, limits, and rows that flow."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from singerkit_check.suite.singer import parse
from singerkit_check.suite.tap_runs import TapRuns, bookmarks, records, states

METRIC = re.compile(r"METRIC: (\{.*\})")


def metrics(tap: TapRuns) -> list[dict[str, Any]]:
    found = [json.loads(text) for text in METRIC.findall(tap.full.stderr)]
    assert found, "no METRIC in the log"
    return found


def test_l01_metrics_have_type_metric_value_and_tags(tap: TapRuns) -> None:
    for metric in metrics(tap):
        assert metric["type"] in ("counter", "timer", "gauge")
        assert isinstance(metric["metric"], str)
        assert isinstance(metric["value"], int | float)
        assert isinstance(metric["tags"], dict)


def test_l01_counters_are_increments(tap: TapRuns) -> None:
    counted: Counter[str] = Counter()
    for metric in metrics(tap):
        if metric["metric"] == "record_count":
            counted[metric["tags"].get("stream") or metric["tags"].get("endpoint")] += metric["value"]
    sent = Counter(message["stream"] for message in tap.full.messages if message["type"] == "RECORD")
    assert counted == sent


def test_l01_timers_are_seconds(tap: TapRuns) -> None:
    timers = [metric for metric in metrics(tap) if metric["type"] == "timer"]
    assert timers, "no timer"
    assert all(0 <= metric["value"] < 60 for metric in timers)


def test_l04_secrets_are_never_printed(tap: TapRuns) -> None:
    tap.discovered, tap.full  # noqa: B018  at least these; whatever else ran before is looked at too
    secret = _secret(tap)
    for outcome in tap.outcomes:
        assert secret not in outcome.stderr, outcome.command
        assert secret.encode() not in outcome.stdout, outcome.command


def _secret(tap: TapRuns) -> str:
    return tap.source.secret or tap.source.cannot("that wants a secret of the config")


def test_l04_a_refused_secret_is_not_printed(tap: TapRuns) -> None:
    config = json.loads(json.dumps(tap.source.config).replace(_secret(tap), "canary-wrong-one"))
    assert config != tap.source.config
    outcome = tap.run(config=config)
    assert outcome.code == 77 or (outcome.code and not tap.driver.is_ours), str(outcome)
    assert "canary-wrong-one" not in outcome.stderr + outcome.stdout.decode()


def test_l05_a_rate_limit_is_honoured(fresh: TapRuns) -> None:
    stream, _ = fresh.source.facts(parent=None, replication_key=None)
    server, path = fresh.source.http(stream)
    catalog = fresh.file(fresh.selecting({stream: True}))
    server.answers_first[path] = [(429, {"Retry-After": "2"})]
    before = len(server.asked)
    outcome = fresh.run("--catalog", catalog).expect(0)
    refused, then, *_ = server.requests(path, before)
    assert (refused.status, then.status) == (429, 200)
    assert then.at - refused.at >= 2
    assert len(records(outcome, stream)) == len(fresh.source.rows(stream))


def test_l06_a_failing_source_is_asked_again(fresh: TapRuns) -> None:
    stream, _ = fresh.source.facts(parent=None, replication_key=None)
    catalog = fresh.file(fresh.selecting({stream: True}))
    with fresh.source.ailing(stream):
        outcome = fresh.run("--catalog", catalog).expect(0)
    assert len(records(outcome, stream)) == len(fresh.source.rows(stream))


def test_l07_o08_st05_rows_and_states_flow_while_the_source_is_slow(tap: TapRuns) -> None:
    """While the source holds rows back, those before them, and a STATE for them, reach the reader."""
    stream, _ = tap.source.facts(ascends=True)
    catalog = tap.file(tap.selecting({stream: True}))
    config = tap.driver.with_states_often(tap.changed_config(), 5)
    with tap.source.held(stream, 15) as held, tap.running("--catalog", catalog, config=config) as running:
        if not held.rows:
            tap.source.cannot("that holds the rest of a stream back, and not the whole")
        assert held.reached(running), "what is held was never asked for"
        rows_came = running.wait_for(lambda lines: _count(lines, b'"RECORD"') >= held.rows, 5)
        came = _count(running.lines, b'"RECORD"')
        state_came = running.wait_for(lambda lines: _bookmarked(lines, stream), 5)
        held.release()
        outcome = running.finish().expect(0)
    assert rows_came, f"{came} of {held.rows} rows had come"
    assert state_came, "no STATE with a bookmark had come"
    assert len(records(outcome, stream)) == len(tap.source.rows(stream))
    assert states(outcome)


def _count(lines: list[bytes], part: bytes) -> int:
    return sum(part in line[:40] for line in lines)


def _bookmarked(lines: list[bytes], stream: str) -> bool:
    return any(list(bookmarks(parse(line)["value"], stream)) for line in lines if b'"STATE"' in line[:40])
