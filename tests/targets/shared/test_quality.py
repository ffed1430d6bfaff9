"""`checks` in a load: what a broken rule does to the unit that it is in, in PostgreSQL, DuckDB and files."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from faults import loads
from targets.shared.test_load import RECORD as Record
from targets.shared.test_load import SCHEMA as Schema
from targets.shared.test_load import STATE as State
from targets.shared.test_load import Memory, Run

from singerkit_quality.judge import Judge
from singerkit_quality.rules import rules_of
from singerkit_quality.sets import SetsBroken
from singerkit_shell.errors import BadDataError, ConfigurationError, SingerkitError
from singerkit_sql_target.tablejudge import TablesBroken
from singerkit_target.byhand import Wish
from singerkit_target.contract import UnitLost
from target_duckdb.target import TargetDuckDB
from target_jsonl.target import TargetJsonl
from target_postgres.target import TargetPostgres

INTEGER, TEXT = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
ORDERS = SCHEMA("orders", {"id": INTEGER, "qty": INTEGER, "note": TEXT}, ["id"])


def order(id_: int, qty: Any = 1, note: Any = "") -> dict[str, Any]:
    return RECORD("orders", {"id": id_, "qty": qty, "note": note})


def rule(kind: str, on: str = "fail", **said: Any) -> dict[str, Any]:
    return {"checks": {"orders": [{"rule": kind, "on": on, **said}]}}


AT_MOST_9 = {"field": "qty", "max": 9}


@dataclass
class Place:
    """Where rows go: ``load`` runs in this process."""

    load: Callable[..., None]
    query: Callable[[str], list[tuple[Any, ...]]]
    judge: Callable[..., None]
    by_hand: Callable[..., None]
    ids: Callable[[], list[int]]
    letters: Callable[[], list[tuple[Any, ...]]]

    def count(self, table: str) -> int:
        """How many rows there are, of a table that a unit which is given up may have taken along."""
        is_there = f"SELECT 1 FROM information_schema.tables WHERE table_name = '{table}'"
        return int(self.query(f"SELECT count(*) FROM {table}")[0][0]) if self.query(is_there) else 0


@pytest.fixture(params=["postgres", "duckdb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    file = tmp_path / "a.duckdb"
    if request.param == "duckdb":
        kind: Any = TargetDuckDB
        config: dict[str, Any] = {"database": str(file)}
    else:
        kind, config = TargetPostgres, {"dsn": request.getfixturevalue("database")}

    def query(statement: str) -> list[tuple[Any, ...]]:
        if request.param == "postgres":
            return loads.query(config["dsn"], statement)
        with duckdb.connect(str(file)) as connection:
            return connection.execute(statement).fetchall()

    def load(*messages: Any, **more: Any) -> None:
        lines = b"".join(json.dumps(one).encode() + b"\n" for one in messages)
        kind(config={**config, **more})._load(io.BytesIO(lines))

    def judge(**more: Any) -> None:
        kind(config={**config, **more}).judge_tables()

    def by_hand(wish: Wish, **more: Any) -> None:
        kind(config={**config, **more}).see_to_letters(wish)

    def letters() -> list[tuple[Any, ...]]:
        return query("SELECT line, path, reason FROM _singerkit_rejects ORDER BY line")

    return Place(
        load,
        query,
        judge,
        by_hand,
        lambda: [id_ for (id_,) in query("SELECT id FROM orders ORDER BY id")],
        letters,
    )


def test_a_unit_that_breaks_a_rule_leaves_those_before_it_and_the_state_where_it_was(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though all of them came in one piece, which is joined and written at once."""
    messages = [ORDERS, order(1), order(2), STATE({"a": 1}), order(3, 4711), order(4), STATE({"a": 2})]
    with pytest.raises(BadDataError) as caught:
        place.load(*messages, commit_rows=1, **rule("range", **AT_MOST_9))
    said = str(caught.value)
    assert "rule `range` of `qty` (`checks.orders[0]`) in stream `orders`" in said
    assert "key id = 3, line 5" in said
    assert "what was committed is safe" in said
    assert "4711" not in said
    assert "2 rows are committed" in said
    assert place.ids() == [1, 2]
    assert capsys.readouterr().out.splitlines() == ['{"a": 1}']
    with pytest.raises(BadDataError):
        place.load(*messages, commit_rows=1, **rule("range", **AT_MOST_9))
    assert place.ids() == [1, 2]
    place.load(ORDERS, order(3, 9), order(4), STATE({"a": 2}), **rule("range", **AT_MOST_9))
    assert place.ids() == [1, 2, 3, 4]


