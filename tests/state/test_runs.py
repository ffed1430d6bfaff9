"""A run as a line of JSON, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from singerkit_shell.secrets import redactor
from singerkit_state.runfile import RunFile
from singerkit_state.runs import SENTENCES, Run, StreamRun, as_json, from_json, sentences

AT = datetime(2026, 11, 28, 23, 0, 0, 123_000, UTC)
ORDERS = StreamRun(
    rows=3, new=1, changed=2, set_aside=1, bytes=99, bookmark_after="2026-11-28", lag_seconds=1.5
)
RUN = Run(
    "r1",
    "orders",
    AT,
    AT,
    1.5,
    "failed",
    65,
    "Bad.",
    tries=2,
    streams={"orders": ORDERS, "other": StreamRun(2)},
)


def test_a_run_comes_back_as_it_was_with_times_in_utc() -> None:
    text = as_json(RUN)

    assert from_json(text) == RUN
    assert json.loads(text)["started"] == "2026-11-28T23:00:00.123Z"
    assert (RUN.total("rows"), RUN.total("new"), RUN.total("deleted")) == (5, 1, None)


def test_what_a_newer_version_says_is_passed_over_and_an_older_one_lacks_is_unknown() -> None:
    newer = json.loads(as_json(RUN)) | {"weather": "fine"}
    newer["streams"]["orders"]["colour"] = "red"

    assert from_json(json.dumps(newer)) == RUN
    assert from_json('{"id": "r", "pipeline": "p", "started": "2026-11-28T23:00:00"}').started == AT.replace(
        microsecond=0
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "null", '{"id": "r", "pipeline": "p", "started": 3}', '{"id":'),
        *(
            f'{{"id": "r", "pipeline": "p", "started": "2026-11-28T23:00:00", {more}}}'
            for more in (
                '"seconds": 1e400',
                '"seconds": NaN',
                '"seconds": "x"',
                '"warnings": [5]',
                '"streams": {"s": {"rows": "x"}}',
                '"dead_letters": []',
            )
        ),
    ],
)
def test_what_is_no_run_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expected a run"):
        from_json(text)


def test_neither_secrets_nor_values_of_rows_stand_in_it() -> None:
    redactor.add("hunter2-canary")
    reason, *_ = sentences(['Expected `integer`, got `"12a"` at orders.$.qty\n  (hunter2-canary)'])
    run = Run(
        "r", "orders", AT, reason=reason, dead_letters={"hunter2-canary": 1}, warnings=("hunter2-canary",)
    )

    text = as_json(run)

    assert "hunter2" not in text
    assert "12a" not in text
    assert "Expected `integer`, got `...` at orders.$.qty (***)" in text


def test_of_many_sentences_some_are_kept_and_of_a_long_one_its_beginning() -> None:
    kept = sentences(
        [*("again" for _ in range(9)), *(f"{letter * 2000}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    )

    assert len(kept) == SENTENCES
    assert kept[0] == "again"
    assert len(kept[1]) == 1000


def test_a_file_of_runs_survives_a_torn_line_and_loses_what_is_too_old(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "runs.jsonl")
    begun = replace(RUN, result="running", ended=None)
    file.begin(begun, 1.0)
    with file.path.open("a") as lines:
        lines.write('{"id": "torn by a full dis')
    later = replace(begun, id="r2", started=AT + timedelta(hours=1))
    file.begin(later, 1.0)
    assert [(run.id, run.result) for run in file.read()] == [("r1", "killed"), ("r2", "running")]
    file.end(replace(later, result="complete"))
    file.end(replace(RUN, id="r3", exit_code=75))

    assert [(run.id, run.result) for run in file.read()] == [
        ("r1", "killed"),
        ("r2", "complete"),
        ("r3", "failed"),
    ]
    file.begin(replace(begun, id="r4", started=AT + timedelta(days=2)), 47.5 / 24)
    assert [run.id for run in file.read()] == ["r1", "r2", "r3", "r4"]
    file.begin(replace(begun, id="r5", started=AT + timedelta(days=2)), 1.0)
    assert [run.id for run in file.read()] == ["r4", "r5"]
