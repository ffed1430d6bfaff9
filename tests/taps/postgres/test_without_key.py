"""Tables without a key: a load that was cut off goes on only where each row then has come exactly once, whatever was done meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from taps.postgres.conftest import Shop
from taps.written import Result
from waiting import wait_until

from tap_postgres import heap

FILLED = "INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series({}, {}) AS i"


@pytest.fixture
def keyless(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A table of some 30 blocks, each a range of its own, with room for other rows in each."""
    monkeypatch.setattr(heap, "_FIRST_BLOCKS", 1)
    monkeypatch.setattr(heap, "_MOST_BLOCKS", 1)
    shop.execute(
        "CREATE TABLE t (v int, filler text)", FILLED.format(1, 700), "DELETE FROM t WHERE v % 4 = 0"
    )
    shop.execute("VACUUM t")
    # A row counts as one that all may see once no older transaction of the server is open: other tests have some.
    seen = "SELECT coalesce(max(xmin::text::bigint), 0) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM t"
    wait_until(lambda: shop.query(seen) == [(True,)], "the end of the transactions of other tests")
    return shop


def cut(found: Result, ranges: int) -> tuple[list[Any], dict[str, Any]]:
    """What a target has committed that was killed behind so many ranges: values, and the state."""
    at = [number for number, one in enumerate(found.messages) if one["type"] == "STATE"][ranges]
    before = Result(found.messages[: at + 1], found.stream)
    assert "position" in before.state["bookmarks"]["public-t"]["_singerkit_load"]
    return before.column("v"), before.state


def there(shop: Shop) -> Counter[int]:
    return Counter(v for (v,) in shop.query("SELECT v FROM t"))


def rest_of(shop: Shop, sent: list[int], state: Any) -> tuple[Counter[int], bool]:
    """What a target holds when the load is complete, and whether it has gone on where it was."""
    before = state["bookmarks"]["public-t"]["_singerkit_load"]["version"]
    found = shop.sync(state)
    (activated,) = found.of_type("ACTIVATE_VERSION")
    goes_on = activated["version"] == before
    return Counter([*(sent if goes_on else []), *found.column("v")]), goes_on


@pytest.mark.parametrize(
    ("done", "goes_on"),
    [
        ("SELECT", True),
        (FILLED.format(1000, 1050), True),  # where others were deleted: some before the place, some behind it
        ("UPDATE t SET v = -v WHERE v > 600", True),  # new places, most of them before the place
        ("DELETE FROM t WHERE v > 600", True),
        ("UPDATE t SET v = -v WHERE v = 1", False),
        ("DELETE FROM t WHERE v = 1", False),
        ("DELETE FROM t WHERE v = 1; INSERT INTO t VALUES (1)", False),  # as many as before
        ("UPDATE t SET v = v", False),
    ],
)
def test_a_load_goes_on_if_all_rows_that_were_sent_stand_where_they_stood(
    keyless: Shop, caplog: pytest.LogCaptureFixture, done: str, goes_on: bool
) -> None:
    sent, state = cut(keyless.sync(state_every=1), 12)
    assert 0 < len(sent) < there(keyless).total()
    keyless.execute(done)
    assert rest_of(keyless, sent, state) == (there(keyless), goes_on)
    assert ("rows that it had sent were updated or deleted since" in caplog.text) is not goes_on


@pytest.mark.parametrize("done", ["VACUUM FULL t", "TRUNCATE t; " + FILLED.format(1, 700)])
def test_a_table_that_was_written_anew_is_read_from_its_beginning(
    keyless: Shop, caplog: pytest.LogCaptureFixture, done: str
) -> None:
    sent, state = cut(keyless.sync(state_every=1), 12)
    keyless.execute(*done.split("; "))
    assert rest_of(keyless, sent, state) == (there(keyless), False)
    assert "begins anew: the table has been written anew since (VACUUM FULL" in caplog.text


