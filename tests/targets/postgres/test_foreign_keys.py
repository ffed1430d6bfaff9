"""Tables of one run that foreign keys tie together: rows go in parents before children, and go children before parents."""

from __future__ import annotations

from typing import Any

import pytest
from covering import threes
from faults.loads import RECORD, SCHEMA, STATE, lines, load, query, running, state_row
from waiting import wait_until

INTEGER = {"type": ["integer", "null"]}
TEXT = {"type": ["string", "null"]}
KEY = {"type": "integer"}
GONE = {"_sdc_deleted_at": {"type": ["string", "null"], "format": "date-time"}}
WHEN = "2024-01-01T00:00:00Z"

P = SCHEMA("p", {"id": KEY, "v": INTEGER}, ["id"])
C = SCHEMA("c", {"id": KEY, "p": INTEGER}, ["id"])
JOURNAL = SCHEMA("c", {"id": KEY, "p": INTEGER})
LATE = "DEFERRABLE INITIALLY DEFERRED"


def p(id_: int, **fields: Any) -> dict[str, Any]:
    return RECORD("p", {"id": id_, "v": id_, **fields})


def c(id_: int, parent: int | None, **fields: Any) -> dict[str, Any]:
    return RECORD("c", {"id": id_, "p": parent, **fields})


def family(database: str, key: str = "PRIMARY KEY", *, filled: bool = True, tail: str = "") -> None:
    query(
        database,
        "CREATE TABLE p (id bigint PRIMARY KEY, v bigint);"
        f"CREATE TABLE c (id bigint {key}, p bigint CONSTRAINT f REFERENCES p {tail});"
        + ("INSERT INTO p VALUES (0, 0); INSERT INTO c VALUES (0, 0)" if filled else ""),
    )


def letters(database: str) -> list[tuple[str, int]]:
    if query(database, "SELECT to_regclass('_singerkit_rejects')") == [(None,)]:
        return []
    return query(database, "SELECT stream, line FROM _singerkit_rejects ORDER BY line")


@pytest.mark.parametrize(
    ("order", "schema", "filled", "tail", "invalid"),
    threes(
        ["parents first", "children first"],
        [C, JOURNAL],
        [True, False],
        ["", "DEFERRABLE", LATE],
        ["fail", "quarantine"],
    ),
)
def test_rows_of_one_unit_come_in_any_order(
    database: str, order: str, schema: dict[str, Any], filled: bool, tail: str, invalid: str
) -> None:
    family(database, "PRIMARY KEY" if schema is C else "", filled=filled, tail=tail)
    parts = [[P, p(1), p(2)], [schema, c(1, 1), c(2, 2), c(3, None)]]
    if order == "children first":
        parts.reverse()
    load(database, *parts[0], *parts[1], STATE({"n": 1}), on_invalid=invalid).expect(0)
    stored = [(1, 1), (2, 2), (3, None)]
    assert query(database, "SELECT id, p FROM c ORDER BY id") == ([(0, 0)] if filled else []) + stored
    assert letters(database) == []


@pytest.mark.parametrize("tail", ["", LATE])
@pytest.mark.parametrize("schema", [C, JOURNAL], ids=["keyed", "keyless"])
def test_rows_that_refer_to_nothing_are_set_aside_and_no_others(
    database: str, schema: dict[str, Any], tail: str
) -> None:
    """Found among those whose parents come behind them; one whose check fails takes what refers to it along."""
    family(database, "PRIMARY KEY" if schema is C else "", tail=tail)
    query(database, "ALTER TABLE p ADD CHECK (v <> 77)")
    children = [c(n, n if n not in (3, 9) else n + 500) for n in range(1, 12)]
    parents = [p(n, v=77 if n == 5 else n) for n in range(1, 12)]
    load(database, schema, *children, P, *parents, STATE({"n": 1}), on_invalid="quarantine").expect(0)
    kept = [(n, n) for n in range(12) if n not in (3, 5, 9)]
    assert query(database, "SELECT id, p FROM c ORDER BY id") == kept
    assert letters(database) == [("c", 4), ("c", 6), ("c", 10), ("p", 18)]
    reasons = query(database, "SELECT DISTINCT reason FROM _singerkit_rejects WHERE stream = 'c'")
    assert [
        reason.startswith("PostgreSQL refused it: ") and "`f`" not in reason for (reason,) in reasons
    ] == [True]


