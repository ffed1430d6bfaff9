"""Parents that are asked for in groups: which request is made, whose child a row is, and answers that leave some out."""

from __future__ import annotations

import random
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, Table, dated, json_reply, serving
from taps.rest.levels import at

CUSTOMERS = {"name": "customers", "path": "/customers", "primary_keys": ["id"]}
ORDERS = {
    "name": "orders",
    "path": "/orders",
    "params": {"ids": "{parent.id}"},
    "primary_keys": ["no"],
    "parent": {"stream": "customers", "copy": {"name": "name"}, "group": 3, "group_field": "customer.id"},
}


class Shop:
    """Customers, and orders of those that are asked for; it takes ``most`` of them."""

    def __init__(self, customers: int = 7, most: int = 100, without: tuple[int, ...] = ()) -> None:
        self.customers = [{"id": n, "name": f"n{n}"} for n in range(1, customers + 1)]
        self.most, self.without = most, without
        self.asked: list[list[str]] = []

    def orders(self, asked: Asked) -> Reply:
        many = asked.query.get("ids[]") or (asked.param("ids") or asked.path.rpartition("/")[2]).split(",")
        self.asked.append(many)
        numbers = [int(number) for number in many[: self.most]]
        return json_reply(
            [{"no": 10 * n, "customer": {"id": n}} for n in reversed(numbers) if n not in self.without]
        )

    @property
    def routes(self) -> dict[str, Any]:
        return {"/customers": lambda _: json_reply(self.customers), "/orders": self.orders}


@pytest.mark.parametrize(
    "more", [{}, {"params": {"ids[]": ["{parent.id}"]}}, {"params": {}, "path": "/orders/{parent.id}"}]
)
def test_each_row_finds_its_parent(more: dict[str, Any], run_tap: Any) -> None:
    shop = Shop()
    with serving(shop.routes) as api:
        api.routes |= {f"/orders/{ids}": shop.orders for ids in ("1,2,3", "4,5,6", "7")}
        run = run_tap(api.url, CUSTOMERS, ORDERS | more).ended(0)
    assert shop.asked == [["1", "2", "3"], ["4", "5", "6"], ["7"]]
    assert run.records("orders") == [
        {"no": 10 * n, "customer": {"id": n}, "name": f"n{n}"} for n in (3, 2, 1, 6, 5, 4, 7)
    ]
    assert run.schemas("orders")[0]["properties"]["name"]["type"] == ["null", "string"]


def test_ids_in_a_body_are_a_list(run_tap: Any) -> None:
    bodies = []

    def orders(asked: Asked) -> Reply:
        bodies.append(asked.json)
        return json_reply([{"no": n, "customer": {"id": n}} for n in asked.json["among"]])

    stream = ORDERS | {
        "params": {},
        "method": "POST",
        "body": {"among": "{parent.id}", "also": ["x", "{parent.id}"]},
    }
    shop = Shop(4)
    with serving(shop.routes | {"/orders": orders}) as api:
        run_tap(api.url, CUSTOMERS, stream).ended(0)
    assert bodies == [{"among": [1, 2, 3], "also": ["x", 1, 2, 3]}, {"among": [4], "also": ["x", 4]}]


def test_an_api_that_takes_fewer_is_found_out(run_tap: Any) -> None:
    shop = Shop(most=2)
    with serving(shop.routes) as api:
        run = run_tap(api.url, CUSTOMERS, ORDERS | {"schema": {}}).ended(65)
    assert "asked for 3 records of its parent at once, and the API has left some of them out" in run.stderr
    assert shop.asked[:2] == [["1", "2", "3"], ["3"]]


def test_parents_without_rows_are_asked_for_twice_until_the_api_has_shown_that_it_takes_so_many(
    run_tap: Any,
) -> None:
    shop = Shop(9, without=(3, 5, 7, 9))
    with serving(shop.routes) as api:
        first = run_tap(api.url, CUSTOMERS, ORDERS | {"schema": {}}).ended(0)
        assert shop.asked == [["1", "2", "3"], ["3"], ["4", "5", "6"], ["7", "8", "9"]]
        shop.asked.clear()
        shop.without = (1, 2, 4)
        run_tap(api.url, CUSTOMERS, ORDERS | {"schema": {}}, state=first.state).ended(0)
    assert shop.asked == [["1", "2", "3"], ["4", "5", "6"], ["7", "8", "9"]]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"customer": {"id": 99}}, "one of its records names another one in `customer.id`"),
        ({"customer": None}, "Expected `customer.id` in every record"),
        ({"customer": {"id": 1}, "name": "x"}, "has a field `name` of its own with another value"),
    ],
)
def test_a_row_that_finds_no_parent(order: dict[str, Any], said: str, run_tap: Any) -> None:
    shop = Shop(2)
    with serving(shop.routes | {"/orders": lambda _: json_reply([{"no": 1, **order}])}) as api:
        run = run_tap(api.url, CUSTOMERS, ORDERS | {"schema": {}}).ended(65)
    assert said in run.stderr


