"""Tables that are made in partitions by the config (`partition_by`), and partitions that are made as rows need them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from faults.loads import MARKED, RECORD, SCHEMA, STATE, connected, load, query

from target_postgres.dividing import divisions_of

FIELDS = {
    "id": {"type": ["integer", "null"]},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "day": {"type": ["string", "null"], "format": "date"},
    "land": {"type": ["string", "null"]},
}
END = MARKED({"bookmarks": {"t": {}}}, complete=True)
MONTHS = {"t": {"range": "at", "each": "month"}}


def rows(*values: dict[str, Any], key: tuple[str, ...] = ("id", "at"), at: int = 1) -> list[Any]:
    return [SCHEMA("t", FIELDS, list(key)), *(RECORD("t", value) for value in values), STATE({"at": at})]


def partitions(database: str) -> dict[str, int]:
    names = query(
        database,
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 't'::regclass ORDER BY 1",
    )
    return {name: query(database, f'SELECT count(*)::int FROM "{name}"')[0][0] for (name,) in names}


def test_a_range_has_its_partitions_before_its_rows(database: str) -> None:
    first = [
        {"id": 1, "at": "2026-01-31T23:30:00-02:00"},
        {"id": 2, "at": "2026-01-31T23:30:00Z"},
        {"id": 3, "at": "2024-12-31T23:59:59"},
        {"id": 4, "at": "9999-12-31T23:59:59Z"},
    ]
    load(database, *rows(*first), partition_by=MONTHS).expect(0)
    assert partitions(database) == {"t_p202412": 1, "t_p202601": 1, "t_p202602": 1, "t_p999912": 1}
    again = [{"id": 1, "at": "2026-02-01T01:30:00Z", "land": "x"}, {"id": 5, "at": "2026-03-01T00:00:00Z"}]
    told = load(database, *rows(*again, at=2), partition_by=MONTHS).expect(0).stderr
    assert partitions(database) == {
        "t_p202412": 1,
        "t_p202601": 1,
        "t_p202602": 1,
        "t_p202603": 1,
        "t_p999912": 1,
    }
    assert "Partition t_p202603 made for stream `t`" in told
    assert told.count("Partition t_p") == 1
    assert query(database, "SELECT land FROM t WHERE id = 1") == [("x",)]


def test_lists_hashes_and_what_belongs_to_none(database: str) -> None:
    by_land = {"*": {"list": "land", "default": True}}
    values = [{"id": n, "land": land} for n, land in enumerate(["DE", "de", None, 'say "hi"; --', "DE"])]
    load(database, *rows(*values, key=()), partition_by=by_land).expect(0)
    assert sum(partitions(database).values()) == 5
    assert set(partitions(database)) == {"t_de", "t_de_2", "t_null", "t_say_hi_", "t_default"}
    query(database, "DROP TABLE t; DELETE FROM _singerkit_state")
    by_day = {"t": {"range": "day", "each": "year", "default": True}}
    load(database, *rows({"id": 1}, {"id": 2, "day": "2026-05-05"}, key=()), partition_by=by_day).expect(0)
    assert partitions(database) == {"t_default": 1, "t_p2026": 1}
    query(database, "DROP TABLE t; DELETE FROM _singerkit_state")
    by_id = {"t": {"hash": "id", "parts": 3}}
    load(database, *rows(*values, key=("id",)), partition_by=by_id, unlogged=True).expect(0)
    assert len(partitions(database)) == 3
    assert sum(partitions(database).values()) == 5
    assert query(
        database, "SELECT DISTINCT relpersistence::text FROM pg_class WHERE relname LIKE 't\\_h_'"
    ) == [("u",)]


def test_partitions_that_are_needed_within_a_unit(database: str) -> None:
    """Rows of the unit have locked the table, and those without a moment the partition of all else."""
    config: dict[str, Any] = {"partition_by": {"t": {"range": "at", "each": "day", "default": True}}}
    schema, others = SCHEMA("t", FIELDS, []), SCHEMA("u", FIELDS, ["id"])
    unit: list[Any] = []
    for day in range(1, 6):
        unit += [
            schema,
            RECORD("t", {"id": day, "at": f"2026-01-{day:02}T00:00:00Z"}),
            RECORD("t", {"id": -day}),
        ]
        unit += [others, RECORD("u", {"id": day})]
    for number in (1, 2):
        load(database, *unit, STATE({"at": number}), **config).expect(0)
    assert partitions(database) == {"t_default": 10} | {f"t_p2026010{day}": 2 for day in range(1, 6)}
    assert query(database, "SELECT count(*) FROM u") == [(5,)]
    load(database, *unit, STATE({"at": 3}), replay_bytes=0, **config).expect(0)
    assert query(database, "SELECT count(*), count(at) FROM t") == [(30, 15)]


def test_two_runs_make_the_same_partitions_while_others_read_and_write(database: str) -> None:
    load(database, *rows({"id": 0, "at": "2025-01-01T00:00:00Z"}, key=()), partition_by=MONTHS).expect(0)
    codes: list[int] = []

    def run(number: int) -> None:
        values = [{"id": number, "at": f"2026-{month:02}-01T00:00:00Z"} for month in range(1, 13)]
        wire = [x for value in values for x in rows(value, key=())[:2]]
        config = {"partition_by": MONTHS, "pipeline": f"p{number}"}
        codes.append(load(database, *wire, STATE({"at": number}), **config).code)

    with connected(database) as reader:
        reader.execute("BEGIN; INSERT INTO t (id, at) VALUES (9, '2025-01-02'); SELECT count(*) FROM t")
        threads = [threading.Thread(target=run, args=[number]) for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        reader.execute("COMMIT")
    assert codes == [0, 0]
    assert partitions(database) == {"t_p202501": 2} | {f"t_p2026{month:02}": 2 for month in range(1, 13)}


def test_other_methods_have_partitions_too(database: str) -> None:
    first = rows(
        {"id": 1, "at": "2026-01-01T00:00:00Z", "land": "a"}, {"id": 2, "at": "2026-02-01T00:00:00Z"}
    )
    second = rows(
        {"id": 1, "at": "2026-01-01T00:00:00Z", "land": "b"}, {"id": 3, "at": "2026-03-01T00:00:00Z"}, at=2
    )
    whole = {"partition_by": MONTHS, "load_method": "overwrite"}
    for wire in (first, second):
        load(database, MARKED({"bookmarks": {}}), *wire[:-1], END, **whole).expect(0)
    assert query(database, "SELECT id, land FROM t ORDER BY id") == [(1, "b"), (3, None)]
    assert list(partitions(database)) == ["t_p202601", "t_p202602", "t_p202603"]
    kept = {"partition_by": MONTHS, "load_method": "history", "default_target_schema": "h"}
    for wire in (first, second):
        load(database, *wire, **kept).expect(0)
    found = query(
        database, "SELECT id, land, _sdc_valid_to IS NULL, tableoid::regclass::text FROM h.t ORDER BY 1, 3"
    )
    assert found == [
        (1, "a", False, "h.t_p202601"),
        (1, "b", True, "h.t_p202601"),
        (2, None, True, "h.t_p202602"),
        (3, None, True, "h.t_p202603"),
    ]


def test_what_others_have_made_is_used_and_what_is_in_the_way_is_told(database: str) -> None:
    query(database, "CREATE TABLE t (id bigint, at timestamptz, day date, land text) PARTITION BY RANGE (at)")
    query(database, "CREATE TABLE quarter PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-15')")
    load(database, *rows({"id": 1, "at": "2026-02-01T00:00:00Z"}, key=()), partition_by=MONTHS).expect(0)
    assert partitions(database) == {"quarter": 1}
    query(database, "CREATE TABLE odd PARTITION OF t FOR VALUES FROM ('2026-03-15') TO ('2026-03-16')")
    late = rows({"id": 2, "at": "2026-03-20T00:00:00Z"}, key=(), at=2)
    refused = load(database, *late, partition_by=MONTHS).expect(65)
    assert "others have made one that overlaps with it" in refused.stderr
    assert "make the partition that the row belongs to" in refused.last_words
    query(database, "CREATE TABLE rest PARTITION OF t DEFAULT; INSERT INTO t (at) VALUES ('2026-04-04')")
    april = rows({"id": 3, "at": "2026-04-05T00:00:00Z"}, key=(), at=3)
    assert "are in the DEFAULT partition" in load(database, *april, partition_by=MONTHS).expect(0).stderr
    assert query(database, "SELECT count(*) FROM rest") == [(2,)]


def test_a_table_that_is_there_stays_until_it_is_replaced_by_hand(database: str) -> None:
    first = rows({"id": 1, "at": "2026-04-05T00:00:00Z"})
    load(database, *first).expect(0)
    told = load(database, *first, partition_by={**MONTHS, "x": {"list": "id"}}).expect(0).stderr
    assert "is not partitioned: it stays as it is" in told
    assert "`partition_by` names `x`" in told
    query(
        database,
        "ALTER TABLE t RENAME TO before; CREATE TABLE t (LIKE before INCLUDING ALL) PARTITION BY RANGE (at); "
        "CREATE TABLE t_p202604 PARTITION OF t FOR VALUES FROM ('2026-04-01') TO ('2026-05-01'); INSERT INTO t SELECT * FROM before",
    )
    again = rows(
        {"id": 1, "at": "2026-04-05T00:00:00Z", "land": "x"}, {"id": 2, "at": "2026-05-05T00:00:00Z"}, at=2
    )
    told = load(database, *again, partition_by=MONTHS).expect(0).stderr
    assert "is not the one that rows" in told
    assert "--adopt committed" in told
    assert partitions(database) == {"t_p202604": 1, "t_p202605": 1}


@pytest.mark.parametrize(
    ("division", "key", "words"),
    [
        ({"range": "at", "each": "month"}, ["id"], '`"primary_keys": ["id", "at"]`'),
        ({"range": "id", "each": "month"}, ["id"], "which is no date and no date-time but `bigint`"),
        ({"list": "nothing"}, ["id"], "Expected fields of stream `t` at `partition_by`, got `nothing`"),
    ],
)
def test_what_cannot_be_is_refused_before_rows(
    database: str, division: Any, key: list[str], words: str
) -> None:
    value = {"id": 1, "at": "2026-01-01T00:00:00Z"}
    assert (
        words
        in load(database, *rows(value, key=tuple(key)), partition_by={"t": division}).expect(78).last_words
    )
    assert query(database, "SELECT to_regclass('t')") == [(None,)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Expected one of `range`, `list` and `hash`"),
        ({"range": "a", "list": "b"}, "Expected one of"),
        ({"range": "a"}, "Expected `each`"),
        ({"list": "a", "each": "day"}, "Expected `each`"),
        ({"hash": "a"}, "Expected `parts`"),
        ({"hash": "a", "parts": 2, "default": True}, "Expected no `default`"),
    ],
)
def test_a_division_that_is_none(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        divisions_of({"t": given})


@pytest.mark.parametrize("in_one_run", [True, False])
def test_a_stream_that_is_called_like_a_partition_of_another_is_refused(
    database: str, in_one_run: bool
) -> None:
    """Its rows were rows of the other, with exit code 0."""
    config = {"partition_by": {"s": {"list": "c"}}}
    fields = {"id": {"type": "integer"}, "c": {"type": "string"}}
    first = [SCHEMA("s", fields, ["id", "c"]), RECORD("s", {"id": 1, "c": "x"})]
    other = [SCHEMA("s_x", fields, ["id", "c"]), RECORD("s_x", {"id": 9, "c": "x"})]
    if not in_one_run:
        load(database, *first, STATE({"a": 1}), **config).expect(0)
        first = []
    refused = load(database, *first, *other, STATE({"a": 2}), **config).expect(78).last_words
    assert "public.s_x, which is a partition of the table of stream `s` (`partition_by`)" in refused
    named = {**config, "table_name": {"s_x": "of_x"}}
    load(database, *first, *other, STATE({"a": 2}), **named).expect(0)
    assert query(database, "SELECT id FROM s") == [(1,)]
    assert query(database, "SELECT id FROM of_x") == [(9,)]


def test_a_row_of_no_partition_is_set_aside(database: str) -> None:
    values = [{"id": 1, "at": "2026-01-01T00:00:00Z"}, {"id": 2}]
    load(database, *rows(*values, key=()), partition_by=MONTHS, on_invalid="quarantine").expect(0)
    assert partitions(database) == {"t_p202601": 1}
    assert query(database, "SELECT count(*) FROM _singerkit_rejects") == [(1,)]
