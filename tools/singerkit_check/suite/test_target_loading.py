"""When a target commits, what it prints, how it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from singerkit_check.suite.pieces import ORDER
from singerkit_check.suite.processes import Outcome, run
from singerkit_check.suite.singer import MARK, RECORD, SCHEMA, STATE, line, lines, without_mark
from singerkit_check.suite.target_runs import TargetRuns, expect_one_sentence

OPAQUE = [
    {"bookmarks": {"a": {"version": 1, "offset": {"lsn": 12345678901234567890}}}, "currently_syncing": "a"},
    {"any": {"shape": [1, None, True, 0.5, "x\u2028"]}},
    {"last": "ü", "bookmarks": {}},
]

NOTHING: tuple[dict[str, Any], ...] = ({}, {"bookmarks": {}})
"""What a target may print of the state that a first run starts from."""


def units(stream: str, count: int, rows: int = 3, pad: str = "") -> list[bytes]:
    """Return SCHEMA, then ``count`` units of rows and the STATE that covers them: {"n": number of rows}."""
    parts = [line(SCHEMA(stream, ORDER, ["id"]))]
    for unit in range(count):
        first = unit * rows + 1
        records = [RECORD(stream, {"id": n, "name": f"row {n}{pad}"}) for n in range(first, first + rows)]
        parts.append(lines(*records, STATE({"n": first + rows - 1})))
    return parts


def covered(states: list[Any]) -> int:
    return states[-1]["n"] if states else 0


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return sorted(row["id"] for row in rows)


@pytest.fixture(scope="session")
def printed(target: TargetRuns) -> Any:
    """One run with several STATEs of odd shapes."""
    messages: list[Any] = [SCHEMA(target.stream("states"), ORDER, ["id"])]
    for number, value in enumerate(OPAQUE):
        messages += [RECORD(target.stream("states"), {"id": number, "name": "a"}), STATE(value)]
    load = target.load(*messages, **target.driver.commits_often)
    load.outcome.expect(0)
    return load


def test_st01_the_state_is_opaque(printed: Any) -> None:
    assert printed.last_state == OPAQUE[-1]


def test_g03_the_state_value_a_line_each(printed: Any) -> None:
    assert printed.outcome.stdout.endswith(b"\n")
    assert all(state in OPAQUE for state in printed.states)


def _has_lines(count: int) -> Callable[[list[bytes]], bool]:
    return lambda seen: len(seen) >= count


def test_g03_o08_a_state_is_printed_once_its_rows_are_there_while_input_goes_on(target: TargetRuns) -> None:
    if not target.driver.commits_often:
        target.driver.cannot("commits before the input ends")
    stream, place = target.stream("g03"), target.destination(**target.driver.commits_often)
    with target.running(place) as running:
        for count, part in enumerate(units(stream, 3)[1:], start=1):
            running.send(part if count > 1 else line(SCHEMA(stream, ORDER, ["id"])) + part)
            assert running.wait_for(_has_lines(count), 20), f"STATE {count} was not printed"
            there = ids(target.look(Outcome((), 0, b"", ""), place).rows("g03"))
            assert there == list(range(1, 3 * count + 1))
        running.finish().expect(0)


def test_g04_states_are_not_reordered_and_the_last_is_the_one_to_keep(printed: Any) -> None:
    order = [OPAQUE.index(state) for state in printed.states]
    assert order == sorted(set(order)), order
    assert order[-1] == len(OPAQUE) - 1


def test_g07_stdout_has_nothing_but_states(target: TargetRuns) -> None:
    load = target.loaded("g11")
    sent = [{"o04": 2}, {"g11": 5}]
    assert all(state in sent for state in load.states), load.outcome.stdout


def test_g01_messages_come_from_stdin_and_config_is_optional(target: TargetRuns) -> None:
    stream = target.stream("g01")
    messages = lines(SCHEMA(stream, ORDER, ["id"]), RECORD(stream, {"id": 1, "name": "a"}), STATE({"a": 1}))
    with target.driver.without_config(target.folder) as place:
        outcome = run(
            target.executable.command, stdin=messages, environment=place.environment, cwd=place.folder
        )
        load = target.look(outcome.expect(0), place)
        assert load.states == [{"a": 1}]
        assert load.rows("g01") == [{"id": 1, "name": "a"}]


def test_g01_messages_may_come_from_a_file(target: TargetRuns, tmp_path: Path) -> None:
    """``--input`` is the SDK's; targets that are not built on it read stdin only."""
    if not target.driver.is_ours:
        target.driver.cannot("a run with --input")
    place, path = target.destination(), tmp_path / "messages.singer"
    path.write_bytes(b"".join(units(target.stream("g01_file"), 2, pad=" Größe")))
    outcome = run(target.command(place, "--input", str(path)), cwd=target.folder).expect(0)
    load = target.look(outcome, place)
    assert load.last_state == {"n": 6}
    assert [row["name"] for row in load.rows("g01_file", ["id"])] == [f"row {n} Größe" for n in range(1, 7)]


