"""Lists inside records become rows, with fields of what stands around them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, page_of, serving
from taps.rest.in_process import Messages, Run

from singerkit_shell.errors import BadDataError, ConfigurationError

ORDERS = [
    {
        "id": 1,
        "at": "2026-01-01",
        "customer": {"name": "A"},
        "items": [{"sku": "a", "n": 1.10}, {"sku": "b"}],
    },
    {"id": 2, "at": "2026-01-02", "customer": None, "items": []},
    {"id": 3, "at": "2026-01-03", "items": [{"sku": "a"}]},
]
ITEMS: dict[str, Any] = {
    "name": "items",
    "path": "/orders",
    "explode": {"path": "$.items[*]", "copy": {"order_id": "id", "at": "at", "who": "customer.name"}},
    "primary_keys": ["order_id", "sku"],
    "pagination": {"type": "single"},
}


def answering(rows: Any) -> dict[str, Callable[[Asked], Reply]]:
    return {"/orders": lambda _: json_reply(rows)}


def pairs(found: Messages) -> list[tuple[int, str]]:
    return [(row["order_id"], row["sku"]) for row in found.rows]


def test_items_are_rows(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps(ORDERS).replace("1.1", "1.10").encode()
    with serving(answering(body)) as api:
        found = run(api, ITEMS)
        assert found.rows == [
            {"sku": "a", "n": 1.1, "order_id": 1, "at": "2026-01-01", "who": "A"},
            {"sku": "b", "n": None, "order_id": 1, "at": "2026-01-01", "who": "A"},
            {"sku": "a", "n": None, "order_id": 3, "at": "2026-01-03", "who": None},
        ]
        schema = next(message for message in found.all if message["type"] == "SCHEMA")
        assert schema["key_properties"] == ["order_id", "sku"]
        assert set(schema["schema"]["properties"]) == {"sku", "n", "order_id", "at", "who"}
        assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_bookmark_of_the_record_around(run: Run) -> None:
    rows = [*ORDERS]

    def since(asked: Asked) -> Reply:
        return json_reply([row for row in rows if row["at"] >= (asked.param("since") or "")])

    stream = ITEMS | {
        "replication_key": "at",
        "incremental": {"param": "since"},
        "bookmark": {"signpost": "none"},
    }
    with serving({"/orders": since}) as api:
        first = run(api, stream)
        assert first.state["bookmarks"]["items"]["replication_key_value"] == "2026-01-03"
        rows[2] = rows[2] | {"items": [{"sku": "a"}, {"sku": "c"}]}
        second = run(api, stream, state=first.state)
        # The item that was sent is known again.
        assert pairs(second) == [(3, "c")]
        assert api.asked[-1].param("since") == "2026-01-03"


def test_pages_go_by_the_records(run: Run) -> None:
    """A page whose records have no items is none without records, and an offset counts records."""
    orders = [
        {"id": 1, "items": []},
        {"id": 2, "items": []},
        *({"id": n, "items": [{"sku": "a"}] * 1} for n in (3, 4, 5)),
    ]
    stream = ITEMS | {"pagination": {"type": "offset", "size": 2, "total_count": "header:X-Total"}}
    stream |= {"explode": {"path": "$.items[*]", "copy": {"order_id": "id"}}, "activate_version": True}
    with serving({"/orders": lambda asked: json_reply(page_of(orders, asked, 2), X_Total="5")}) as api:
        found = run(api, stream)
        assert pairs(found) == [(3, "a"), (4, "a"), (5, "a")]
        assert [asked.param("offset") for asked in api.asked][:3] == ["0", "2", "4"]
        assert any(message["type"] == "ACTIVATE_VERSION" for message in found.all)
        by_key = stream | {"pagination": {"type": "keyset", "field": "id", "param": "after"}}
        api.routes["/orders"] = lambda asked: json_reply(
            [order for order in orders if order["id"] > int(asked.param("after") or 0)][:2]
        )
        assert pairs(run(api, by_key)) == [(3, "a"), (4, "a"), (5, "a")]


def test_lists_of_lists_of_texts(run: Run) -> None:
    shops = [
        {"shop": 1, "orders": [{"no": 7, "tags": ["x", "y"]}, {"no": 8, "tags": None}]},
        {"shop": 2, "orders": [{"no": 7, "tags": ["x", {"odd": 1}]}]},
    ]
    stream = {
        "name": "tags",
        "path": "/orders",
        "explode": {
            "path": "$.orders[*].tags[*]",
            "copy": {"shop": "shop", "no": "orders.no"},
            "as": "tag",
        },
        "primary_keys": ["shop", "no"],
        "duplicate_keys": "warn",
    }
    with serving(answering(shops)) as api:
        assert [(row["shop"], row["no"], row["tag"]) for row in run(api, stream).rows] == [
            (1, 7, "x"),
            (1, 7, "y"),
            (2, 7, "x"),
            (2, 7, {"odd": 1}),
        ]


def test_below_parents_and_above_children(run: Run) -> None:
    routes: dict[str, Any] = {
        "/shops": lambda _: json_reply([{"id": 5}]),
        "/shops/5/orders": lambda _: json_reply(ORDERS),
        "/skus/a": lambda _: json_reply([{"text": "A"}]),
        "/skus/b": lambda _: json_reply([{"text": "B"}]),
    }
    items = ITEMS | {
        "path": "/shops/{parent.id}/orders",
        "parent": {"stream": "shops", "copy": {"shop_id": "id"}},
        "primary_keys": ["shop_id", "order_id", "sku"],
    }
    skus = {
        "name": "skus",
        "path": "/skus/{parent.sku}",
        "parent": {"stream": "items", "copy": {"sku": "sku"}},
    }
    with serving(routes) as api:
        found = run(api, {"name": "shops", "path": "/shops", "primary_keys": ["id"]}, items, skus)
        by_stream: dict[str, list[Any]] = {}
        for message in found.all:
            if message["type"] == "RECORD":
                by_stream.setdefault(message["stream"], []).append(message["record"])
        assert [(row["shop_id"], row["order_id"], row["sku"]) for row in by_stream["items"]] == [
            (5, 1, "a"),
            (5, 1, "b"),
            (5, 3, "a"),
        ]
        assert [(row["sku"], row["text"]) for row in by_stream["skus"]] == [
            ("a", "A"),
            ("b", "B"),
            ("a", "A"),
        ]


def test_keys_that_are_not_unique_and_keys_from_inside(run: Run) -> None:
    with serving(answering(ORDERS)) as api:
        with pytest.raises(BadDataError, match=r'"primary_keys": \["sku", "order_id"\]'):
            run(api, ITEMS | {"primary_keys": ["sku"]})
        rows = [{"id": 1, "items": [{"product": {"sku": "a"}}]}]
        api.routes["/orders"] = lambda _: json_reply(rows)
        inside = run(api, ITEMS | {"primary_keys": ["order_id", "product.sku"]})
        assert [(row["order_id"], row["product_sku"]) for row in inside.rows] == [(1, "a")]


@pytest.mark.parametrize(
    ("rows", "explode", "said"),
    [
        (
            [{"id": 1, "itms": []}],
            {},
            "Expected a list at `items` inside the records of page 1 of stream items, got none in any of 1",
        ),
        ([{"id": 1, "items": ["a"]}], {}, 'name the field that is to hold such items, `"as": "value"`'),
        ([{"id": 1, "items": 7}], {}, "Expected `array`, got `number` at `explode.path`"),
        (
            [{"id": 1, "items": [{"order_id": 2}]}],
            {},
            "one of them has such a field of its own with another value",
        ),
    ],
)
def test_what_does_not_fit(rows: Any, explode: dict[str, Any], said: str, run: Run) -> None:
    with serving(answering(rows)) as api, pytest.raises(BadDataError) as error:
        run(api, ITEMS | {"explode": ITEMS["explode"] | explode})
    assert said in str(error.value)


def test_records_that_may_all_be_without_it(run: Run) -> None:
    with serving(answering([{"id": 1}])) as api:
        empty = ITEMS | {"explode": ITEMS["explode"] | {"missing": "empty"}}
        assert run(api, empty).rows == []
        # Null is none, and what one record has tells that the path is right.
        api.routes["/orders"] = lambda _: json_reply([{"id": 1, "items": None}])
        assert run(api, ITEMS).rows == []
        # One item may stand there without brackets.
        api.routes["/orders"] = lambda _: json_reply([{"id": 1}, {"id": 2, "items": {"sku": "a"}}])
        assert pairs(run(api, ITEMS)) == [(2, "a")]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"explode": {"path": "$.items"}},
            "Expected the path of a list inside a record at `streams[0].explode.path`",
        ),
        ({"explode": {"path": "$..items[*]"}}, "Expected the path of a list inside a record"),
        (
            {"explode": {"path": "$.a[*]", "copy": {"x": "id"}}, "copy": {"x": "a.b"}},
            "both add a field `x` to the rows",
        ),
        ({"explode": {"path": "$.a[*]", "copy": {"x": "id"}, "as": "x"}}, "both make a field `x`"),
        (
            {"explode": {"path": "$.a[*]", "copy": {"x": "a..b"}}},
            "`streams[0].explode.copy.x`, or the names down to it",
        ),
        (
            {"schema": {"properties": {"sku": {"type": "string"}}}, "primary_keys": []},
            "`explode.copy` of stream `items` adds `order_id`, which its `schema` does not name",
        ),
        (
            {
                "is_sorted": True,
                "replication_key": "at",
                "incremental": {"param": "p"},
                "pagination": {"type": "page", "continue_by": "bookmark"},
            },
            "does not go with `streams[0].explode`",
        ),
    ],
)
def test_what_is_refused(more: dict[str, Any], said: str, run: Run) -> None:
    with serving(answering(ORDERS)) as api, pytest.raises(ConfigurationError) as error:
        run(api, ITEMS | more)
    assert said in str(error.value)