def test_a_child_whose_parent_comes_behind_a_later_state_and_the_advice(database: str) -> None:
    family(database)
    children, parents = [C, c(1, 1), STATE({"n": 1})], [P, p(1), STATE({"n": 2})]
    told = load(database, *children, *parents, commit_rows=1).expect(65).last_words
    assert "let the tap send that stream first, or no STATE between the two" in told
    assert "DEFERRABLE" not in told
    load(database, *parents, *children, commit_rows=1).expect(0)
    load(database, C, c(2, 2), P, p(2), STATE({"n": 3}), commit_rows=1).expect(0)
    query(database, "TRUNCATE c, p; ALTER TABLE c ALTER CONSTRAINT f DEFERRABLE INITIALLY DEFERRED")
    load(database, *children, *parents, commit_rows=1, rows_gone="accept").expect(65)


def test_a_row_that_was_set_aside_before_its_parent_came_is_told_of(database: str) -> None:
    family(database)
    children, parents = [C, c(1, 1), STATE({"n": 1})], [P, p(1), STATE({"n": 2})]
    outcome = load(database, *children, *parents, commit_rows=1, on_invalid="quarantine").expect(0)
    assert letters(database) == [("c", 2)]
    assert "Rows of stream `c` were set aside, since the rows of stream `p`" in outcome.stderr


@pytest.mark.parametrize("action", ["", "ON DELETE RESTRICT", "ON DELETE CASCADE", "ON DELETE SET NULL"])
@pytest.mark.parametrize("invalid", ["fail", "quarantine"])
def test_rows_go_children_before_parents(database: str, action: str, invalid: str) -> None:
    family(database, tail=action)
    ps = SCHEMA("p", {"id": KEY, "v": INTEGER, **GONE}, ["id"])
    cs = SCHEMA("c", {"id": KEY, "p": INTEGER, **GONE}, ["id"])
    load(database, ps, p(1), p(2), cs, c(1, 1), c(2, 2), STATE({"n": 1}), hard_delete=True).expect(0)
    gone = {"_sdc_deleted_at": WHEN}
    load(
        database,
        *(ps, p(1, **gone), RECORD("p", {"id": 0, **gone}), p(2, **gone), p(2, v=9)),
        *(cs, RECORD("c", {"id": 0, **gone}), c(1, 2), STATE({"n": 2})),
        hard_delete=True,
        on_invalid=invalid,
    ).expect(0)
    assert query(database, "SELECT id, v FROM p") == [(2, 9)]
    assert query(database, "SELECT id, p FROM c ORDER BY id") == [(1, 2), (2, 2)]
    assert letters(database) == []


@pytest.mark.parametrize("order", ["parents first", "children first"])
def test_rows_of_other_versions_go_children_before_parents(database: str, order: str) -> None:
    family(database, filled=False)

    def versioned(version: int, ids: range) -> list[Any]:
        parts = [
            [P, *(p(n) | {"version": version} for n in ids), {"type": "ACTIVATE_VERSION", "stream": "p", "version": version}, STATE({"n": version})],
            [C, *(c(n, n) | {"version": version} for n in ids), {"type": "ACTIVATE_VERSION", "stream": "c", "version": version}, STATE({"n": version + 1})],
        ]  # fmt: skip
        return parts[0] + parts[1] if order == "parents first" else parts[1] + parts[0]

    load(database, *versioned(1, range(1, 4)), add_record_metadata=True).expect(0)
    load(database, *versioned(5, range(3, 6)), add_record_metadata=True).expect(0)
    for name in "pc":
        assert query(database, f"SELECT id FROM {name} ORDER BY id") == [(3,), (4,), (5,)]


