"""`--config ENV`: a variable that cannot be read is named in one sentence, its value is not shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conformance.processes import run

VALUE = "tell-nobody-4242"


@pytest.mark.parametrize(
    ("executable", "variable", "expected"),
    [
        ("tap-rest", "TAP_REST_AUTH", "JSON"),
        ("tap-rest", "TAP_REST_STREAMS", "JSON"),
        ("tap-rest", "TAP_REST_STATE_EVERY", "a number"),
        ("target-postgres", "TARGET_POSTGRES_PORT", "a number"),
        ("target-postgres", "TARGET_POSTGRES_COLUMN_TYPES", "JSON"),
        ("target-postgres", "TARGET_POSTGRES_COMMIT_SECONDS", "a number"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(executable: str, variable: str, expected: str) -> None:
    command = [str(Path(sys.executable).with_name(executable)), "--config", "ENV"]
    others = {"TAP_REST_AUTH": "{}"}  # the canary that stands there in every test is no JSON
    outcome = run(command, environment=others | {variable: VALUE}).expect(78)
    assert f"Expected {expected} in the environment variable {variable}" in outcome.last_words
    assert VALUE not in outcome.stderr
    assert "Traceback" not in outcome.stderr


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


def test_a_variable_that_nobody_reads_is_told(tmp_path: Path) -> None:
    """A setting in the environment counts with `--config ENV` only; without it, it must not seem to."""
    config = tmp_path / "config.json"
    config.write_text("{}")
    target = str(Path(sys.executable).with_name("target-jsonl"))
    environment = {"TARGET_JSONL_DESTINATION_PATH": VALUE, "TARGET_JSONL__SELECT": "of Meltano's own"}
    outcome = run([target, "--config", str(config)], stdin=b"", environment=environment)
    assert "TARGET_JSONL_DESTINATION_PATH is set and not read" in outcome.stderr
    assert "TARGET_JSONL__SELECT" not in outcome.stderr
    assert VALUE not in outcome.stderr