def test_a_value_with_a_comma_is_not_put_among_others(run_tap: Any) -> None:
    shop = Shop(2)
    shop.customers[1]["id"] = "2,3"
    with serving(shop.routes) as api:
        run = run_tap(api.url, CUSTOMERS, ORDERS | {"schema": {}}).ended(65)
        assert 'say `["{parent.id}"]`' in run.stderr
    assert shop.asked == []


@pytest.mark.parametrize("keys", [["id"], []])
def test_groups_that_shift_double_nothing_and_follow_a_parent(keys: list[str], run_tap: Any) -> None:
    """A customer who is gone moves all others to other groups; one who is renamed has all rows again, by their key."""
    roll = random.Random(3)
    rows = [{"id": n, "of": roll.randrange(1, 8), "at": at(n)} for n in range(30)]
    table, shop = Table(rows), Shop()

    def orders(asked: Asked) -> Reply:
        of = Table([row for row in table.rows if str(row["of"]) in (asked.param("ids") or "").split(",")])
        return of(asked)

    stream = dated(
        "orders", primary_keys=keys, params={"ids": "{parent.id}"}, bookmark={"signpost": "read_before"}
    )
    schema = {"properties": {"id": {}, "of": {}, "at": {"type": "string", "format": "date-time"}, "name": {}}}
    grouped = {"stream": "customers", "copy": {"name": "name"}, "group": 3, "group_field": "of"}
    alone = {key: value for key, value in grouped.items() if not key.startswith("group")}
    stream |= {"schema": schema}
    sent: list[dict[str, Any]] = []
    state = None
    with serving(shop.routes | {"/orders": orders}) as api:
        for number, parent in enumerate([grouped, grouped, grouped, alone, alone, grouped]):
            run = run_tap(api.url, CUSTOMERS, stream | {"parent": parent}, state=state).ended(0)
            state = run.state
            sent += run.records("orders")
            if number == 1:
                table.rows.append({"id": 99, "of": 5, "at": at(40)})
                shop.customers.pop(1)
        had = {row["id"]: row for row in sent}
        assert len(had) == len(sent) == 31
        shop.customers[0]["name"] = "other"
        run = run_tap(api.url, CUSTOMERS, stream | {"parent": grouped}, state=state).ended(0)
    again = {row["id"]: row for row in run.records("orders")}
    assert {n for n, row in again.items() if row["of"] == 1} == (
        {row["id"] for row in rows if row["of"] == 1} if keys else set()
    )
    assert all(row["name"] == "other" for row in again.values() if row["of"] == 1)


@pytest.mark.parametrize(
    ("parent", "more", "said"),
    [
        ({"group_field": None}, {}, "Expected the key `streams[1].parent.group_field`"),
        ({"group": None}, {}, "Expected the key `streams[1].parent.group`"),
        ({"group": 1}, {}, "streams[1].parent.group"),
        (
            {"on_404": "skip"},
            {},
            "`streams[1].parent.on_404` `skip` does not go with `streams[1].parent.group`",
        ),
        (
            {"bookmarks": "each"},
            {"replication_key": "at"},
            "`streams[1].parent.bookmarks` `each` does not go with",
        ),
        ({}, {"path": "/{parent.name}"}, "needs one field of the parent in what is asked"),
        ({}, {"path": "{parent.id}", "params": {}}, "a path that begins with a field of the parent"),
    ],
)
def test_what_does_not_go_with_groups_is_refused(parent: Any, more: Any, said: str, run_tap: Any) -> None:
    whole = {key: value for key, value in (ORDERS["parent"] | parent).items() if value is not None}  # type: ignore[operator]
    run = run_tap("http://127.0.0.1:9", CUSTOMERS, ORDERS | {"parent": whole} | more).ended(78)
    assert said in run.sentence


def test_no_parent_of_a_group_is_asked_for_ahead_by_itself(run_tap: Any) -> None:
    shop = Shop()
    with serving(shop.routes) as api:
        alone = run_tap(api.url, CUSTOMERS, ORDERS).ended(0)
        beside = run_tap(api.url, CUSTOMERS, ORDERS, concurrency=4).ended(0)
    assert shop.asked == [["1", "2", "3"], ["4", "5", "6"], ["7"]] * 2
    assert beside.records("orders") == alone.records("orders")