def test_g05_records_are_validated(target: TargetRuns) -> None:
    name = target.stream("g05")
    load = target.refused(SCHEMA(name, ORDER, ["id"]), RECORD(name, {"id": "12a", "name": "a"}), place="id")
    assert load.rows("g05") == []


def test_g09_on_failure_what_is_committed_has_been_printed_nothing_more(target: TargetRuns) -> None:
    stream = target.stream("g09")
    good = units(stream, 2)
    bad = RECORD(stream, {"name": "no key"}) if target.driver.is_ours else '{"type": "RECORD", '
    load = target.refused(*good, RECORD(stream, {"id": 7, "name": "c"}), bad, STATE({"n": 8}))
    there, promised = ids(load.rows("g09")), list(range(1, covered(load.states) + 1))
    assert set(there) >= set(promised), "a STATE was printed for rows that are not there"
    if target.driver.is_ours:
        assert there == promised


def test_g10_input_cut_inside_a_line_is_an_error(target: TargetRuns) -> None:
    stream = target.stream("g10")
    cut = line(RECORD(stream, {"id": 7, "name": "canary-cut"}))[:-12]
    place = target.destination()
    command = target.command(place)
    outcome = run(command, stdin=b"".join(units(stream, 2)) + cut, environment=place.environment)
    load = target.look(outcome, place)
    assert outcome.code != 0, str(outcome)
    assert set(ids(load.rows("g10"))) <= set(range(1, 7))
    assert len(load.rows("g10")) >= covered(load.states)
    if target.driver.is_ours:
        outcome.expect(65)
        expect_one_sentence(outcome)


def marked(value: dict[str, Any], *, complete: bool = False) -> dict[str, Any]:
    return STATE(value | {MARK: {"run": "4711", "pipeline": "conformance", "complete": complete}})


def test_g10_a_marked_run_that_ends_without_its_mark_keeps_what_a_state_covers(target: TargetRuns) -> None:
    stream = target.stream_of_marked_runs("g10_marked")
    schema, one, two = SCHEMA(stream, ORDER, ["id"]), RECORD(stream, {"id": 1}), RECORD(stream, {"id": 2})
    load = target.refused(marked({}), schema, one, marked({"n": 1}), two)
    assert ids(load.rows("g10_marked")) == [1]
    assert [without_mark(state) for state in load.states if without_mark(state) not in NOTHING] == [{"n": 1}]


def test_g10_a_marked_run_that_ends_complete_is_complete(target: TargetRuns) -> None:
    stream = target.stream("g10_whole")
    schema, one, two = SCHEMA(stream, ORDER, ["id"]), RECORD(stream, {"id": 1}), RECORD(stream, {"id": 2})
    load = target.load(marked({}), schema, one, marked({"n": 1}), two, marked({"n": 2}, complete=True))
    load.outcome.expect(0)
    assert ids(load.rows("g10_whole")) == [1, 2]
    assert without_mark(load.last_state) == {"n": 2}


def test_g10_end_of_input_ends_the_stream_of_a_tap_without_marks(target: TargetRuns) -> None:
    stream = target.stream("g10_other")
    load = target.load(*units(stream, 1), RECORD(stream, {"id": 4, "name": "after the last STATE"}))
    load.outcome.expect(0)
    assert ids(load.rows("g10_other")) == [1, 2, 3, 4]
    assert load.last_state == {"n": 3}


def test_g11_last_of_several_rows_with_one_key_wins(target: TargetRuns) -> None:
    load = target.loaded("g11")
    assert load.rows("g11", ["id"]) == [{"id": n, "name": f"version {6 + n}"} for n in range(3)]
    assert load.rows("g11_two", ["name", "id"]) == [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]


def test_g12_without_a_key_rows_are_appended(target: TargetRuns) -> None:
    assert target.loaded("g12").rows("g12") == [{"id": 1, "name": "same"}] * 3


