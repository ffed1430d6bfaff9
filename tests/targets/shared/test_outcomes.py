"""How many rows of each stream are new, changed and deleted: what a run says at its end is what happened in the tables."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from faults.loads import MARKED, load, query
from faults.proxy import proxied
from targets.shared.test_databases import MOMENT, TEXT, Database, target

from singerkit_target.held import AT_ONCE, HeldLog
from singerkit_target.outcomes import Outcome, Outcomes

__all__ = ["target"]

INTEGER = {"type": ["integer", "null"]}
AT = "2024-01-01T00:00:00Z"
SAID = re.compile(r"Stream `(\w+)`: ([\d,]+) rows? loaded(?: \(([^)]*)\))?")


def became(stderr: str) -> dict[str, tuple[int, ...]]:
    """By stream: rows, and of them new, changed, and deleted; what is not known is left out."""
    found = {}
    for stream, rows, counts in SAID.findall(stderr):
        of = {what: int(count) for count, what in re.findall(r"(\d+) (new|changed|deleted)", counts)}
        known = [of.get(what, 0) for what in ("new", "changed", "deleted")] if counts else []
        found[stream] = (int(rows), *known)
    return found


def schema(stream: str, *keys: str) -> dict[str, Any]:
    return SCHEMA(stream, {"id": INTEGER, "v": TEXT, "_sdc_deleted_at": MOMENT}, list(keys))


def rows(stream: str, letters: str, first: int = 1, **more: Any) -> list[dict[str, Any]]:
    """A row for each letter, which is its value; their ids follow each other, and a space is none."""
    return [
        RECORD(stream, {"id": first + at, "v": letter, "_sdc_deleted_at": None}, **more)
        for at, letter in enumerate(letters)
        if letter != " "
    ]


def gone(stream: str, *ids: int) -> list[dict[str, Any]]:
    return [RECORD(stream, {"id": id_, "_sdc_deleted_at": AT}) for id_ in ids]


def activate(version: int) -> dict[str, Any]:
    return {"type": "ACTIVATE_VERSION", "stream": "versions", "version": version}


METHODS = {
    "appended": "append",
    "over": "overwrite",
    "log_over": "overwrite",
    "*": "upsert",
}


def test_what_became_of_rows_under_each_method(target: Database) -> None:
    def run(n: int, *messages: Any) -> dict[str, tuple[int, ...]]:
        start, end = (MARKED({"n": at, "bookmarks": {"over": {}, "log_over": {}}}) for at in (n - 1, n))
        end = MARKED(end["value"], complete=True)
        config = {"load_method": METHODS, "hard_delete": True, "add_record_metadata": False}
        start = start if n > 1 else MARKED({"bookmarks": {}})
        return became(target.run(start, *messages, end, **config).expect(0).stderr)

    keyed = [schema(name, "id") for name in ("up", "over", "marks")]
    keyless = [schema(name) for name in ("log", "log_over", "appended")]
    first = run(
        1,
        *keyed,
        *keyless,
        *rows("up", "abcd"),
        *rows("up", "A", 1),  # the same key again in one unit
        *rows("over", "abc"),
        *rows("marks", "abcd"),
        *gone("marks", 4, 9),
        *(row for name in ("log", "log_over", "appended") for row in rows(name, "ab")),
    )
    assert first == {
        "up": (5, 4, 0, 0),
        "over": (3, 3, 0, 0),
        "marks": (6, 3, 0, 0),
        "log": (2, 2, 0, 0),
        "log_over": (2, 2, 0, 0),
        "appended": (2, 2, 0, 0),
    }
    assert run(
        2,
        *keyed,
        *keyless,
        *rows("up", "Abxyz"),  # 1 and 2 as they are
        *rows("up", "YZ", 4),
        *rows("over", " bxd"),
        *rows("marks", "aBC e"),
        *gone("marks", 1, 2, 8),
        *(row for name in ("log", "log_over", "appended") for row in rows(name, "bc")),
    ) == {
        "up": (7, 1, 2, 0),
        "over": (3, 1, 1, 1),
        "marks": (7, 1, 1, 2),
        "log": (2, 2, 0, 0),
        "log_over": (2, 2, 0, 2),
        "appended": (2, 2, 0, 0),
    }
    assert run(3, *keyed, *rows("up", "Ab"), *rows("over", " bxd")) == {
        "up": (2, 0, 0, 0),
        "over": (3, 0, 0, 0),
    }


@pytest.mark.parametrize("hard", [True, False])
def test_rows_of_other_versions_count_as_deleted(target: Database, hard: bool) -> None:
    own = SCHEMA("versions", {"id": INTEGER, "v": TEXT}, ["id"])

    def run(n: int, ids: str) -> dict[str, tuple[int, ...]]:
        records = [RECORD("versions", {"id": ord(id_), "v": id_}, version=n) for id_ in ids]
        config = {"hard_delete": hard, "add_record_metadata": True}
        return became(target.run(own, *records, activate(n), STATE({"n": n}), **config).expect(0).stderr)

    assert run(1, "abc") == {"versions": (3, 3, 0, 0)}
    # Each row that comes again gets the version of its load.
    assert run(2, "ab") == {"versions": (2, 0, 2, 1)}
    assert run(3, "") == {"versions": (0, 0, 0, 2)}


@pytest.mark.parametrize("column", ["numeric", "text"], ids=["plain", "set aside"])
def test_what_is_set_aside_was_done_to_no_row(database: str, column: str) -> None:
    """PostgreSQL refuses what a CHECK of others does; rows go in by halves then."""
    own = SCHEMA("t", {"id": INTEGER, "v": INTEGER}, ["id"])
    query(database, f"CREATE TABLE t (id {column} PRIMARY KEY, v bigint CHECK (v < 9))")

    def run(n: int, *values: int) -> dict[str, tuple[int, ...]]:
        records = [RECORD("t", {"id": at, "v": value}) for at, value in enumerate(values)]
        settings = {"on_invalid": "quarantine", "on_type_conflict": "widen"}
        return became(load(database, own, *records, STATE({"n": n}), **settings).expect(0).stderr)

    assert run(1, 1, 9, 3, 4) == {"t": (3, 3, 0, 0)}
    assert run(2, 1, 2, 9, 5) == {"t": (3, 1, 1, 0)}


def test_rows_of_a_history_count_as_they_hold_now(database: str) -> None:
    def run(n: int, *messages: Any) -> tuple[int, ...]:
        said = load(
            database, schema("t", "id"), *messages, STATE({"n": n}), load_method="history", hard_delete=True
        )
        return became(said.expect(0).stderr)["t"]

    assert run(1, *rows("t", "abcd"), *rows("t", "A")) == (5, 4, 0, 0)
    assert run(2, *rows("t", "AbX"), *gone("t", 4), *rows("t", "e", 5)) == (5, 1, 1, 1)
    # What begins in a unit and ends there was never there; 1 was, and is gone; 4 comes back.
    kept = [RECORD("t", {"id": 1, "v": "B"}), *gone("t", 6)]  # other fields than the rest: another part
    assert run(3, *rows("t", "C"), *rows("t", "f", 6), *kept, *gone("t", 1), *rows("t", "D", 4)) == (
        6,
        1,
        0,
        1,
    )
    assert query(database, "SELECT id, v FROM t WHERE _sdc_valid_to IS NULL ORDER BY id") == [
        (2, "b"),
        (3, "X"),
        (4, "D"),
        (5, "e"),
    ]


def test_rows_of_tables_that_foreign_keys_tie_together_count_for_each(database: str) -> None:
    """Also those of one stage each, in a circle, and such as had to be tried once more."""
    query(database, "CREATE TABLE a (id bigint PRIMARY KEY, b bigint)")
    query(database, "CREATE TABLE b (id bigint PRIMARY KEY, a bigint REFERENCES a)")
    query(database, "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b")
    streams = [
        SCHEMA("a", {"id": INTEGER, "b": INTEGER}, ["id"]),
        SCHEMA("b", {"id": INTEGER, "a": INTEGER}, ["id"]),
    ]

    def run(n: int, *pairs: tuple[str, int, int | None], **config: Any) -> dict[str, tuple[int, ...]]:
        records = [RECORD(one, {"id": id_, "b" if one == "a" else "a": to}) for one, id_, to in pairs]
        done = load(database, *streams, *records, STATE({"n": n}), missing_fields="null", **config)
        return became(done.expect(0).stderr)

    assert run(1, ("b", 1, 1), ("a", 1, 1), ("a", 2, 1)) == {"a": (2, 2, 0, 0), "b": (1, 1, 0, 0)}
    assert run(2, ("b", 2, 3), ("a", 1, 2), ("a", 2, 1), ("a", 3, 2), ("b", 1, 3)) == {
        "a": (3, 1, 1, 0),
        "b": (2, 1, 1, 0),
    }
    assert run(3, ("b", 3, 9), ("a", 4, 3), ("a", 1, 1), ("b", 2, 1), on_invalid="quarantine") == {
        "a": (1, 0, 1, 0),
        "b": (1, 0, 1, 0),
    }


@pytest.mark.parametrize("lose", ["before", "after"])
def test_a_unit_counts_once_whatever_became_of_its_commit(database: str, lose: str) -> None:
    own = SCHEMA("t", {"id": INTEGER, "v": TEXT}, ["id"])
    load(database, own, RECORD("t", {"id": 1, "v": "a"}), STATE({"n": 1})).expect(0)
    with proxied(database, lose) as proxy:
        records = [RECORD("t", {"id": n, "v": "b"}) for n in (1, 2, 3)]
        done = load(proxy.uri, own, *records, STATE({"n": 2})).expect(0)
        assert proxy.lost.is_set()
    assert ("the unit in hand is written again" in done.stderr) is (lose == "before")
    assert became(done.stderr) == {"t": (3, 2, 1, 0)}


def test_what_a_run_takes_back_at_its_end_is_not_counted(target: Database) -> None:
    own = SCHEMA("t", {"id": INTEGER, "v": TEXT}, ["id"])
    good, bad = RECORD("t", {"id": 1, "v": "a"}), RECORD("t", {"id": "x"})
    whole = target.run(own, good, STATE({"n": 1}), bad, atomic="run", on_type_conflict="fail").expect(65)
    assert became(whole.stderr) in ({}, {"t": (0,)})
    assert "0 commits." in whole.stderr
    part = target.run(own, good, STATE({"n": 1}), good | {"record": {"id": 2}}, bad, on_type_conflict="fail")
    assert became(part.expect(65).stderr) == {"t": (1, 1, 0, 0)}
    assert "1 row in" in part.stderr
    assert "1 commit." in part.stderr


def test_nothing_is_said_where_postgresql_cannot_tell(database: str) -> None:
    """A trigger that writes to the table itself counts among what the statement did."""
    own = SCHEMA("t", {"id": INTEGER, "v": TEXT}, ["id"])
    load(database, own, RECORD("t", {"id": 1, "v": "a"}), STATE({"n": 1})).expect(0)
    query(
        database,
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.id < 100 THEN INSERT INTO t VALUES (NEW.id + 100) ON CONFLICT DO NOTHING; END IF; RETURN NULL; END $$; "
        "CREATE TRIGGER more AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION more()",
    )
    done = load(database, own, RECORD("t", {"id": 1, "v": "b"}), STATE({"n": 2})).expect(0)
    assert became(done.stderr) == {"t": (1,)}


def test_partitions_count_for_their_table(database: str) -> None:
    own = SCHEMA("t", {"id": INTEGER, "v": TEXT}, ["id"])
    query(
        database,
        "CREATE TABLE t (id bigint PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (5); "
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (5) TO (10); INSERT INTO t VALUES (1, 'a'), (5, 'a'), (6, 'b')",
    )
    records = [RECORD("t", {"id": n, "v": "b"}) for n in (1, 2, 5, 6, 7)]
    assert became(load(database, own, *records, STATE({"n": 2})).expect(0).stderr) == {"t": (5, 2, 2, 0)}


def test_a_stream_of_which_one_statement_is_not_known_is_not_told() -> None:
    unit, all_ = Outcomes(), Outcomes()
    unit.note("a", Outcome(1, 2))
    unit.note("b", Outcome(deleted=3))
    all_.add(unit)
    unit.note("a", None)
    with contextlib.suppress(ValueError), unit.unless_refused():
        unit.note("b", None)
        raise ValueError
    all_.add(unit)
    assert all_.known() == {"b": Outcome(0, 0, 6)}
    unit.clear()
    assert unit.known() == {}


def test_columns_that_a_table_has_got_are_named(target: Database) -> None:
    target.run(SCHEMA("t", {"id": INTEGER}, ["id"]), RECORD("t", {"id": 1}), STATE({"n": 1})).expect(0)
    more = SCHEMA("t", {"id": INTEGER, "v": TEXT, "w": TEXT}, ["id"])
    done = target.run(more, RECORD("t", {"id": 1, "v": "a"}), STATE({"n": 2})).expect(0)
    assert re.search(r"1 row loaded \(1 changed\) in [\d.]+ s; columns added: v, w\.", done.stderr)


# --- nothing is announced that was rolled back ---------------------------------------------------------------

REFUSING = """
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE CONSTRAINT TRIGGER no AFTER UPDATE ON _singerkit_state DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.sequence > 1) EXECUTE FUNCTION no()
"""
"""The COMMIT of the second unit fails, when all of it is done."""


def test_what_a_unit_did_is_told_once_it_is_committed(database: str) -> None:
    own = SCHEMA("t", {"id": INTEGER, "v": INTEGER}, ["id"])
    first = [RECORD("t", {"id": n, "v": n}, version=n) for n in (1, 2)]
    load(database, own, *first, STATE({"n": 1}), add_record_metadata=True).expect(0)
    query(database, REFUSING)
    unit = [
        own,
        RECORD("t", {"id": 1, "v": 1}, version=1),
        SCHEMA("t", {"id": INTEGER, "v": INTEGER, "w": TEXT}, ["id"]),
        RECORD("t", {"id": 3, "v": 3, "w": "a"}, version=1),
        {"type": "ACTIVATE_VERSION", "stream": "t", "version": 1},
        STATE({"n": 2}),
    ]
    announced = ("Columns added for stream `t`: `w`", "has deleted 1 row of newer versions")
    config = {
        "add_record_metadata": True,
        "replay_bytes": 0,
    }  # what is not held is altered in the unit itself
    failed = load(database, *unit, **config)
    assert failed.code != 0
    assert became(failed.stderr) in ({}, {"t": (0,)})
    assert [said for said in announced if said in failed.stderr] == []
    query(database, "DROP TRIGGER no ON _singerkit_state")
    done = load(database, *unit, **config).expect(0).stderr
    assert [done.count(said) for said in announced] == [1, 1]
    assert became(done) == {"t": (2, 1, 1, 1)}


def test_what_was_made_for_rows_that_are_not_committed_is_told_to_be_gone(database: str) -> None:
    own = SCHEMA("t", {"id": INTEGER, "v": INTEGER}, ["id"])
    load(database, own, RECORD("t", {"id": 1, "v": 1}), STATE({"n": 1})).expect(0)
    query(database, REFUSING)
    other = SCHEMA("o", {"id": INTEGER}, ["id"])
    odd = [own, RECORD("t", {"id": 1, "v": "N/A"}), other, RECORD("o", {"id": 1}), STATE({"n": 2})]
    failed = load(database, *odd)
    assert failed.code != 0
    said = failed.stderr
    assert "stands as it came in" not in said
    for made, gone in (
        (
            "Columns added for stream `t`: `v__text`",
            "Columns of stream `t` are dropped again, since no row with them is committed: `v__text`",
        ),
        ("Table public.o made for stream `o`", "Table public.o, made for stream `o`, is dropped again"),
    ):
        assert 0 < said.index(made) < said.index(gone)
    query(database, "DROP TRIGGER no ON _singerkit_state")
    done = load(database, *odd).expect(0).stderr
    assert "stands as it came in" in done
    assert "column added: v__text" in done
    assert "dropped again" not in done


def test_a_line_is_held_until_what_it_tells_of_is_committed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    held = HeldLog(logging.getLogger("held"))
    held.debug("not asked for")
    held.warn_once("a", "kept")
    place = held.position()
    for _ in range(2):
        held.warn_once("b", "given up")
        held.info("by the way", extra=AT_ONCE)
    held.back_to(place)
    assert (held.has_told("a"), held.has_told("b")) == (True, False)
    held.warn_once("b", "done again")
    held.info("a %d", 1)
    assert caplog.messages == ["by the way"] * 2
    held.say(held.take())
    held.warn_once("a", "kept")
    held.say(held.take())
    assert caplog.messages[2:] == ["kept", "done again", "a 1"]
    quiet = HeldLog(logging.Logger("quiet", logging.CRITICAL))
    quiet.warn_once("a", "of no use")
    assert quiet.take() == []