@pytest.mark.parametrize("tail", ["", LATE])
@pytest.mark.parametrize("invalid", ["fail", "quarantine"])
def test_a_table_grows_twice_in_a_unit_while_rows_wait_for_their_parents(
    database: str, tail: str, invalid: str
) -> None:
    """With 65 at every run ("pending trigger events"): the unit is given up for each, and written again."""
    family(database, tail=tail)
    steps: list[Any] = []
    for number, more in enumerate(({}, {"a": INTEGER}, {"a": {"type": ["number", "null"]}}, {"a": {"type": ["number", "null"]}, "b": TEXT}), 1):  # fmt: skip
        steps += [SCHEMA("c", {"id": KEY, "p": INTEGER, **more}, ["id"])]
        steps += [c(number, number, **({"a": number} if more else {}))]
    load(database, *steps, P, *map(p, range(1, 5)), STATE({"n": 1}), on_invalid=invalid).expect(0)
    stored = query(database, "SELECT id, p, a::text FROM c ORDER BY id")
    assert stored == [(0, 0, None), (1, 1, None), (2, 2, "2"), (3, 3, "3"), (4, 4, "4")]
    assert letters(database) == []


def test_a_unit_that_is_not_held_names_what_helps(database: str) -> None:
    family(database)
    grown = SCHEMA("c", {"id": KEY, "p": INTEGER, "a": INTEGER}, ["id"])
    steps = [C, c(1, 1), grown, c(2, 2), P, p(1), p(2), STATE({"n": 1})]
    told = load(database, *steps, replay_bytes=0).expect(65).last_words
    assert "is to be altered while rows of the unit of commit wait" in told
    load(database, *steps).expect(0)
    assert query(database, "SELECT id, p FROM c ORDER BY id") == [(0, 0), (1, 1), (2, 2)]


def test_a_circle_of_keys_that_are_judged_at_once(database: str) -> None:
    """One statement writes both tables; one row that refers to nothing takes only those along that refer to it."""
    query(
        database,
        "CREATE TABLE p (id bigint PRIMARY KEY, v bigint); CREATE TABLE c (id bigint PRIMARY KEY, p bigint REFERENCES p);"
        "ALTER TABLE p ADD FOREIGN KEY (v) REFERENCES c",
    )
    steps = [C, c(1, 1), c(2, 2), P, p(1), p(2, v=1), STATE({"n": 1})]
    load(database, *steps).expect(0)
    load(database, C, c(5, 5), c(6, 60), P, p(5), p(6), STATE({"n": 2}), on_invalid="quarantine").expect(0)
    assert query(database, "SELECT id, p FROM c ORDER BY id") == [(1, 1), (2, 2), (5, 5)]
    assert query(database, "SELECT id, v FROM p ORDER BY id") == [(1, 1), (2, 1), (5, 5)]
    assert letters(database) == [("c", 3), ("p", 6)]


def test_a_key_of_several_columns_to_a_part_of_a_table(database: str) -> None:
    query(
        database,
        "CREATE TABLE p (id bigint, v bigint, PRIMARY KEY (id, v)) PARTITION BY RANGE (v);"
        "CREATE TABLE p0 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE p1 PARTITION OF p DEFAULT;"
        "CREATE TABLE c (id bigint PRIMARY KEY, p bigint, v bigint, FOREIGN KEY (p, v) REFERENCES p,"
        " FOREIGN KEY (p, v) REFERENCES p0)",
    )
    parents = SCHEMA("p", {"id": KEY, "v": KEY}, ["id", "v"])
    children = SCHEMA("c", {"id": KEY, "p": INTEGER, "v": INTEGER}, ["id"])
    load(database, children, c(1, 1, v=1), c(2, 2, v=2), parents, p(1), p(2), STATE({"n": 1})).expect(0)
    rows = [children, c(3, 3, v=3), c(4, 4, v=5), c(5, 6, v=None), parents, p(3), p(4), STATE({"n": 2})]
    load(database, *rows, on_invalid="quarantine").expect(0)
    assert query(database, "SELECT id FROM c ORDER BY id") == [(1,), (2,), (3,), (5,)]
    assert letters(database) == [("c", 3)]