def test_g12_a_second_run_appends_too(target: TargetRuns) -> None:
    stream = target.stream("g12_again")
    place = target.destination()
    for n in (1, 2):
        load = target.load(
            SCHEMA(stream, ORDER, []),
            RECORD(stream, {"id": n, "name": "a"}),
            STATE({"n": n}),
            destination=place,
        )
        load.outcome.expect(0)
    assert ids(load.rows("g12_again")) == [1, 2]


def test_st07_a_killed_target_has_printed_no_state_that_runs_ahead(target: TargetRuns) -> None:
    stream = target.stream("st07")
    place = target.destination(**target.driver.commits_often)
    with target.running(place) as running:
        running.send(b"".join(units(stream, 400, rows=50)))
        running.wait_for(lambda printed: len(printed) > 0, 1.0)
        running.signal(signal.SIGKILL)
        load = target.look(running.finish(), place)
    assert load.outcome.code == -signal.SIGKILL
    rows = set(ids(load.rows("st07")))
    assert rows >= set(range(1, covered(load.states) + 1))


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_t14_a_signalled_target_keeps_rows_and_states_together(
    target: TargetRuns, signum: signal.Signals, code: int
) -> None:
    stream = target.stream(f"t14_{code}")
    place = target.destination()
    with target.running(place) as running:
        running.send(
            b"".join(units(stream, 100, pad="x" * 1000))
        )  # more than a pipe holds: it has begun to read
        running.send(line(RECORD(stream, {"id": 301, "name": "not covered by any STATE"})))
        running.signal(signum)
        load = target.look(running.finish(close=False, seconds=20), place)
    assert load.outcome.code != 0, str(load.outcome)
    there, promised = ids(load.rows(f"t14_{code}")), list(range(1, covered(load.states) + 1))
    assert set(there) >= set(promised), "a STATE was printed for rows that are not there"
    if target.driver.is_ours:
        assert there == promised
        load.outcome.expect(code)
        expect_one_sentence(load.outcome)


def test_st03_the_state_file_holds_the_value_of_the_last_state(target: TargetRuns, tmp_path: Path) -> None:
    path, options = state_file(target, tmp_path)
    load = target.load(*units(target.stream("st03"), 3), options=options)
    load.outcome.expect(0)
    assert json.loads(path.read_text("utf-8")) == load.last_state == {"n": 9}


def test_st16_an_empty_state_never_erases_a_good_one(target: TargetRuns, tmp_path: Path) -> None:
    path, options = state_file(target, tmp_path)
    stream, place = target.stream("st16"), target.destination()
    good = units(stream, 1)
    target.load(*good, destination=place, options=options).outcome.expect(0)
    empties: tuple[Any, ...] = ({}, None)
    for empty in empties:
        load = target.load(
            good[0], RECORD(stream, {"id": 9}), STATE(empty), destination=place, options=options
        )
        load.outcome.expect(0)
        assert json.loads(path.read_text("utf-8")) == {"n": 3}
    assert ids(load.rows("st16", ["id"])) == [1, 2, 3, 9]


def test_st16_a_tap_may_clear_what_this_run_has_said(target: TargetRuns, tmp_path: Path) -> None:
    """A marker to resume by would otherwise leave out what changed before it, in every later run."""
    path, options = state_file(target, tmp_path)
    stream, place = target.stream("st16b"), target.destination()
    schema, *rows = units(stream, 1)
    load = target.load(
        schema, *rows, RECORD(stream, {"id": 9}), STATE({}), destination=place, options=options
    )
    load.outcome.expect(0)
    assert json.loads(path.read_text("utf-8")) == load.last_state == {}
    target.load(
        schema, RECORD(stream, {"id": 10}), STATE({"n": 4}), destination=place, options=options
    ).outcome.expect(0)
    assert json.loads(path.read_text("utf-8")) == {"n": 4}


def state_file(target: TargetRuns, folder: Path) -> tuple[Path, list[str]]:
    option = target.destination().state_file_option
    if option is None:
        target.driver.cannot("a state file")
    return folder / "state.json", [str(option), str(folder / "state.json")]


def test_t03_a_config_that_is_no_object_is_refused(target: TargetRuns, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("[1, 2]")
    outcome = run([*target.executable.command, "--config", str(path)])
    assert outcome.code != 0, str(outcome)
    if target.driver.is_ours:
        outcome.expect(78)
        expect_one_sentence(outcome, str(path))
