"""Row level security: what a policy keeps or hides without an error is told, and the advice is right for whose the table is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from faults.loads import RECORD, SCHEMA, STATE, load, query

INTEGER, MOMENT = {"type": ["integer", "null"]}, {"type": ["string", "null"], "format": "date-time"}
KEYED = SCHEMA("t", {"n": INTEGER, "_sdc_deleted_at": MOMENT}, ["n"])
MAY_HIDE = "may hide rows from this role"
WITH_VERSIONS = {"add_record_metadata": True, "hard_delete": True}


@pytest.fixture
def owner(database: str) -> Iterator[str]:
    """The owner of a table with row level security, and FORCE, that has the rows 1, 2 and 3 of version 1."""
    role = f"role_{uuid.uuid4().hex[:12]}"
    query(database, f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}")
    load(database, *versioned(1, 1, 2, 3), **WITH_VERSIONS).expect(0)
    query(database, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; ALTER TABLE t OWNER TO {role}")
    query(database, "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY")
    yield role
    query(database, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def versioned(version: int, *numbers: int) -> list[dict[str, Any]]:
    return [
        KEYED,
        *({**RECORD("t", {"n": n, "_sdc_deleted_at": None}), "version": version} for n in numbers),
        {"type": "ACTIVATE_VERSION", "stream": "t", "version": version},
        STATE({"version": version}),
    ]


@pytest.mark.parametrize("what", ["version", "mark"])
def test_a_policy_that_keeps_rows_is_named(database: str, owner: str, what: str) -> None:
    """A trigger or rule was blamed."""
    query(database, "CREATE POLICY all_of_it ON t USING (true)")
    query(database, f'CREATE POLICY "keeps" ON t AS RESTRICTIVE FOR DELETE TO {owner} USING (n <> 2)')
    query(database, "CREATE POLICY of_others ON t FOR DELETE TO pg_monitor USING (false)")
    gone = RECORD("t", {"n": 2, "_sdc_deleted_at": "2024-01-01T00:00:00Z"})
    marked = [KEYED, {**gone, "version": 1}, STATE({"version": 2})]
    sent = versioned(2, 1) if what == "version" else marked
    outcome = load(database, *sent, user=owner, **WITH_VERSIONS).expect(65)
    assert "trigger, rule or policy (`all_of_it`, `keeps`) of the table" in outcome.last_words
    assert MAY_HIDE not in outcome.stderr
    query(database, "DROP POLICY keeps ON t")
    load(database, *sent, user=owner, **WITH_VERSIONS).expect(0)


HIDING = {
    "one that hides": ("CREATE POLICY s ON t FOR SELECT USING (n <> 2)", True),
    "one that hides, beside one that does not": (
        "CREATE POLICY s ON t USING (true); CREATE POLICY r ON t AS RESTRICTIVE FOR SELECT USING (n <> 2)",
        True,
    ),
    "none": ("SELECT 1", True),
    "one of others": ("CREATE POLICY s ON t FOR SELECT TO pg_monitor USING (true)", True),
    "one that does not": ("CREATE POLICY s ON t FOR SELECT USING (true)", False),
    "no FORCE": ("ALTER TABLE t NO FORCE ROW LEVEL SECURITY", False),
}


@pytest.mark.parametrize(("policies", "is_told"), HIDING.values(), ids=HIDING)
def test_rows_that_may_be_hidden_are_told_of(database: str, owner: str, policies: str, is_told: bool) -> None:
    """ACTIVATE_VERSION left them, with 0 and without a word."""
    for command in ("INSERT", "UPDATE", "DELETE"):
        check = "WITH CHECK" if command == "INSERT" else "USING"
        query(database, f"CREATE POLICY {command}s ON t FOR {command} {check} (true)")
    query(database, policies)
    outcome = load(database, *versioned(2, 4), user=owner, **WITH_VERSIONS)
    assert (MAY_HIDE in outcome.stderr) is is_told
    hidden = query(database, "SELECT n FROM t WHERE _sdc_table_version = 1")
    assert is_told or (outcome.code, hidden) == (0, [])
    assert is_told is bool(hidden)


def test_an_owner_is_not_told_to_become_it(database: str, owner: str) -> None:
    query(database, "TRUNCATE t")  # into an empty table goes COPY, which takes no policy
    sent = [KEYED, RECORD("t", {"n": 2, "_sdc_deleted_at": None}), STATE({"version": 2})]
    told = load(database, *sent, user=owner, rows_gone="accept").expect(77).last_words
    assert "`ALTER TABLE ... NO FORCE ROW LEVEL SECURITY`" in told
    query(database, "ALTER TABLE t NO FORCE ROW LEVEL SECURITY")
    load(database, *sent, user=owner, rows_gone="accept").expect(0)
