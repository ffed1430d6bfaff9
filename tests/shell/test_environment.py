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