def test_a_column_that_is_another_one_leaves_rows_where_they_were_and_has_them_read_again(
    keyless: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    sent, state = cut(keyless.sync(state_every=1), 12)
    keyless.execute("ALTER TABLE t DROP filler, ADD filler text DEFAULT 'of another column'")
    assert rest_of(keyless, sent, state) == (there(keyless), False)
    assert "begins anew: its columns are others since" in caplog.text
    place = {**state["bookmarks"]["public-t"]["_singerkit_load"]["position"]}
    del place["columns"]
    assert heap.Place.of(place) is not None, "a state of before goes on"


def test_the_place_of_another_server_is_none(keyless: Shop, caplog: pytest.LogCaptureFixture) -> None:
    sent, state = cut(keyless.sync(state_every=1), 12)
    state["bookmarks"]["public-t"]["_singerkit_load"]["position"]["server"] = "1/00000002"
    assert rest_of(keyless, sent, state) == (there(keyless), False)
    assert "restored or promoted" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [{"blocks": -1}, {"blocks": 2**40}, {"rows": None}, {"oldest": 2**62}, {"file": "x"}, {"server": 7}],
)
def test_a_place_that_means_nothing_is_none(keyless: Shop, wrong: dict[str, Any]) -> None:
    sent, state = cut(keyless.sync(state_every=1), 12)
    state["bookmarks"]["public-t"]["_singerkit_load"]["position"].update(wrong)
    assert rest_of(keyless, sent, state) == (there(keyless), False)


def test_rows_of_a_savepoint_that_was_open_at_the_first_read_come_once(keyless: Shop) -> None:
    """Its number is not among those that are told to be open: its rows look as if they had been there, and as many that went make up for them."""
    keyless.config["tables"] = ["public.t"]
    with closing(psycopg2.connect(keyless.dsn)) as other, other.cursor() as cursor:
        cursor.execute(
            "SAVEPOINT a; INSERT INTO t SELECT 5000 + i FROM generate_series(1, 30) AS i; RELEASE a"
        )
        keyless.execute("CREATE TABLE u (a int)")  # has a number behind it
        sent, state = cut(keyless.sync(state_every=1), 25)
        other.commit()
    before = "ctid < '({blocks},0)'".format(**state["bookmarks"]["public-t"]["_singerkit_load"]["position"])
    gone = keyless.query(
        f"DELETE FROM t WHERE v IN (SELECT v FROM t WHERE v < 5000 AND {before} "
        f"LIMIT (SELECT count(*) FROM t WHERE v > 5000 AND {before})) RETURNING v"
    )
    assert gone
    assert rest_of(keyless, sent, state)[0] == there(keyless)


def test_without_versions_nothing_is_committed_that_could_not_be_taken_away(keyless: Shop) -> None:
    found = keyless.sync(state_every=1, activate_version=False)
    assert len(found.of_type("STATE")) == 3  # at the beginning, when the table is read, and at the end
    assert Counter(found.column("v")) == there(keyless)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done_between_two_runs_each_row_comes_once(keyless: Shop, seed: int) -> None:
    chance = random.Random(seed)
    sent, state = cut(keyless.sync(state_every=1), chance.randrange(3, 25))
    for _ in range(3):
        keyless.execute(*(chance.choice(DEEDS).format(chance.randrange(1, 700)) for _ in range(3)))
        found = keyless.sync(state, state_every=1)
        version = state["bookmarks"]["public-t"]["_singerkit_load"]["version"]
        places = len([one for one in found.of_type("STATE") if "position" in str(one)])
        if found.rows() and places > 4:
            more, state = cut(found, chance.randrange(2, places - 1))
            goes_on = state["bookmarks"]["public-t"]["_singerkit_load"]["version"] == version
            sent = [*(sent if goes_on else []), *more]
    assert rest_of(keyless, sent, state)[0] == there(keyless)


DEEDS = [
    "SELECT",
    "VACUUM t",
    "INSERT INTO t SELECT {0} + i, repeat('y', 200) FROM generate_series(1, 9) AS i",
    "UPDATE t SET filler = repeat('z', 350) WHERE v BETWEEN {0} AND {0} + 3",
    "DELETE FROM t WHERE v BETWEEN {0} AND {0} + 3",
    "BEGIN; SAVEPOINT a; INSERT INTO t VALUES ({0}), ({0}); RELEASE a; DELETE FROM t WHERE v = {0} + 1; COMMIT",
]