def test_records_that_are_set_aside_stand_among_the_dead_letters_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """With the STATE behind them, which goes on; a record of the same key that keeps the rule is loaded, whichever came first."""
    messages = [ORDERS, order(1), order(2, 10), order(2, 8), order(3, 5), order(3, 99), STATE({"a": 1})]
    config = rule("range", "quarantine", **AT_MOST_9)
    for _ in range(2):  # a rerun does not double them
        place.load(*messages, **config)
        assert place.query("SELECT id, qty FROM orders ORDER BY id") == [(1, 1), (2, 8), (3, 5)]
        assert [(line, path) for line, path, _ in place.letters()] == [(3, "$.qty"), (6, "$.qty")]
    assert "rule `range` of `qty`" in place.letters()[0][2]
    assert "broken by 2 of 5 records: set aside" in caplog.text


def test_a_dead_letter_that_is_replayed_is_judged_again(place: Place) -> None:
    """It was loaded in spite of the rule; where the rule has been mended it is."""
    config = rule("range", "quarantine", **AT_MOST_9)
    place.load(ORDERS, order(1, 10), order(2, 11), STATE({"a": 1}), **config)
    for on in ("quarantine", "fail"):
        with pytest.raises(BadDataError):
            place.by_hand(Wish(replay_rejects=True), **rule("range", on, **AT_MOST_9))
        assert (place.ids(), len(place.letters())) == ([], 2)
    with pytest.raises(BadDataError):
        place.by_hand(Wish(replay_rejects=True), **rule("range", field="qty", max=10))
    assert (place.ids(), len(place.letters())) == ([1], 1)


def test_what_a_map_has_set_aside_is_not_replayed(place: Place) -> None:
    """It was loaded half mapped: without what the operations behind would have made of it, and `***` for what was hidden."""
    operations = [
        {"op": "cast", "field": "note", "to": "integer"},
        {"op": "filter", "field": "qty", "is": "less", "value": 9},
    ]
    config = {"map": {"on_error": "quarantine", "streams": {"orders": operations}}}
    place.load(ORDERS, order(1, 1, "7"), order(2, 1, "x"), order(3, 99, "y"), STATE({"a": 1}), **config)
    assert (place.ids(), len(place.letters())) == ([1], 2)
    with pytest.raises(BadDataError, match=r"2 dead letters set aside by `map` .*load the stream anew"):
        place.by_hand(Wish(replay_rejects=True), **config)
    assert (place.ids(), len(place.letters())) == ([1], 2)


@pytest.mark.parametrize("method", ["append", "overwrite"])
def test_tokens_of_former_runs_stay_and_each_is_there_once(place: Place, method: str) -> None:
    """Their values were lost, or rows joined with them came twice."""
    key = {"op": "tokenise", "field": "note", "key": "0123456789abcdef0123456789abcdef"}
    config = {"map": {"streams": {"orders": [key]}}, "end_of_input": "state"}
    with pytest.raises(ConfigurationError, match=f'`load_method` `{method}` .*`"orders__tokens": "upsert"`'):
        place.load(ORDERS, order(1, 1, "a"), STATE({"a": 1}), **config, load_method=method)
    config["load_method"] = {"*": method, "orders*": "upsert"}
    place.load(ORDERS, order(1, 1, "a"), order(2, 1, "b"), STATE({"a": 1}), **config)
    place.load(ORDERS, order(3, 1, "a"), order(4, 1, "c"), STATE({"a": 2}), **config)
    assert place.query("SELECT value FROM orders__tokens ORDER BY value") == [("a",), ("b",), ("c",)]


