"""Metrics, logs, limits, and rows that flow."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from singerkit_check.suite.singer import parse
from singerkit_check.suite.source_server import PAGE
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
    assert tap.source.known_streams
    assert tap.source.secret is not None
    for outcome in tap.outcomes:
        assert tap.source.secret not in outcome.stderr, outcome.command
        assert tap.source.secret.encode() not in outcome.stdout, outcome.command


def test_l04_a_refused_secret_is_not_printed(tap: TapRuns) -> None:
    config = json.loads(json.dumps(tap.source.config).replace(tap.source.secret or "\0", "canary-wrong-one"))
    assert tap.source.known_streams
    assert config != tap.source.config
    outcome = tap.run(config=config)
    assert outcome.code == 77 or (outcome.code and not tap.driver.is_ours), str(outcome)
    assert "canary-wrong-one" not in outcome.stderr + outcome.stdout.decode()


def test_l05_a_rate_limit_is_honoured(fresh: TapRuns) -> None:
    stream, facts = fresh.source.facts(parent=None, replication_key=None)
    catalog = fresh.file(fresh.selecting({stream: True}))
    fresh.source.server.answers_first[facts.path] = [(429, {"Retry-After": "2"})]
    before = fresh.asked
    outcome = fresh.run("--catalog", catalog).expect(0)
    refused, then, *_ = fresh.source.server.requests(facts.path, before)
    assert (refused.status, then.status) == (429, 200)
    assert then.at - refused.at >= 2
    assert len(records(outcome, stream)) == len(fresh.source.rows(stream))


def test_l06_a_failing_server_is_asked_again(fresh: TapRuns) -> None:
    stream, facts = fresh.source.facts(parent=None, replication_key=None)
    catalog = fresh.file(fresh.selecting({stream: True}))
    fresh.source.server.answers_first[facts.path] = [(500, {}), (503, {})]
    before = fresh.asked
    outcome = fresh.run("--catalog", catalog).expect(0)
    asked = fresh.source.server.requests(facts.path, before)
    assert [one.status for one in asked[:3]] == [500, 503, 200]
    assert len(records(outcome, stream)) == len(fresh.source.rows(stream))


def test_l07_o08_st05_rows_and_states_flow_while_the_source_is_slow(tap: TapRuns) -> None:
    """While the source holds a page back, the rows before it, and a STATE for them, reach the reader."""
    stream, facts = tap.source.facts(ascends=True)
    catalog, page, server = tap.file(tap.selecting({stream: True})), 4, tap.source.server
    wanted = (page - 1) * PAGE
    config = tap.driver.with_states_often(tap.changed_config(), PAGE)
    with server.held(facts.path, page) as asked, tap.running("--catalog", catalog, config=config) as running:
        assert asked.wait(30), "the page was never asked for"
        rows_came = running.wait_for(lambda lines: _count(lines, b'"RECORD"') >= wanted, 5)
        came = _count(running.lines, b'"RECORD"')
        state_came = running.wait_for(lambda lines: _bookmarked(lines, stream), 5)
        server.release(facts.path, page)
        outcome = running.finish().expect(0)
    assert rows_came, f"{came} of {wanted} rows had come"
    assert state_came, "no STATE with a bookmark had come"
    assert len(records(outcome, stream)) == len(tap.source.rows(stream))
    assert states(outcome)


def _count(lines: list[bytes], part: bytes) -> int:
    return sum(part in line[:40] for line in lines)


def _bookmarked(lines: list[bytes], stream: str) -> bool:
    return any(list(bookmarks(parse(line)["value"], stream)) for line in lines if b'"STATE"' in line[:40])