def test_a_key_that_appears_between_two_units(database: str) -> None:
    """It is found with the next rows, before they go in."""
    query(
        database,
        "CREATE TABLE p (id bigint PRIMARY KEY, v bigint); CREATE TABLE c (id bigint PRIMARY KEY, p bigint)",
    )
    query(database, "INSERT INTO c VALUES (0, NULL); INSERT INTO p VALUES (0, 0)")
    with running(database, commit_rows=1) as target:
        target.send(lines(C, c(1, None), P, p(1), STATE({"n": 1})))
        wait_until(lambda: (state_row(database) or (0, None))[1] == {"n": 1}, "the first unit")
        query(database, "ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p")
        target.send(lines(c(2, 2), p(2), STATE({"n": 2})))
        target.finish().expect(0)
    assert query(database, "SELECT id, p FROM c ORDER BY id") == [(0, None), (1, None), (2, 2)]


def test_rows_before_one_that_goes_are_kept_when_a_schema_changes_no_table(database: str) -> None:
    """What waited in the stage of the parent was forgotten where a deleted row waited for the end of the unit behind it."""
    family(database)
    plain = {"id": KEY, "v": INTEGER, **GONE}
    load(database, SCHEMA("p", {**plain, "w": INTEGER}, ["id"]), p(1, w=1), STATE({"n": 1})).expect(0)
    load(
        database,
        *(SCHEMA("p", plain, ["id"]), p(2), C),
        p(1, _sdc_deleted_at=WHEN),
        *(SCHEMA("p", {**plain, "w": INTEGER}, ["id"]), p(3, w=3), c(2, 2), STATE({"n": 2})),
        hard_delete=True,
    ).expect(0)
    assert query(database, "SELECT id FROM p ORDER BY id") == [(0,), (2,), (3,)]


@pytest.mark.parametrize("again", [False, True], ids=["gone", "back"])
def test_a_schema_that_names_the_mark_no_more_comes_behind_rows_that_go(database: str, again: bool) -> None:
    family(database)
    marked = SCHEMA("p", {"id": KEY, "v": INTEGER, **GONE}, ["id"])
    first = [marked, p(1), p(2), C, c(1, 1), STATE({"n": 1})]
    load(database, *first, hard_delete=True).expect(0)
    more = [p(1, v=7)] if again else []
    second = [marked, RECORD("p", {"id": 1, "_sdc_deleted_at": WHEN}), C, c(1, 2), P, p(3), *more]
    load(database, STATE({"n": 1}), *second, STATE({"n": 2}), hard_delete=True).expect(0)
    rows = [(0, 0), *([(1, 7)] if again else []), (2, 2), (3, 3)]
    assert query(database, "SELECT id, v FROM p ORDER BY id") == rows
    assert query(database, "SELECT id, p FROM c ORDER BY id") == [(0, 0), (1, 2)]


@pytest.mark.parametrize("invalid", ["fail", "quarantine"])
@pytest.mark.parametrize("order", ["parents first", "children first"])
@pytest.mark.parametrize("tail", [f"ON DELETE RESTRICT {LATE}", f"ON UPDATE RESTRICT {LATE}", LATE])
def test_what_restricts_is_judged_at_once_whatever_else_is_deferred(
    database: str, tail: str, order: str, invalid: str
) -> None:
    family(database, tail=tail, filled=False)
    query(database, "CREATE TABLE below (c bigint REFERENCES c)")  # so that what goes from c waits, too
    marked = [SCHEMA(one["stream"], one["schema"]["properties"] | GONE, ["id"]) for one in (P, C)]
    load(
        database, *marked, p(1), p(2), c(1, 1), STATE({"n": 1}), hard_delete=True, on_invalid=invalid
    ).expect(0)
    gone = [RECORD(stream, {"id": 1, "_sdc_deleted_at": WHEN}) for stream in ("p", "c")]
    if order == "children first":
        gone.reverse()
        marked.reverse()
    last = [STATE({"n": 1}), *marked, *gone, c(2, 2), STATE({"n": 2})]
    load(database, *last, hard_delete=True, on_invalid=invalid).expect(0)
    assert query(database, "SELECT id FROM p ORDER BY 1") == [(2,)]
    assert query(database, "SELECT id, p FROM c ORDER BY 1") == [(2, 2)]
    assert letters(database) == []