def test_a_unit_that_is_written_again_is_counted_once() -> None:
    """As are the records of it that are set aside."""
    loader = Memory()
    loader.troubles["commit"] = [UnitLost("Connection lost.")]
    judge = Judge(rules_of({"a": [{"rule": "range", "field": "n", "max": 9, "on": "quarantine"}]}))
    run = Run(Schema(keys=("n",)), *(Record(n) for n in (8, 9, 10)), State(1), loader=loader, judge=judge)
    assert run.rows() == [8, 9]
    assert [one.line for one in loader.letters] == [4]
    assert (run.summary.done.judged.total(), run.summary.done.broken.total()) == (3, 1)


def test_what_is_set_aside_goes_with_its_unit_and_has_a_limit(place: Place) -> None:
    config = {"checks": {"orders": [rule("range", "quarantine", **AT_MOST_9)["checks"]["orders"][0]]}}
    failing = {"rule": "not_null", "field": "note"}
    both = {"checks": {"orders": [*config["checks"]["orders"], failing]}}
    with pytest.raises(BadDataError):
        place.load(
            ORDERS, order(1, 10), STATE({"a": 1}), order(2, 10), order(3, note=None), STATE({"a": 2}), **both
        )
    assert len(place.letters()) == 1
    with pytest.raises(BadDataError, match="quarantine_limit"):
        place.load(
            ORDERS, *(order(n, 10) for n in range(4, 9)), STATE({"a": 2}), quarantine_limit=4, **config
        )
    assert len(place.letters()) == 1


