"""The command line of a tap: options, config, exit codes, signals."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from singerkit_check.suite.processes import Outcome, run
from singerkit_check.suite.singer import instant
from singerkit_check.suite.sources import key_of
from singerkit_check.suite.tap_runs import TapRuns, bookmarks, records, schemas, states


def expect_refusal(tap: TapRuns, outcome: Outcome, code: int, place: str = "") -> None:
    """Check a non-zero exit; for ours also the code, the CRITICAL line, and that there is no stack trace."""
    assert outcome.code != 0, str(outcome)
    if tap.driver.is_ours:
        outcome.expect(code)
        assert outcome.last_words.startswith("CRITICAL "), str(outcome)
        assert place in outcome.last_words, str(outcome)
        assert "Traceback" not in outcome.stderr, str(outcome)


@pytest.fixture(scope="session")
def unreachable(tap: TapRuns) -> Outcome:
    """A run against a source that does not answer."""
    return tap.run(config=tap.driver.unreachable(tap.changed_config()))


@pytest.fixture(scope="session")
def with_everything(tap: TapRuns) -> Outcome:
    """A run with config, state and the catalog that --discover printed, in the long forms."""
    state, catalog = tap.file(tap.last_state), tap.file(tap.catalog)
    return tap.run("--state", state, "--catalog", catalog)


def test_t01_config_state_and_catalog(with_everything: Outcome) -> None:
    with_everything.expect(0)


def test_t02_discover_prints_the_catalog_and_nothing_else(tap: TapRuns) -> None:
    assert isinstance(json.loads(tap.discovered.stdout), dict)


def test_c19_the_discovered_catalog_can_be_fed_back(tap: TapRuns, with_everything: Outcome) -> None:
    with_everything.expect(0)
    assert set(schemas(with_everything)) == set(schemas(tap.full))


@pytest.mark.parametrize("text", ['["a", "list"]', '{"torn": ', "null"], ids=["list", "torn", "null"])
def test_t03_a_config_that_is_no_object_is_refused(tap: TapRuns, text: str) -> None:
    path = tap.file(text)
    outcome = run([*tap.executable.command, "--config", path])
    expect_refusal(tap, outcome, 78, place=path)


def test_t03_a_missing_config_file_is_refused(tap: TapRuns) -> None:
    path = str(tap.folder / "nowhere.json")
    expect_refusal(tap, run([*tap.executable.command, "--config", path]), 78, place=path)


def test_t03_several_config_files_merge_and_env_is_read(tap: TapRuns) -> None:
    config = tap.changed_config()
    name, value = next((name, value) for name, value in config.items() if isinstance(value, str))
    rest = [{key: value} for key, value in config.items() if key != name]
    prefix = f"{tap.executable.name}_".replace("-", "_").upper()
    elsewhere = dict.fromkeys(key for key in os.environ if key.upper().startswith(prefix))
    parts = [{}, *rest]
    options = [word for part in parts for word in ("--config", tap.file(part))]
    command = [*tap.executable.command, *options, "--config", "ENV", "--discover"]
    outcome = run(command, environment={**elsewhere, prefix + name.upper(): value}).expect(0)
    assert json.loads(outcome.stdout) == tap.catalog


def test_t04_a_run_leaves_the_config_file_as_it_is(tap: TapRuns) -> None:
    """Nothing in a config of this tap changes during a run, so nothing may be written to it."""
    path = Path(tap.file(tap.source.config))
    path.chmod(0o640)
    before = path.read_bytes(), path.stat().st_mtime_ns
    catalog = tap.file(tap.selecting({tap.catalog["streams"][0]["tap_stream_id"]: True}))
    run([*tap.executable.command, "--config", str(path), "--catalog", catalog]).expect(0)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert path.stat().st_mode & 0o777 == 0o640


def test_t05_start_date_is_where_a_first_run_begins(tap: TapRuns) -> None:
    stream, facts = tap.source.facts(ascends=True)
    config = tap.driver.with_start_date(tap.changed_config(), start := "2024-01-15T00:00:00Z")
    outcome = tap.run("--catalog", tap.file(tap.selecting({stream: True})), config=config).expect(0)
    assert facts.replication_key is not None
    moments = [(key_of(row, facts), instant(row[facts.replication_key])) for row in tap.source.rows(stream)]
    wanted = [key for key, moment in moments if moment >= instant(start)]
    assert 0 < len(wanted) < len(moments)
    assert [key_of(row, facts) for row in records(outcome, stream)] == wanted


def test_t06_user_agent(tap: TapRuns) -> None:
    stream, _ = tap.source.facts(replication_key=None)
    config = tap.driver.with_user_agent(tap.changed_config(), "conformance/1.0 (we@example.org)")
    server, path = tap.source.http(stream)
    before = len(server.asked)
    tap.run("--catalog", tap.file(tap.selecting({stream: True})), config=config).expect(0)
    asked = server.requests(path, before)
    assert asked
    assert {one.headers["user-agent"] for one in asked} == {"conformance/1.0 (we@example.org)"}


@pytest.mark.parametrize("option", ["-p", "--properties"])
def test_t07_short_forms(tap: TapRuns, option: str) -> None:
    stream = tap.catalog["streams"][0]["tap_stream_id"]
    catalog = tap.file(tap.selecting({stream: True}))
    config, state = tap.file(tap.source.config), tap.file(tap.last_state)
    outcome = run([*tap.executable.command, "-c", config, "-s", state, option, catalog]).expect(0)
    assert set(schemas(outcome)) == {stream}


def test_t07_d_is_discover(tap: TapRuns) -> None:
    outcome = run([*tap.executable.command, "-c", tap.file(tap.source.config), "-d"]).expect(0)
    assert json.loads(outcome.stdout) == tap.catalog


def test_t08_exit_0_on_success_only(tap: TapRuns, unreachable: Outcome) -> None:
    tap.full.expect(0)
    assert unreachable.code != 0, str(unreachable)
    if tap.driver.is_ours:
        unreachable.expect(tap.driver.code_of_unreachable)


def test_t08_a_stream_that_cannot_be_read_is_no_success(fresh: TapRuns) -> None:
    stream, _ = fresh.source.facts(replication_key=None, parent=None)
    with fresh.source.broken(stream):
        outcome = fresh.run("--catalog", fresh.file(fresh.selecting({stream: True})))
    assert outcome.code != 0, str(outcome)
    assert not records(outcome, stream)
    if fresh.driver.is_ours:
        assert outcome.code in (65, 69, 78), str(outcome)
        assert outcome.last_words.startswith("CRITICAL "), str(outcome)
        assert "Traceback" not in outcome.stderr, str(outcome)


def test_t09_stdout_carries_messages_only(tap: TapRuns) -> None:
    kinds = {"SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION", "BATCH", "REPLACE"}
    assert {message["type"] for message in tap.full.messages} <= kinds


def test_t09_a_failing_tap_prints_no_message_that_is_none(unreachable: Outcome) -> None:
    assert all(message["type"] in ("SCHEMA", "STATE") for message in unreachable.messages)


def test_t10_a_critical_line_before_a_non_zero_exit(unreachable: Outcome) -> None:
    assert "CRITICAL" in unreachable.last_words, str(unreachable)


def test_t11_no_stack_trace_for_errors_we_raise_ourselves(unreachable: Outcome) -> None:
    assert "Traceback" not in unreachable.stderr, str(unreachable)


def test_t12_without_a_catalog_the_streams_selected_by_default_are_synced(tap: TapRuns) -> None:
    by_default = {
        stream["stream"] for stream in tap.catalog["streams"]
        if TapRuns.metadata(stream).get("selected", TapRuns.metadata(stream).get("selected-by-default", True))
    }  # fmt: skip
    assert set(schemas(tap.full)) == by_default


def test_t12_a_stream_that_is_not_selected_by_default_is_not_synced(tap: TapRuns) -> None:
    stream, _ = tap.source.facts(replication_key=None, parent=None)
    config = tap.driver.not_selected_by_default(tap.changed_config(), stream)
    outcome = tap.run("--state", tap.file(tap.last_state), config=config).expect(0)
    assert set(schemas(outcome)) == set(schemas(tap.full)) - {stream}


def test_t13_nothing_selected_is_said(tap: TapRuns) -> None:
    outcome = tap.run("--catalog", tap.file(tap.selecting({})))
    expect_refusal(tap, outcome, 78, place="select")
    assert not [message for message in outcome.messages if message["type"] == "RECORD"]


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_t14_a_signal_stops_at_a_message_boundary(tap: TapRuns, signum: signal.Signals, code: int) -> None:
    stream, facts = tap.source.facts(ascends=True)
    catalog = tap.file(tap.selecting({stream: True}))
    with tap.source.held(stream, 10) as held, tap.running("--catalog", catalog) as running:
        assert held.reached(running), "what is held was never asked for"
        running.signal(signum)
        held.release()
        outcome = running.finish()
    assert outcome.code != 0, str(outcome)
    assert outcome.stdout[-1:] in (b"\n", b""), "it stopped inside a message"
    sent = records(outcome, stream)
    assert len(sent) < len(tap.source.rows(stream)), "it went on to the end"
    if tap.driver.is_ours:
        outcome.expect(code)
        assert outcome.last_words.startswith("CRITICAL "), str(outcome)
        assert facts.replication_key is not None
        for state in states(outcome):
            for _, value in bookmarks(state, stream):
                assert instant(value) <= instant(sent[-1][facts.replication_key])


def test_st04_a_torn_state_file_is_refused(tap: TapRuns) -> None:
    path = tap.file(json.dumps(tap.last_state)[:-5])
    expect_refusal(tap, tap.run("--state", path), 78, place=path)


def test_st02_a_state_file_that_does_not_exist_yet_is_a_first_run(tap: TapRuns) -> None:
    stream, _ = tap.source.facts(ascends=True)
    catalog = tap.file(tap.selecting({stream: True}))
    outcome = tap.run("--catalog", catalog, "--state", os.path.join(tap.folder, "none-yet.json")).expect(0)
    assert len(records(outcome, stream)) == len(tap.source.rows(stream))


def test_st02_without_a_state_everything_is_read(tap: TapRuns) -> None:
    for name, facts in tap.source.known_streams.items():
        if facts.is_top:
            sent, rows = records(tap.full, name), tap.source.rows(name)
            assert sorted(key_of(row, facts) for row in sent) == sorted(key_of(row, facts) for row in rows)
