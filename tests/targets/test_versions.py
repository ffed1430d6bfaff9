"""ACTIVATE_VERSION in PostgreSQL: which rows go, when, and what is said of those that stay (docs/decisions/0022)."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, STATE, lines, load, query, running, table

INTEGER = {"type": ["integer", "null"]}
T = SCHEMA("t", {"id": INTEGER}, ["id"])
DONE = b'{"done": 2}\n'
U = SCHEMA("u", {"id": INTEGER}, ["id"])


def activate(version: Any, stream: str = "t") -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": stream, "version": version}


def rows(version: Any, *ids: Any) -> list[Any]:
    more = {} if version is None else {"version": version}
    return [RECORD("t", {"id": n}, **more) for n in ids]


def loaded(database: str, *messages: Any, metadata: bool = True, code: int = 0, **config: Any) -> str:
    """Load into the table t with metadata; return the warnings."""
    outcome = load(database, T, *messages, add_record_metadata=metadata, **config).expect(code)
    return "\n".join(line for line in outcome.stderr.splitlines() if "WARNING" in line)


def test_rows_that_this_run_wrote_without_a_version_stay(database: str) -> None:
    said = loaded(database, *rows(None, 1, 2), activate(1), STATE({"a": 1}))
    assert table(database, "t", "id") == [(1,), (2,)]
    assert (
        said.count("ACTIVATE_VERSION of stream `t`: 2 rows of the table public.t without a version stay") == 1
    )
    assert "have the tap send `version` with each record, or remove by hand what is gone" in said
    assert "DELETE" not in said, "it would remove the rows of this run"


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_rows_from_before_versions_stay_and_the_statement_that_is_told_removes_them(
    database: str, hard: bool
) -> None:
    loaded(database, activate(1), *rows(1, 1, 2), STATE({"a": 1}), metadata=False)
    again = [activate(1), *rows(1, 3), activate(1), STATE({"a": 2}), activate(1), STATE({"a": 3})]
    said = loaded(database, *again, hard_delete=hard)
    alive = "SELECT id FROM t WHERE _sdc_deleted_at IS NULL ORDER BY id"
    assert query(database, alive) == [(1,), (2,), (3,)]
    assert said.count("2 rows of the table public.t without a version stay") == 1
    found = re.search(r"If they are old, remove them with `([^`]+)`\.", said)
    assert found
    query(database, found[1])
    assert query(database, alive) == [(3,)]
    assert "without a version" not in loaded(
        database, activate(1), *rows(1, 4), STATE({"a": 4}), hard_delete=hard
    )


def test_rows_of_another_loader_have_no_version(database: str) -> None:
    query(database, "CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (1)")
    assert "1 row of the table public.t without a version stays, as" in loaded(
        database, *rows(1, 4), activate(1)
    )
    assert table(database, "t", "id") == [(1,), (4,)]


def test_versions_as_text_are_the_integers_they_are(database: str) -> None:
    assert loaded(database, *rows("7", 1, 2), activate(7), STATE({"a": 1})) == ""
    assert query(database, "SELECT id, _sdc_table_version FROM t ORDER BY id") == [(1, 7), (2, 7)]
    loaded(database, *rows("next", 3), activate(7), code=65)


def test_what_a_committed_state_covers_is_done_whatever_comes_then(database: str) -> None:
    first = [*rows(1, 1, 2), activate(1), STATE({"done": 1})]
    second = [*rows(2, 1), activate(2), STATE({"done": 2}), U]
    loaded(database, *first)
    outcome = load(database, T, *second, RECORD("u", {"id": "bad"}), add_record_metadata=True).expect(65)
    assert outcome.stdout == DONE
    assert table(database, "t", "id") == [(1,)]


def test_a_run_that_is_killed_after_a_commit_has_activated_what_is_before_it(database: str) -> None:
    loaded(database, *rows(1, 1, 2), activate(1), STATE({"done": 1}))
    with running(database, add_record_metadata=True, commit_rows=1) as process:
        process.send(lines(T, *rows(2, 1), activate(2), STATE({"done": 2}), *rows(2, 3)))
        assert process.wait_for(lambda printed: printed == [DONE])
        process.signal(signal.SIGKILL)
        process.finish(close=False)
    assert table(database, "t", "id") == [(1,)]