def test_a_rule_that_only_warns_loads_all_and_counts(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.load(
        ORDERS,
        order(1, 10),
        order(2, 11),
        order(3, None),
        STATE({"a": 1}),
        **rule("range", "warn", **AT_MOST_9),
    )
    assert place.ids() == [1, 2, 3]
    assert "broken by 2 of 3 records: loaded all the same" in caplog.text
    assert "the first at key id = 1, line 2" in caplog.text


def test_a_record_that_one_rule_warns_of_and_another_sets_aside_is_not_told_as_loaded(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    aside = rule("range", "quarantine", **AT_MOST_9)["checks"]["orders"]
    warned = rule("not_null", "warn", field="note")["checks"]["orders"]
    place.load(ORDERS, order(1, 10, note=None), STATE({"a": 1}), checks={"orders": [*aside, *warned]})
    assert place.ids() == []
    assert "unless another rule sets them aside" in caplog.text
    assert "loaded all the same (`on: warn`), but for those that another rule sets aside" in caplog.text


def test_what_leaves_a_field_out_or_says_that_its_row_is_gone_is_not_judged(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """As far as the stored value stays; whether one was there nobody looks, and the run says so."""
    own = SCHEMA(
        "orders", {"id": INTEGER, "qty": INTEGER, "_sdc_deleted_at": {**TEXT, "format": "date-time"}}, ["id"]
    )
    gone = RECORD("orders", {"id": 3, "qty": None, "_sdc_deleted_at": "2026-01-01T00:00:00Z"})
    left_out = RECORD("orders", {"id": 2})
    place.load(
        own,
        RECORD("orders", {"id": 1, "qty": 1}),
        left_out,
        gone,
        STATE({"a": 1}),
        missing_fields="keep",
        **rule("not_null", field="qty"),
    )
    assert "Stream `orders`: records leave `qty` out, of which rule `not_null` of `qty`" in caplog.text
    caplog.clear()
    place.load(
        own,
        RECORD("orders", {"id": 1, "qty": 1}),
        gone,
        STATE({"a": 1}),
        missing_fields="keep",
        **rule("not_null", field="qty"),
    )
    assert "records leave" not in caplog.text
    with pytest.raises(BadDataError, match="key id = 2"):
        place.load(own, left_out, STATE({"a": 2}), missing_fields="null", **rule("not_null", field="qty"))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"rule": "not_null", "field": "noet"},
            "`noet`, which its SCHEMA does not have (did you mean `note`?)",
        ),
        (
            {"rule": "range", "field": "note", "max": 9},
            "needs a number, a date or a date-time; `note` of stream `orders` is a text",
        ),
        ({"rule": "range", "field": "qty", "max": "9"}, "has a text for a bound"),
        ({"rule": "accepted", "field": "qty", "values": ["9"]}, "`checks.orders[0]`"),
        ({"rule": "length", "field": "qty", "max": 9}, "needs a text"),
        ({"rule": "unique", "fields": ["id", "nope"]}, "`nope`, which its SCHEMA does not have"),
        ({"rule": "fresh", "field": "qty", "hours": 1}, "needs a date or a date-time"),
        ({"rule": "equal_sum", "field": "note", "to": {"stream": "lines", "field": "qty"}}, "needs a number"),
    ],
)
def test_a_rule_that_cannot_be_judged_ends_the_run_before_a_row_is_read(
    tmp_path: Path, said: dict[str, Any], told: str
) -> None:
    target = TargetDuckDB(config={"database": str(tmp_path / "a.duckdb"), "checks": {"orders": [said]}})
    lines = "".join(json.dumps(one) + "\n" for one in [ORDERS, order(1), STATE({"a": 1})])
    with pytest.raises(ConfigurationError) as caught:
        target._load(io.BytesIO(lines.encode()))
    assert told in str(caught.value)
    assert "no row of the stream was read" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"rule": "not_nul", "field": "note"}, "did you mean `not_null`?"),
        ({"rule": "not_null", "feild": "note"}, "did you mean `field`?"),
        (
            {"rule": "not_null"},
            "Expected `field`, which rule `not_null` needs, got none at `checks.orders[0]`",
        ),
        ({"rule": "not_null", "field": "note", "max": 1}, "`max`, of which rule `not_null` knows nothing"),
        ({"rule": "range", "field": "qty"}, "Expected `min` or `max`"),
        ({"rule": "range", "field": "qty", "min": 2, "max": 1}, "one that no value keeps"),
        ({"rule": "length", "field": "note", "min": 1.5}, "a number of characters"),
        (
            {"rule": "matches", "field": "note", "pattern": r"(a)\1"},
            r"one that has a `\1`, which is not admitted",
        ),
        (
            {"rule": "unique", "fields": ["id"], "on": "quarantine"},
            "Expected `fail` or `warn`, got `quarantine`",
        ),
    ],
)
def test_a_rule_that_is_none_is_refused_with_its_place(said: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TargetJsonl(config={"checks": {"orders": [said]}})
    assert told in str(caught.value)
    assert "checks.orders[0]" in str(caught.value)


PEOPLE = SCHEMA("people", {"id": INTEGER, "seen": {**TEXT, "format": "date-time"}}, ["id"])


def person(id_: int, seen: Any = None) -> dict[str, Any]:
    return RECORD("people", {"id": id_, "seen": seen})


OWNED = {"rule": "references", "field": "qty", "to": {"stream": "people", "field": "id"}}
SUMS = {"rule": "equal_sum", "field": "qty", "to": {"stream": "people", "field": "id"}}
FRESH = {"rule": "fresh", "field": "seen", "hours": 24}


@pytest.mark.parametrize(
    ("checks", "bad", "told", "good"),
    [
        (
            {"orders": [{"rule": "unique", "fields": ["note", "qty"]}]},
            [
                ORDERS,
                order(1, 5, "a"),
                order(2, 5, "a"),
                order(3, 6, "a"),
                order(4, None, "b"),
                order(5, None, "b"),
            ],
            "rule `unique` of `note` and `qty` (`checks.orders[0]`) is broken by 2 of 3 rows (key id = 1; id = 2)",
            [ORDERS, order(2, 7, "a"), STATE({"a": 9})],
        ),
        (
            {"orders": [OWNED]},
            [PEOPLE, person(1), ORDERS, order(1, 1), order(2, 2), order(3, 3), order(4, None)],
            "is broken by 2 of 3 rows (key id = 2; id = 3)",
            [PEOPLE, person(2), person(3), ORDERS, STATE({"a": 9})],
        ),
        (
            {"orders": [SUMS]},
            [PEOPLE, person(5), ORDERS, order(1, 2), order(2, 4)],
            "its sum is not that of `id` of stream `people`",
            [PEOPLE, person(1), ORDERS, STATE({"a": 9})],
        ),
        (
            {"people": [FRESH]},
            [PEOPLE, person(1, "2020-01-01T00:00:00Z")],
            "hours old, and may be 24",
            [PEOPLE, person(2, datetime.now(UTC).isoformat()), STATE({"a": 9})],
        ),
    ],
    ids=["unique", "references", "equal_sum", "fresh"],
)
def test_a_rule_of_all_rows_is_judged_before_the_last_commit(
    place: Place,
    checks: dict[str, Any],
    bad: list[Any],
    told: str,
    good: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing of it is there then, though its STATE was due; with what was missing it is."""
    with pytest.raises(SetsBroken) as caught:
        place.load(*bad, STATE({"a": 1}), checks=checks, commit_rows=1)
    assert told in str(caught.value)
    assert "the last unit of this run was not committed" in str(caught.value)
    assert caught.value.exit_code == 65
    stream = next(iter(checks))
    assert place.count(stream) == 0
    assert capsys.readouterr().out == ""
    place.load(*bad, *good, checks=checks)
    assert capsys.readouterr().out == '{"a": 9}\n'


def test_a_rule_of_all_rows_that_only_warns_is_told_and_noted(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    owned = {
        "orders": [OWNED | {"on": "warn"}, {"rule": "not_null", "field": "note"}],
        "people": [{"rule": "unique", "fields": ["seen"]}],
    }
    place.load(PEOPLE, ORDERS, order(1, 9), STATE({"a": 1}), checks=owned)
    assert "is broken by 1 of 1 row (key id = 1)" in caplog.text
    noted = place.query(
        "SELECT stream, rule, verdict, rows_judged, rows_broken, why FROM _singerkit_quality ORDER BY 1, 2"
    )
    assert noted == [
        ("orders", "not_null", "kept", 1, 0, ""),
        ("orders", "references", "broken", 1, 1, ""),
        ("people", "unique", "not judged", 0, 0, "there are no rows"),
    ]


def test_rows_that_were_committed_before_the_last_unit_stay(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `atomic: run` there are none."""
    unique = {"checks": {"orders": [{"rule": "unique", "fields": ["note"]}]}}
    big = "x" * 1_200_000
    messages = [
        ORDERS,
        order(1, 1, big),
        STATE({"a": 1}),
        order(2, 1, f"{big}2"),
        STATE({"a": 2}),
        order(3, 1, big),
        STATE({"a": 3}),
    ]
    with pytest.raises(SetsBroken):
        place.load(*messages, atomic="run", **unique)
    assert place.count("orders") == 0
    with pytest.raises(SetsBroken, match="key id = 1; id = 3"):
        place.load(*messages, commit_rows=1, **unique)
    assert place.ids() == [1, 2]
    assert capsys.readouterr().out.splitlines()[-1] == '{"a": 2}'


def test_the_number_of_rows_and_the_shares_of_values_are_compared_with_former_runs(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """With at least five complete ones; a value is not shown."""
    checks = {
        "orders": [
            {"rule": "rows", "change": 0.5, "on": "warn"},
            {"rule": "labels", "field": "note", "drift": 0.3, "on": "warn"},
        ]
    }
    for run in range(5):
        place.load(ORDERS, *(order(n, 1, "ab"[n % 2]) for n in range(4)), STATE({"a": run}), checks=checks)
    assert "was not judged: 4 complete runs had the stream so far, of 5 that it takes" in caplog.text
    caplog.clear()
    place.load(ORDERS, *(order(n, 1, "secret-label") for n in range(20)), STATE({"a": 9}), checks=checks)
    assert "the run has 20 rows, and 4 is the mean of the last 5" in caplog.text
    assert "the share of 3 values has changed by up to 1.000" in caplog.text
    assert "secret-label" not in caplog.text
    [(said,)] = place.query(
        "SELECT count(*) FROM _singerkit_quality WHERE CAST(measured AS text) LIKE '%secret%'"
    )
    assert said == 0


def test_rules_of_all_rows_at_their_edges(place: Place) -> None:
    """A first run, one without rows, the same again; dates that are null, or in the future; a stream that had no rows before."""
    people = SCHEMA(
        "people",
        {"id": INTEGER, "seen": {**TEXT, "format": "date-time"}, "day": {**TEXT, "format": "date"}},
        ["id"],
    )
    rules = [
        {**FRESH, "on": "warn"},
        {**FRESH, "field": "day", "on": "warn"},
        {"rule": "rows", "change": 0.5, "on": "warn"},
        {"rule": "labels", "field": "id", "drift": 0.3, "on": "warn"},
    ]
    number = 0

    def judged(*records: Any, says: int | None = None) -> list[tuple[str, str]]:
        nonlocal number
        number = number + 1 if says is None else says
        place.load(people, *records, STATE({"a": number}), checks={"people": rules})
        return [
            (verdict, why)
            for verdict, why in place.query(
                "SELECT verdict, why FROM _singerkit_quality WHERE judged_at = "
                "(SELECT max(judged_at) FROM _singerkit_quality) ORDER BY place"
            )
        ]

    def seen(id_: int, at: str | None) -> dict[str, Any]:
        return RECORD("people", {"id": id_, "seen": at and f"{at}T00:00:00Z", "day": at})

    none, new = (
        ("not judged", "no row has a value there that is not in the future"),
        ("not judged", "there are no rows"),
    )
    assert judged() == [
        none,
        none,
        ("not judged", "0 complete runs had the stream so far, of 5 that it takes"),
        new,
    ]
    first = judged(seen(1, None), seen(2, "9999-12-31"))
    assert [first[0], first[1], first[3]] == [
        none,
        none,
        ("not judged", "there is no run before it to compare with"),
    ]
    assert judged(says=number)[3] == ("kept", "")
    found = judged(seen(3, "2020-01-01"))
    assert [verdict for verdict, _ in found] == ["broken", "broken", "not judged", "broken"]
    assert found[0][1].endswith(" hours old, and may be 24")
    judged()
    assert judged(seen(4, None), seen(5, None))[2] == (
        "broken",
        "the run has 2 rows, and 0.6 is the mean of the last 5",
    )


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_a_stream_that_had_no_rows_so_far_may_have_some(place: Place) -> None:
    """No part of none is a change, and a run that ended for it would end for ever."""
    checks = {"orders": [{"rule": "rows", "change": 0.5}]}
    for run in range(5):
        place.load(ORDERS, STATE({"a": run}), checks=checks)
    place.load(ORDERS, STATE({"a": 5}), checks=checks)
    place.load(ORDERS, order(1), STATE({"a": 6}), checks=checks)
    verdicts = "SELECT verdict, why FROM _singerkit_quality ORDER BY judged_at DESC LIMIT 2"
    assert place.query(verdicts) == [
        ("not judged", "the last 6 complete runs had no row of the stream"),
        ("kept", "the run has 0 rows, and 0 is the mean of the last 5"),
    ]


def test_tables_are_judged_without_a_load(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that nobody judged when they came, under the name that the config gives their column; nothing is changed."""
    names = {"column_names": {"orders.note": "remark"}}
    place.load(
        PEOPLE,
        person(1),
        ORDERS,
        order(1, 1, "a"),
        order(2, 99, "toolong"),
        order(3, None, "a"),
        STATE({"a": 1}),
        **names,
    )
    checks = {
        "orders": [
            {"rule": "range", "field": "qty", "max": 9},
            {"rule": "length", "field": "note", "max": 3, "on": "warn"},
            {"rule": "unique", "fields": ["note"], "on": "warn"},
            {"rule": "not_null", "field": "id"},
            OWNED,
        ],
        "p*": [{"rule": "not_null", "field": "seen", "on": "quarantine"}, {"rule": "rows", "change": 1}],
        "never": [{"rule": "not_null", "field": "id"}],
    }
    capsys.readouterr()
    with pytest.raises(TablesBroken, match="break 3 rules: stream `orders`: rule `range`") as caught:
        place.judge(checks=checks, **names)
    assert caught.value.exit_code == 65
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["stream"], one["rule"], one["verdict"], one["judged"], one["broken"]) for one in said] == [
        ("never", "not_null", "not judged", 0, 0),
        ("orders", "range", "broken", 2, 1),
        ("orders", "length", "broken", 3, 1),
        ("orders", "unique", "broken", 3, 2),
        ("orders", "not_null", "kept", 3, 0),
        ("orders", "references", "broken", 2, 1),
        ("people", "not_null", "broken", 1, 1),
        ("people", "rows", "not judged", 0, 0),
    ]
    assert said[1]["keys"] == ["id = 2"]
    assert place.ids() == [1, 2, 3]
    with pytest.raises(ConfigurationError, match="whose table has no column `qyt`"):
        place.judge(checks={"orders": [{"rule": "not_null", "field": "qyt"}]})
    with pytest.raises(ConfigurationError, match="Expected rules"):
        place.judge()


MEASURES = SCHEMA(
    "orders", {"id": INTEGER, "n": {"type": ["number", "null"]}, "due": {**TEXT, "format": "date"}}, ["id"]
)
BESIDE = [
    ("n", 1e30, "range", {"max": 10}),
    ("n", "5000x", "range", {"max": 10}),
    ("n", "5000x", "accepted", {"values": [5]}),
    ("due", "31.02.2024", "range", {"min": "2024-01-01"}),
]


@pytest.mark.parametrize(("field", "value", "kind", "said"), BESIDE)
def test_a_value_that_its_column_does_not_hold_is_judged_as_it_came(
    place: Place, field: str, value: Any, kind: str, said: Any
) -> None:
    """It stood beside the column, which is null there, and null keeps every rule: exit 0, whatever the rule."""
    records = [RECORD("orders", {"id": 1, field: value}), RECORD("orders", {"id": 2, field: None})]
    with pytest.raises(BadDataError, match=rf"rule `{kind}` of `{field}` .*key id = 1"):
        place.load(MEASURES, *records, STATE({"a": 1}), **rule(kind, field=field, **said))
    place.load(MEASURES, *records, STATE({"a": 1}), **rule(kind, "quarantine", field=field, **said))
    assert (place.ids(), len(place.letters())) == ([2], 1)


def test_what_stands_beside_a_column_is_kept_by_what_it_keeps_and_is_no_null(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = {
        "orders": [
            {"rule": "range", "field": "qty", "max": 10},
            {"rule": "not_null", "field": "qty"},
            {"rule": "unique", "fields": ["qty"]},
        ]
    }
    place.load(ORDERS, order(1, 3), order(2, "7 "), STATE({"a": 1}), checks={"orders": checks["orders"][:2]})
    place.load(ORDERS, order(2, "x"), STATE({"a": 2}))
    capsys.readouterr()
    place.judge(checks=checks)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    beside = "1 value of `qty` stands in `qty__text` beside it"
    assert [(one["verdict"], one["why"]) for one in said] == [
        ("not judged", beside),
        ("kept", ""),
        ("not judged", beside),
    ]
    place.load(ORDERS, order(3, 99), STATE({"a": 3}))
    with pytest.raises(TablesBroken, match="rule `range`"):
        place.judge(checks=checks)


def test_a_field_of_which_all_values_stand_beside_its_column_is_judged(place: Place) -> None:
    place.load(ORDERS, order(1, 3), STATE({"a": 1}))
    words = SCHEMA("orders", {"id": INTEGER, "qty": TEXT, "note": TEXT}, ["id"])
    checks = {"orders": [{"rule": "not_null", "field": "qty"}, {"rule": "length", "field": "qty", "max": 2}]}
    place.load(words, order(2, "ab"), STATE({"a": 2}), checks=checks)
    with pytest.raises(BadDataError, match="rule `length` of `qty`"):
        place.load(words, order(3, "abc"), STATE({"a": 3}), checks=checks)
    with pytest.raises(BadDataError, match="rule `not_null` of `qty`"):
        place.load(words, order(3, None), STATE({"a": 3}), checks=checks)


@pytest.mark.parametrize(
    ("target", "rule_", "told"),
    [
        (TargetJsonl, {"rule": "unique", "fields": ["id"]}, "which is one of all rows and asks a database"),
        (TargetDuckDB, {"rule": "rows", "change": 0.5}, "nothing is kept with `run_history_days: 0`"),
    ],
)
def test_a_rule_of_all_rows_is_refused_where_nobody_can_judge_it(
    target: Any, rule_: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        target(config={"checks": {"orders": [rule_]}, "run_history_days": 0})
    assert told in str(caught.value)


@pytest.mark.parametrize(("field", "code"), [("v", 78), ("w", 65)])
def test_rules_are_of_fields_as_a_map_leaves_them(tmp_path: Path, field: str, code: int) -> None:
    """One that it drops is none; what its operations make of a value is what is judged."""
    operations = [{"op": "rename", "from": "v", "to": "w"}, {"op": "mask", "field": "w"}]
    config = {
        "destination_path": str(tmp_path),
        "map": {"streams": {"s": operations}},
        "checks": {"s": [{"rule": "matches", "field": field, "pattern": "[a-z]+"}]},
    }
    messages = [
        SCHEMA("s", {"id": INTEGER, "v": TEXT}, ["id"]),
        RECORD("s", {"id": 1, "v": "abc"}),
        STATE({"a": 1}),
    ]
    lines = "".join(json.dumps(one) + "\n" for one in messages)
    with pytest.raises(SingerkitError) as caught:
        TargetJsonl(config=config)._load(io.BytesIO(lines.encode()))
    assert caught.value.exit_code == code


@pytest.mark.parametrize("schemas", [[ORDERS, PEOPLE], [PEOPLE, ORDERS]])
def test_a_field_that_the_other_stream_does_not_have_is_told_before_its_rows_are_read(
    place: Place, schemas: list[Any]
) -> None:
    checks = {"orders": [{**OWNED, "to": {"stream": "people", "field": "idd"}}]}
    with pytest.raises(ConfigurationError, match=r"field of stream `people` .*got `idd`.*did you mean `id`"):
        place.load(*schemas, order(1), STATE({"a": 1}), checks=checks)
    assert place.count("orders") == 0


def test_columns_that_have_no_values_in_common_refer_to_nothing(place: Place) -> None:
    words = {"rule": "references", "field": "note", "to": {"stream": "people", "field": "id"}}
    with pytest.raises(ConfigurationError, match="no values in common"):
        place.load(PEOPLE, person(1), ORDERS, order(1, 1, "1"), STATE({"a": 1}), checks={"orders": [words]})
    assert place.count("orders") == 0


def test_files_are_held_against_the_same_rules(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where dates stay text, a range of dates is one all the same; a stream that did not come is told of."""
    own = SCHEMA("orders", {"id": INTEGER, "day": {**TEXT, "format": "date"}}, ["id"])
    days = [
        RECORD("orders", {"id": n, "day": day}) for n, day in enumerate(["2026-01-01", "2025-12-31", None])
    ]
    checks = rule("range", "quarantine", field="day", min="2026-01-01")["checks"] | {"order": []}
    target = TargetJsonl(config={"destination_path": str(tmp_path), "checks": checks})
    lines = "".join(json.dumps(one) + "\n" for one in [own, *days, STATE({"a": 1})])
    with caplog.at_level(logging.INFO):
        target._load(io.BytesIO(lines.encode()))
    stored = [json.loads(line)["id"] for line in (tmp_path / "orders.jsonl").read_text().splitlines()]
    assert stored == [0, 2]
    assert "No stream of this run is called `order`" in caplog.text


def test_a_field_that_a_record_leaves_out_of_a_file_is_no_value(tmp_path: Path) -> None:
    """In a table the stored value may stay; in a file of lines there is none."""
    checks = rule("not_null", "quarantine", field="note")["checks"]
    target = TargetJsonl(config={"destination_path": str(tmp_path), "checks": checks})
    own = SCHEMA("orders", {"id": INTEGER, "note": TEXT}, ["id"])
    records = [RECORD("orders", {"id": 1}), RECORD("orders", {"id": 2, "note": "n"})]
    for lines in (records, records[:1]):
        text = "".join(json.dumps(one) + "\n" for one in [own, *lines, STATE({"a": len(lines)})])
        target._load(io.BytesIO(text.encode()))
    stored = [json.loads(line)["id"] for line in (tmp_path / "orders.jsonl").read_text().splitlines()]
    assert stored == [2]
