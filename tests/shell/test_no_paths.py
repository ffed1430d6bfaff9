"""What is given in the place of a path may hold a secret: it is refused and not shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conformance.processes import run

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("given", ['{"password": "%s"}', "postgresql:/u:%s@h/db", "u:%s@host/db"])
@pytest.mark.parametrize("executable", ["tap-rest", "target-postgres", "target-jsonl", "target-duckdb"])
def test_a_config_in_the_place_of_its_path_is_not_shown(executable: str, given: str) -> None:
    secret = "geheim-4711"
    done = run([str(BIN / executable), "--config", given % secret]).expect(78)
    assert "which may hold a secret and is not shown" in done.last_words
    assert secret not in done.stderr


@pytest.mark.parametrize("given", ['{"password": "%s"}', "jdbc:postgresql://h/db?user=u&password=%s"])
def test_a_state_location_that_is_no_path_is_not_shown(given: str) -> None:
    secret = "geheim-4711"
    done = run([str(BIN / "singerkit-state"), "show", given % secret]).expect(78)
    assert secret not in done.stderr + done.stdout.decode()
