"""`--config ENV`: a variable that cannot be read is named in one sentence, its value is not shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conformance.processes import run
from conformance.singer import RECORD, SCHEMA, lines

VALUE = "tell-nobody-4242"


@pytest.mark.parametrize(
    ("executable", "variable", "expected"),
    [
        ("tap-rest", "TAP_REST_AUTH", "JSON with an object"),
        ("tap-rest", "TAP_REST_STREAMS", "JSON with a list"),
        ("tap-rest", "TAP_REST_STATE_EVERY", "a whole number"),
        ("target-postgres", "TARGET_POSTGRES_PORT", "a whole number"),
        ("target-postgres", "TARGET_POSTGRES_COLUMN_TYPES", "JSON with an object"),
        ("target-postgres", "TARGET_POSTGRES_COMMIT_SECONDS", "a number"),
        ("target-jsonl", "TARGET_JSONL_ADD_RECORD_METADATA", "`true` or `false`"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(executable: str, variable: str, expected: str) -> None:
    command = [str(Path(sys.executable).with_name(executable)), "--config", "ENV"]
    others = {"TAP_REST_AUTH": "{}"}  # the canary that stands there in every test is no JSON
    outcome = run(command, environment=others | {variable: VALUE}).expect(78)
    assert f"Expected {expected} in the environment variable {variable}" in outcome.last_words
    assert VALUE not in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("way", ["--test", "--discover"])
def test_a_variable_that_cannot_be_read_is_named_beside_other_options(way: str) -> None:
    command = [str(Path(sys.executable).with_name("tap-rest")), "--config", "ENV", way]
    outcome = run(command, environment={"TAP_REST_AUTH": "{}", "TAP_REST_STATE_EVERY": VALUE}).expect(78)
    assert "Expected a whole number in the environment variable TAP_REST_STATE_EVERY" in outcome.last_words


def test_numbers_and_flags_come_from_the_environment(tmp_path: Path) -> None:
    """`commit_seconds` was refused as `"3"`, and a flag that is neither true nor false was false."""
    target = str(Path(sys.executable).with_name("target-jsonl"))
    config = tmp_path / "config.json"
    (tmp_path / "rows").write_text("7\n")
    config.write_text(
        json.dumps(
            {
                "destination_path": str(tmp_path / "out"),
                "commit_rows": {"file": str(tmp_path / "rows")},
                "validate_records": {"env": "VALIDATE"},
            }
        )
    )
    environment = {
        "TARGET_JSONL_COMMIT_SECONDS": "0.5",
        "TARGET_JSONL_ADD_RECORD_METADATA": "yes",
        "VALIDATE": "no",
    }
    messages = lines(SCHEMA("rows", {"n": {"type": "integer", "maximum": 5}}), RECORD("rows", {"n": 7}))
    done = run([target, "--config", str(config), "--config", "ENV"], stdin=messages, environment=environment)
    done.expect(0)
    assert json.loads((tmp_path / "out" / "rows.jsonl").read_text())["_sdc_sequence"]
    assert "***" not in done.stderr
    refused = run([target, "--config", str(config)], stdin=b"", environment={"VALIDATE": VALUE}).expect(78)
    assert (
        "Expected `true` or `false` in the environment variable VALIDATE, got something else, at `validate_records`"
        in refused.last_words
    )
    assert VALUE not in refused.stderr


@pytest.mark.parametrize(
    ("executable", "variable", "near"),
    [
        ("tap-rest", "TAP_REST_BASEURL", "TAP_REST_BASE_URL"),
        ("target-postgres", "TARGET_POSTGRES_HOTS", "TARGET_POSTGRES_HOST"),
        ("target-jsonl", "TARGET_JSONL_DESTINATIONPATH", "TARGET_JSONL_DESTINATION_PATH"),
    ],
)
def test_a_variable_that_names_no_setting_is_refused(executable: str, variable: str, near: str) -> None:
    command = [str(Path(sys.executable).with_name(executable)), "--config", "ENV"]
    others = {"TAP_REST_AUTH": '{"type": "none"}'}
    outcome = run(command, environment=others | {variable: VALUE}).expect(78)
    assert f"There is no environment variable `{variable}`; did you mean `{near}`?" in outcome.last_words, (
        outcome.stderr
    )
    assert VALUE not in outcome.stderr


def test_a_variable_that_nobody_reads_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting in the environment counts with `--config ENV` only; without it, it must not seem to."""
    config = tmp_path / "config.json"
    config.write_text("{}")
    target = str(Path(sys.executable).with_name("target-jsonl"))
    monkeypatch.chdir(tmp_path)  # where it loads without a `destination_path`
    environment = {"TARGET_JSONL_DESTINATION_PATH": VALUE, "TARGET_JSONL__SELECT": "of Meltano's own"}
    outcome = run([target, "--config", str(config)], stdin=b"", environment=environment)
    assert "TARGET_JSONL_DESTINATION_PATH is set and not read" in outcome.stderr
    assert "TARGET_JSONL__SELECT" not in outcome.stderr
    assert VALUE not in outcome.stderr


def test_an_empty_environment_is_told_the_names_of_its_variables() -> None:
    """The canary of every test stands in one, so that the empty config is the one of no `--config` here."""
    outcome = run([str(Path(sys.executable).with_name("tap-rest"))]).expect(78)
    assert "or set `TAP_REST_BASE_URL` and `TAP_REST_STREAMS`" in outcome.last_words
