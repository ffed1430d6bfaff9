"""`nested: child_tables`: elements of lists in tables of their own, which hold what the last record of each key had."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from targets.shared.test_databases import Database, target

from singerkit_catalog.unnesting import ROW_ID, parts_of, with_row_id
from singerkit_wire.elementmarks import since_when
from singerkit_wire.messages import Run
from singerkit_wire.rowids import RowIds
from singerkit_wire.unnesting import Unnester, Wanted

__all__ = ["target"]

INTEGER, TEXT = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
PART = {"type": "object", "properties": {"name": TEXT}}
ITEM = {
    "type": ["object", "null"],
    "properties": {
        "sku": TEXT,
        "price": {"type": ["object", "null"], "properties": {"cents": INTEGER}},
        "parts": {"type": ["array", "null"], "items": PART},
    },
}
OPEN = {
    "id": INTEGER,
    "items": {"type": ["array", "null"], "items": ITEM},
    "tags": {"type": ["array", "null"], "items": TEXT},
}
ORDERS = SCHEMA("orders", OPEN, ["id"])
CHILDREN = {"nested": {"orders": "child_tables"}}
ITEMS = "SELECT _root_id, _position, sku, price__cents FROM orders__items ORDER BY 1, 2"
PARTS = "SELECT _root_id, _parent_position, _position, name FROM orders__items__parts ORDER BY 1, 3"
PAGE = Path(__file__).parents[3] / "docs/target-postgres/nested.md"
TAGS = "SELECT _root_id, _position, value FROM orders__tags ORDER BY 1, 2"


def item(sku: str | None, *parts: str, **more: Any) -> dict[str, Any]:
    return {"sku": sku, "parts": [{"name": part} for part in parts], **more}


def order(id_: int, *items: Any, **more: Any) -> dict[str, Any]:
    return RECORD("orders", {"id": id_, "items": list(items), **more})


def test_elements_have_rows_of_their_own(target: Database) -> None:
    came = [
        order(1, item("a", "x", "y", price={"cents": 5}), None, item("c", "z"), tags=["t", None]),
        order(2, tags=[]),
        RECORD("orders", {"id": 3, "items": None}),
    ]
    outcome = target.run(ORDERS, *came, STATE({"n": 1}), **CHILDREN).expect(0)
    assert re.search(r"orders__items.*\b3 rows", outcome.stderr), outcome.stderr
    assert "WARNING" not in outcome.stderr, "nothing is odd about lists inside of lists"
    assert target.query("SELECT * FROM orders ORDER BY id") == [(1,), (2,), (3,)]
    assert target.query(ITEMS) == [(1, 0, "a", 5), (1, 1, None, None), (1, 2, "c", None)]
    assert target.query(PARTS) == [(1, 0, 0, "x"), (1, 0, 1, "y"), (1, 2, 2, "z")]
    assert target.query(TAGS) == [(1, 0, "t"), (1, 1, None)]


def test_a_record_brings_all_elements_of_its_lists(target: Database) -> None:
    """Of several records of a key in a unit the last one; another unit takes those away that are not there any more."""
    first = [order(1, item("a", "x"), item("b", "y", "z"), item("c")), order(2, item("d", "w"))]
    target.run(ORDERS, *first, STATE({"n": 1}), **CHILDREN).expect(0)
    assert target.query(ITEMS) == [(1, 0, "a", None), (1, 1, "b", None), (1, 2, "c", None), (2, 0, "d", None)]
    again = [
        order(1, *(item("e", "v") for _ in range(5))),
        order(1, item("a"), item("f", "u")),
        order(1, item("g", "t")),
    ]
    target.run(ORDERS, *again, STATE({"n": 2}), **CHILDREN).expect(0)
    assert target.query(ITEMS) == [(1, 0, "g", None), (2, 0, "d", None)]
    assert target.query(PARTS) == [(1, 0, 0, "t"), (2, 0, 0, "w")]
    target.run(ORDERS, order(2), STATE({"n": 3}), **CHILDREN).expect(0)
    assert target.query(ITEMS) == [(1, 0, "g", None)]
    target.run(ORDERS, order(1), STATE({"n": 4}), **CHILDREN).expect(0)
    assert target.query(ITEMS) == target.query(PARTS) == [], "and no later run misses rows of these tables"
    state = STATE({"bookmarks": {"orders": {"replication_key_value": 1}}})
    target.run(ORDERS, order(1, item("h")), state, **CHILDREN).expect(0)
    assert target.query(ITEMS) == [(1, 0, "h", None)]
    if target.schema == "public":
        target.query("WITH gone AS (DELETE FROM orders__items RETURNING 1) SELECT count(*) FROM gone")
    else:
        target.query("DELETE FROM orders__items")
    missing = target.run(ORDERS, state, **CHILDREN).expect(69)
    assert "rows of stream `orders__items` were loaded into it" in missing.last_words
    assert "--start-over --stream orders`" in missing.last_words


def test_a_field_of_elements_that_no_schema_names_any_more_is_told(target: Database) -> None:
    fewer = json.loads(json.dumps(ORDERS))
    del fewer["schema"]["properties"]["items"]["items"]["properties"]["sku"]
    said = target.run(ORDERS, order(1, item("a", "x")), STATE({"n": 1}), **CHILDREN).expect(0)
    assert "does not name" not in said.stderr
    said = target.run(fewer, order(1, {"price": {"cents": 3}}), STATE({"n": 2}), **CHILDREN).expect(0)
    assert target.query(ITEMS) == [(1, 0, None, 3)]
    target.query("ALTER TABLE orders__items ALTER COLUMN sku SET DEFAULT 'a'")
    said = target.run(fewer, order(1, {"price": {"cents": 4}}), STATE({"n": 3}), **CHILDREN).expect(0)
    assert (
        "orders__items of lists of stream `orders` has `sku`, which this SCHEMA does not name" in said.stderr
    )


def test_a_list_that_is_left_out(target: Database) -> None:
    left_out = RECORD("orders", {"id": 1, "tags": ["t"]})
    target.run(ORDERS, order(1, item("a", "x")), STATE({"n": 1}), **CHILDREN).expect(0)
    target.run(ORDERS, left_out, STATE({"n": 2}), missing_fields="keep", **CHILDREN).expect(0)
    assert (target.query(ITEMS), target.query(TAGS)) == ([(1, 0, "a", None)], [(1, 0, "t")])
    target.run(ORDERS, left_out, STATE({"n": 3}), missing_fields="null", **CHILDREN).expect(0)
    assert target.query(ITEMS) == target.query(PARTS) == []


def test_rows_that_are_gone_take_their_elements_along(target: Database) -> None:
    gone = RECORD("orders", {"id": 1, "_sdc_deleted_at": "2026-01-01T00:00:00Z"})
    for number, (hard, left) in enumerate((({}, [(1, 0, "a", None)]), ({"hard_delete": True}, []))):
        target.run(ORDERS, order(1, item("a", "x")), STATE({"n": 2 * number}), **CHILDREN, **hard).expect(0)
        target.run(ORDERS, gone, STATE({"n": 2 * number + 1}), **CHILDREN, **hard).expect(0)
        assert target.query(ITEMS) == left
    versioned = {"add_record_metadata": True, "default_target_schema": "versions", **CHILDREN}
    items = "SELECT _root_id, sku FROM versions.orders__items ORDER BY 1"

    def load(version: int, *ids: int) -> list[dict[str, Any]]:
        rows = [order(one, item("a", "x")) | {"version": version} for one in ids]
        return [ORDERS, *rows, {"type": "ACTIVATE_VERSION", "stream": "orders", "version": version}]

    target.run(*load(1, 1, 2), STATE({"n": 1}), **versioned).expect(0)
    target.run(*load(2, 2), STATE({"n": 2}), **versioned).expect(0)
    assert target.query(items) == [(2, "a")]
    assert target.query("SELECT id FROM versions.orders") == [(2,)]


def test_elements_of_a_list_that_the_schema_does_not_name_go_with_their_row(target: Database) -> None:
    """Deleted by a record, by its version, and by that of a run whose records have no list at all."""
    gone = RECORD("orders", {"id": 1, "_sdc_deleted_at": "2026-01-01T00:00:00Z"})
    tags = SCHEMA("orders", {key: OPEN[key] for key in ("id", "tags")}, ["id"])
    bare = SCHEMA("orders", {"id": INTEGER}, ["id"])
    config = {"add_record_metadata": True, "hard_delete": True, **CHILDREN}
    rows = [order(one, item("a", "x"), tags=["t"]) | {"version": 1} for one in (1, 2, 3, 4)]
    target.run(ORDERS, *rows, STATE({"n": 1}), **config).expect(0)
    target.run(tags, gone, STATE({"n": 2}), **config).expect(0)
    assert [row[0] for row in target.query(ITEMS)] == [row[0] for row in target.query(PARTS)] == [2, 3, 4]
    again = RECORD("orders", {"id": 1, "tags": []}) | {"version": 1}
    second = RECORD("orders", {**gone["record"], "id": 2})
    target.run(ORDERS, bare, second, again, STATE({"n": 3}), **config).expect(0)
    assert [row[0] for row in target.query(ITEMS)] == [row[0] for row in target.query(TAGS)] == [3, 4]
    came = RECORD("orders", {"id": 3}) | {"version": 2}
    version = {"type": "ACTIVATE_VERSION", "stream": "orders", "version": 2}
    target.run(bare, came, version, STATE({"n": 4}), **config).expect(0)
    assert target.query("SELECT id FROM orders") == [(3,)]
    assert target.query(ITEMS) == [(3, 0, "a", None)], "those of a row that is left stay, as its columns do"
    assert (target.query(PARTS), target.query(TAGS)) == ([(3, 0, 0, "x")], [(3, 0, "t")])
    came["version"] = version["version"] = 3
    again["version"] = 3
    target.run(bare, again, version, STATE({"n": 5}), **{**config, "hard_delete": False}).expect(0)
    marked = "SELECT _root_id, _sdc_deleted_at IS NULL FROM orders__items"
    assert target.query(marked) == [(3, False)]
    keyed = SCHEMA("orders", {"id": INTEGER, "code": INTEGER}, ["id", "code"])
    other = target.run(keyed, RECORD("orders", {"id": 3, "code": 1}), STATE({"n": 6}), **config)
    assert "orders__items has elements of lists of stream `orders` under another key" in other.stderr
    for statement in (
        "ALTER TABLE orders__tags RENAME TO tags",
        "CREATE VIEW orders__tags AS SELECT * FROM tags",
        """COMMENT ON COLUMN orders__tags._position IS 'singerkit: elements of lists ["orders", "orders__tags"]'""",
    ):
        target.query(statement)
    target.run(bare, came, STATE({"n": 7}), **config).expect(0)


def test_elements_are_marked_with_their_row_and_back_with_it(target: Database) -> None:
    """The last record of a key counts, whether or not it has the list, and its SCHEMA names it."""
    day = "2026-01-01T02:00:00+02:00"

    def run(*messages: dict[str, Any], schema: dict[str, Any] = ORDERS) -> list[int]:
        state = STATE({"n": len(messages)})
        target.run(schema, *messages, state, missing_fields="keep", **CHILDREN).expect(0)
        asked = "SELECT DISTINCT _root_id, CAST(extract(epoch FROM _sdc_deleted_at) AS INTEGER) FROM {} ORDER BY 1"
        found = target.query(asked.format("orders__items"))
        assert found == [row for row in target.query(asked.format("orders__tags")) if row[0] != 6]
        assert {since for _, since in found} <= {None, 1767225600}
        return [id_ for id_, since in found if since is not None]

    def gone(id_: int, **more: Any) -> dict[str, Any]:
        return RECORD("orders", {"id": id_, "_sdc_deleted_at": day, **more})

    rows = {one: order(one, item("a", "x"), item("b"), tags=["t"]) for one in range(1, 6)}
    assert run(*rows.values()) == []
    again = [
        gone(2),
        rows[2],
        rows[3],
        gone(3),
        gone(4, tags=["u"]),
        RECORD("orders", {"id": 4, "tags": ["v"]}),
    ]
    assert run(gone(1), *again, gone(6, tags=["w"])) == [1, 3]
    bare = SCHEMA("orders", {"id": INTEGER}, ["id"])
    assert run(gone(5), RECORD("orders", {"id": 1}), schema=bare) == [3, 5]
    back = [RECORD("orders", {"id": one, "_sdc_deleted_at": None}) for one in (3, 6)]
    assert run(*back) == [5]
    assert target.query("SELECT _sdc_deleted_at FROM orders__tags WHERE _root_id = 6") == [(None,)]
    assert (since_when("false"), since_when('""'), since_when('"soon"')) == (None, None, None)


def test_elements_follow_rows_that_are_replaced_as_a_whole(target: Database) -> None:
    """Of an overwritten stream, and of sets of rows; also where no SCHEMA names the list."""
    config = {**CHILDREN, "end_of_input": "state", "load_method": "overwrite", "missing_fields": "keep"}
    bare = SCHEMA("orders", {"id": INTEGER}, ["id"])

    def found() -> list[list[int]]:
        return [[row[0] for row in target.query(asked)] for asked in (ITEMS, PARTS, TAGS)]

    rows = [order(one, item("a", "x"), item("b", "y"), tags=["t"]) for one in (1, 2, 3)]
    target.run(ORDERS, *rows, STATE({}), **config).expect(0)
    target.run(ORDERS, order(1), STATE({}), order(2), **config).expect(65)
    assert found() == [[1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 3, 3], [1, 2, 3]], "half a load replaces nothing"
    again = [order(1, item("c"), item("d")), order(1, item("c", "z")), RECORD("orders", {"id": 2})]
    target.run(ORDERS, *again, STATE({}), **config).expect(0)
    assert found() == [[1, 2, 2], [1, 2, 2], [1, 2]], "a list that is left out stays with its row"
    target.run(bare, RECORD("orders", {"id": 2}), STATE({}), **config).expect(0)
    assert found() == [[2, 2], [2, 2], [2]]
    sets = {**config, "load_method": {"orders": "delete+insert"}, "replace_by": {"*": ["day"]}}
    days = SCHEMA("orders", {**OPEN, "day": INTEGER}, ["id"])
    rows = [order(one, item("a", "x"), tags=[], day=one // 2) for one in range(2, 6)]
    target.run(days, *rows, STATE({}), **sets).expect(0)
    target.run(days, order(4, item("e"), day=2), STATE({}), **sets).expect(0)
    assert found() == [[2, 3, 4], [2, 3], []]
    assert target.query("SELECT id FROM orders ORDER BY 1") == [(2,), (3,), (4,)]


def test_elements_of_appended_rows_refer_to_them_by_an_id(target: Database, tmp_path: Path) -> None:
    """Of rows with one key, and of a stream without; each one stays that came."""
    config = {**CHILDREN, "load_method": "append"}
    for declared in (ORDERS, SCHEMA("orders", OPEN)):
        came = [
            order(1, item("a", "x"), None),
            order(1, item("b"), tags=["t", "u"]),
            order(1),
            RECORD("orders", {"id": 1}),
        ]
        if declared is ORDERS:
            file = tmp_path / "records.jsonl"
            file.write_text("".join(json.dumps(one["record"]) + "\n" for one in came))
            encoding = {"format": "jsonl"}
            came = [{"type": "BATCH", "stream": "orders", "encoding": encoding, "manifest": [file.as_uri()]}]
        target.run(declared, *came, STATE({"n": 1}), missing_fields="keep", **config).expect(0)
    joined = "FROM orders AS o LEFT JOIN {} AS e ON e._root_row_id = o._row_id GROUP BY o._row_id ORDER BY 1"
    counts = [
        target.query(f"SELECT count(e._position) {joined.format(table)}")
        for table in ("orders__items", "orders__items__parts", "orders__tags")
    ]
    assert counts == [[(n,) for n in sorted(2 * per)] for per in ([2, 1, 0, 0], [1, 0, 0, 0], [0, 2, 0, 0])]
    assert target.query("SELECT count(DISTINCT _row_id), count(*) FROM orders") == [(8, 8)]
    clash = target.run(ORDERS, order(1, _row_id="x"), STATE({"n": 2}), **config).expect(65)
    assert "Expected no field `_row_id` in records of stream `orders`" in clash.last_words
    keyed = {"default_target_schema": "keyed"}
    target.run(ORDERS, order(1, item("a")), STATE({"n": 1}), **CHILDREN, **keyed).expect(0)
    if target.schema == "public":
        target.query("ALTER TABLE keyed.orders DROP CONSTRAINT orders_pkey")
    former = target.run(ORDERS, order(1, item("a")), STATE({"n": 2}), **config, **keyed).expect(78)
    assert (
        "The table keyed.orders__items has elements of lists of stream `orders` by the key"
        in former.last_words
    )
    named = SCHEMA("orders", {**OPEN, "_row_id": TEXT}, ["id"])
    assert (
        "Expected no field `_row_id` in the SCHEMA"
        in target.run(named, order(1), **config).expect(78).last_words
    )


def test_what_is_no_list_or_no_object_goes_on_whole(target: Database) -> None:
    came = [
        order(1, item("a"), "odd", {"sku": "c", "price": "free", "more": 1}),
        RECORD("orders", {"id": 2, "items": {"sku": "d"}, "tags": "t"}),
        order(3, item("e")),
    ]
    target.run(ORDERS, *came, STATE({"n": 1}), **CHILDREN).expect(0)
    odd = target.query(
        "SELECT _root_id, _position, sku, CAST(_value AS text), CAST(price AS text) FROM orders__items ORDER BY 1, 2"
    )
    assert odd == [
        (1, 0, "a", None, None),
        (1, 1, None, '"odd"', None),
        (1, 2, "c", None, '"free"'),
        (3, 0, "e", None, None),
    ]
    whole = target.query("SELECT id, CAST(items AS text), CAST(tags AS text) FROM orders ORDER BY id")
    assert [(id_, items and json.loads(items), tags) for id_, items, tags in whole] == [
        (1, None, None),
        (2, {"sku": "d"}, '"t"'),
        (3, None, None),
    ]


def test_what_has_no_effect_or_no_meaning_is_refused(target: Database) -> None:
    rows = [order(1, item("a")), STATE({"n": 1})]
    keyless = target.run(SCHEMA("orders", OPEN), *rows, **CHILDREN).expect(78)
    assert "Stream `orders` has no key" in keyless.last_words
    refused = target.run(ORDERS, *rows, load_method={"ord*": "history"}, **CHILDREN).expect(78)
    assert "got `history`, under which elements would need ranges" in refused.last_words
    target.run(ORDERS, *rows, load_method={"*": "append", "orders": "upsert"}, **CHILDREN).expect(0)
    target.run(
        ORDERS, order(1), STATE({"n": 2}), load_method={"*": "append", "orders": "upsert"}, **CHILDREN
    ).expect(0)
    assert target.query(ITEMS) == [], "the elements go the way of their record"
    newest = target.run(ORDERS, *rows, newest_by={"*": "id"}, **CHILDREN).expect(78)
    assert "Expected nothing at `newest_by` for stream `orders`" in newest.last_words
    target.run(ORDERS, *rows, newest_by={"*": "id", "orders": None}, **CHILDREN).expect(0)
    target.run(ORDERS, order(1), STATE({"n": 2}), **CHILDREN).expect(0)
    other = SCHEMA("orders__items", {"id": INTEGER}, ["id"])
    for both in ([ORDERS, other], [other, ORDERS]):
        taken = target.run(*both, *rows, **CHILDREN).expect(78)
        assert "would be those of a stream `orders__items`" in taken.last_words
    named = SCHEMA(
        "orders",
        {
            "id": INTEGER,
            "items": {"type": "array", "items": {"type": "object", "properties": {"_position": INTEGER}}},
        },
        ["id"],
    )
    same = target.run(named, *rows, **CHILDREN).expect(78)
    assert "`items._position` would be called `_position`" in same.last_words
    shallow = {"nested": {"orders": {"as": "child_tables", "depth": 1}}, "default_target_schema": "shallow"}
    target.run(ORDERS, order(1, item("a", "x", price={"cents": 1})), STATE({"n": 3}), **shallow).expect(0)
    found = target.query("SELECT sku, CAST(price AS text), CAST(parts AS text) FROM shallow.orders__items")
    assert [(sku, json.loads(price), json.loads(parts)) for sku, price, parts in found] == [
        ("a", {"cents": 1}, [{"name": "x"}])
    ]


def test_a_view_gives_elements_rows_where_lists_stay_whole(target: Database) -> None:
    """The statements of the page, for histories and for the newest row."""
    in_postgres, in_duckdb = re.findall(r"```sql\n(CREATE VIEW .*?)```", PAGE.read_text(), re.DOTALL)
    view = in_postgres if target.schema == "public" else in_duckdb
    number = {"type": ["number", "null"]}
    items = {
        "type": ["array", "null"],
        "items": {"type": "object", "properties": {"sku": TEXT, "qty": number}},
    }
    orders = SCHEMA("orders", {"id": INTEGER, "at": INTEGER, "items": items}, ["id"])

    def came(at: int, *skus: str) -> dict[str, Any]:
        return RECORD("orders", {"id": 1, "at": at, "items": [{"sku": sku, "qty": 1.25} for sku in skus]})

    for at, skus in enumerate([("a", "b"), ("a",), (), ("c",)]):
        target.run(orders, came(at, *skus), STATE({"n": at}), load_method="history").expect(0)
    empty = RECORD("orders", {"id": 2, "at": 0, "items": None})
    target.run(orders, empty, STATE({"n": 9}), load_method="history").expect(0)
    target.query(view)
    shown = "SELECT _position, sku, qty, i._sdc_valid_from = o._sdc_valid_from AND i._sdc_valid_to IS NOT DISTINCT FROM o._sdc_valid_to, i._sdc_valid_to IS NULL"
    of_version = "FROM orders__items AS i JOIN orders AS o ON o.id = _root_id AND o._sdc_valid_from = i._sdc_valid_from ORDER BY o.at, _position"
    quarter = Decimal("1.25")
    assert target.query(f"{shown} {of_version}") == [
        (0, "a", quarter, True, False),
        (1, "b", quarter, True, False),
        (0, "a", quarter, True, False),
        (0, "c", quarter, True, True),
    ]
    target.query("DROP VIEW orders__items")
    target.query("DROP TABLE orders")
    for at, skus in ((2, ("new", "er")), (1, ("older", "and", "longer"))):
        renamed = [orders, came(at, *skus), STATE({"n": at})]
        target.run(*renamed, newest_by={"orders": "at"}, pipeline="other").expect(0)
    target.query(
        view.replace(", _sdc_valid_from, _sdc_valid_to", "").replace(
            ", o._sdc_valid_from, o._sdc_valid_to", ""
        )
    )
    assert target.query("SELECT _position, sku FROM orders__items ORDER BY 1") == [(0, "new"), (1, "er")]


def test_records_of_batch_files_are_taken_apart(target: Database, tmp_path: Path) -> None:
    one, two = {"id": 1, "items": [item("a", "x"), "odd"]}, {"id": 2, "items": [item("b")], "tags": 5}
    file = tmp_path / "records.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in (one, two)))
    batch = {
        "type": "BATCH",
        "stream": "orders",
        "encoding": {"format": "jsonl"},
        "manifest": [file.as_uri()],
    }
    target.run(ORDERS, order(1, item("z"), item("z")), batch, STATE({"n": 1}), **CHILDREN).expect(0)
    assert target.query(ITEMS) == [(1, 0, "a", None), (1, 1, None, None), (2, 0, "b", None)]
    assert target.query("SELECT CAST(_value AS text) FROM orders__items WHERE _position = 1") == [('"odd"',)]
    assert target.query("SELECT id, CAST(tags AS text) FROM orders ORDER BY id") == [(1, None), (2, "5")]


def test_a_bad_element_is_set_aside_by_itself(target: Database) -> None:
    strict = {**OPEN, "tags": {"type": "array", "items": {"type": "string", "maxLength": 2}}}
    came = [order(1, tags=["a", "long", "b"])]
    outcome = target.run(
        SCHEMA("orders", strict, ["id"]), *came, STATE({"n": 1}), on_invalid="quarantine", **CHILDREN
    ).expect(0)
    assert target.query(TAGS) == [(1, 0, "a"), (1, 2, "b")]
    assert "orders__tags" in outcome.stderr


ROW_IDS = re.compile(rb'(?<="_row_id":)"[^"]+"')

# --- lines by the fast way and by hand -----------------------------------------------------------------------


def value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(6 if depth else 4)
    if kind < 4:
        return (None, 1, "a", [])[kind]
    if kind == 4:
        return [value(rng, depth - 1) for _ in range(rng.randrange(3))]
    return {key: value(rng, depth - 1) for key in rng.sample("abcd", rng.randrange(4))}


def fitting(rng: random.Random, schema: dict[str, Any]) -> Any:
    """A value that a schema admits, mostly."""
    if rng.random() < 0.1:
        return value(rng, 2)
    if "properties" in schema:
        return {key: fitting(rng, one) for key, one in schema["properties"].items() if rng.random() < 0.9}
    if "items" in schema:
        return [fitting(rng, schema["items"]) for _ in range(rng.randrange(4))]
    return rng.choice([None, 1, 2.50, "x"])


def schema(rng: random.Random, depth: int) -> dict[str, Any]:
    kind = rng.randrange(3) if depth else 0
    if kind == 1:
        return {"type": ["array", "null"], "items": schema(rng, depth - 1)}
    if kind == 2:
        keys = rng.sample("abcd", rng.randrange(1, 4))
        required = rng.sample(keys, rng.randrange(2))
        return {
            "type": ["object", "null"],
            "properties": {key: schema(rng, depth - 1) for key in keys},
            "required": required,
        }
    return {}


def lines_of(unnester: Unnester, records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    lines = [
        json.dumps({"type": "RECORD", "stream": "s", "record": one, "version": 3}).encode() for one in records
    ]
    runs = unnester.apart(Run("s", b"\n".join(lines) + b"\n", len(lines), 7))
    found: dict[str, list[Any]] = {}
    for run in runs:
        assert run.data.count(b"\n") == run.lines
        for number, id_ in enumerate(ROW_IDS.findall(runs[0].data)):
            run = msgspec.structs.replace(run, held=run.data.replace(id_, b'"%d"' % number))
        ends = run.data.count(b'"_sdc_deleted_at":"') if run.stream != "s" else 0
        assert ends == run.ends
        messages = [json.loads(line) for line in run.data.splitlines()]
        assert all(message["version"] == 3 and message["stream"] == run.stream for message in messages)
        found[run.stream] = [
            (run.line_number(index), {key: one for key, one in message["record"].items() if one is not None})
            for index, message in enumerate(messages)
        ]
    return found


def test_both_ways_give_the_same_lines() -> None:
    """And where all are by hand: what a block is refused for must not tell."""
    compared = 0
    for seed in range(50):
        rng = random.Random(seed)
        properties = {"id": {}, **{key: schema(rng, 3) for key in "pq"}}
        whole = {"type": "object", "properties": properties}
        table = parts_of(whole, ["id"], rng.choice([2, 9]), "__", lists=True)
        if table is None:
            continue
        is_appended = rng.random() < 0.3
        if is_appended:
            table = parts_of(with_row_id(whole), ["id", ROW_ID], 9, "__", lists=True)
            assert table is not None
        row_ids = RowIds() if is_appended else None
        key = ROW_ID if is_appended else "id"
        wanted = Wanted(
            "__",
            (key,),
            row_ids=row_ids,
            missing_is_null=rng.random() < 0.5,
            deletes_marked=rng.random() < 0.5 and not is_appended,
        )
        former = {} if is_appended else {"s__former": rng.random() < 0.5}
        fast, slow = (Unnester("s", table, wanted, former) for _ in range(2))
        for _ in range(3):
            records = [
                {"id": rng.randrange(3)}
                | {key: fitting(rng, properties[key]) for key in "pq" if rng.random() < 0.9}
                for _ in range(5)
            ]
            for record in records:
                if rng.random() < 0.2:
                    record["_sdc_deleted_at"] = rng.choice([None, False, "2026-01-01T00:00:00Z"])
            slow._fast = None
            slow._compile = lambda: None  # type: ignore[method-assign]  all by hand
            assert lines_of(fast, records) == lines_of(slow, records), seed
            compared += 1
    assert compared > 60


@pytest.mark.parametrize("missing", ["keep", "null"])
def test_an_element_has_nothing_of_the_one_that_was_at_its_place(target: Database, missing: str) -> None:
    def sent(*fields: str) -> dict[str, Any]:
        item = {"type": "object", "properties": dict.fromkeys(fields, TEXT)}
        return SCHEMA("o", {"id": INTEGER, "l": {"type": "array", "items": item}}, ["id"])

    def load(number: int, schema: dict[str, Any], *items: Any, **more: Any) -> list[Any]:
        row = RECORD("o", {"id": 1, "l": list(items)})
        target.run(
            schema, row, STATE({"n": number}), nested="child_tables", missing_fields=missing, **more
        ).expect(0)
        return target.query("SELECT _position, sku, color FROM o__l ORDER BY 1")

    load(1, sent("sku", "color"), {"sku": "a", "color": "red"}, {"sku": "b", "color": "blue"})
    assert load(2, sent("sku"), {"sku": "b"}) == [(0, "b", None)]
    load(3, sent("sku"), {"sku": "b", "color": "red"}, {"sku": "c"}, extra="load")
    assert load(4, sent("sku"), {"sku": "c"}, {"sku": "d", "color": "green"}, extra="load") == [
        (0, "c", None),
        (1, "d", "green"),
    ]
    assert load(5, sent("sku"), {"sku": "e"}, extra="load") == [(0, "e", None)]
