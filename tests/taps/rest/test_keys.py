"""`primary_keys` that do not tell rows apart: rows would replace each other in the target, and nobody would know."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

LINES = [{"order": order, "line": line, "sum": 10} for order in (1, 2) for line in (1, 2, 3)]
ORDERS = {"name": "orders", "path": "/orders", "primary_keys": ["id"]}
ITEMS = {
    "name": "items",
    "path": "/orders/{parent.id}/items",
    "primary_keys": ["id"],
    "parent": {"stream": "orders"},
}
PAGED = {"type": "page", "total_pages": "$.pages"}


def answering(rows: Any) -> Callable[[Asked], Reply]:
    return lambda _: json_reply(rows)


def paged(*pages: list[dict[str, Any]]) -> Callable[[Asked], Reply]:
    return lambda asked: json_reply({"rows": pages[int(asked.param("page") or 1) - 1], "pages": len(pages)})


def warnings(run: Any) -> list[str]:
    return [line for line in run.stderr.splitlines() if "WARNING" in line]


def advised(sentence: str, name: str) -> Any:
    """What the sentence says is to be set in the config."""
    found = re.search(rf'`"{name}": ([^`]+)`', sentence)
    assert found, sentence
    return json.loads(found[1])


def test_two_rows_of_one_answer_with_one_key(run_tap: Any) -> None:
    stream = {"name": "lines", "path": "/lines", "primary_keys": ["order"]}
    with serving({"/lines": answering(LINES)}) as api:
        run = run_tap(api.url, stream).ended(65)
        assert "stream `lines`" in run.sentence
        assert "(`order`)" in run.sentence
        assert run.records("lines") == []
        keys = advised(run.sentence, "primary_keys")
        assert keys == ["order", "line"]
        run = run_tap(api.url, stream | {"primary_keys": keys}).ended(0)
        assert run.records("lines") == LINES
        run_tap(api.url, stream | {"primary_keys": []}).ended(0)
        run = run_tap(api.url, stream | {"duplicate_keys": "warn"}).ended(0)
        assert run.records("lines") == LINES
        assert "4 of 6 rows of stream `lines`" in warnings(run)[0]


def test_a_field_that_is_a_key_by_itself(run_tap: Any) -> None:
    """With both, a row whose first field changes would stay behind under its old key."""
    rows = [{"customer": number % 3, "v": number, "id": f"a{number}"} for number in range(7)]
    stream = {"name": "orders", "path": "/orders", "primary_keys": ["customer"]}
    with serving({"/orders": answering(rows)}) as api:
        run = run_tap(api.url, stream).ended(65)
    assert (
        '"primary_keys": ["customer", "id"]`, or `["id"]` if that field is unique by itself' in run.sentence
    )


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ({"v": "ab", "version": (1, 2)}, "version"),
        ({"amount": (1.5, 2), "name": "ab"}, "name"),
        ({"validFrom": "ab", "a": "ab", "lineNumber": (1, 2), "itemID": "ab"}, "itemID"),
        ({"a": "ab", "changed_on": "ab"}, "changed_on"),
        ({"code": "ab", "paid": "ab", "uuid": "aa", "1": (1, 2)}, "code"),
    ],
)
def test_the_field_that_looks_most_like_a_part_of_a_key(rows: Any, best: str, run_tap: Any) -> None:
    two = [{name: values[number] for name, values in rows.items()} | {"id": 1} for number in (0, 1)]
    with serving({"/orders": answering(two)}) as api:
        assert advised(run_tap(api.url, ORDERS).ended(65).sentence, "primary_keys") == ["id", best]


def test_no_field_that_tells_them_apart(run_tap: Any) -> None:
    rows = [{"id": 1, "tags": ["a"]}, {"id": 1, "tags": ["b"]}]
    with serving({"/orders": answering(rows)}) as api:
        run = run_tap(api.url, ORDERS).ended(65)
    assert "add the field that tells such rows apart to `primary_keys`, or none" in run.sentence


def test_two_rows_of_a_large_answer_with_one_key(run_tap: Any) -> None:
    """It is looked at in pieces of 5,000 rows."""
    rows = [{"id": number, "v": number} for number in range(5_100)]
    with serving({"/orders": answering([*rows, {"id": 7, "v": "other"}])}) as api:
        run_tap(api.url, ORDERS).ended(65)
    with serving({"/orders": answering([*rows, rows[7]])}) as api:
        run = run_tap(api.url, ORDERS).ended(0)
        assert warnings(run) == []


def test_below_parents_their_own_key_is_advised_not_what_the_path_takes(run_tap: Any) -> None:
    """A link that is signed anew would be another key in each run."""
    signed = itertools.count()

    def orders(asked: Asked) -> Reply:
        url = f"http://{asked.headers['Host']}/items"
        return json_reply([{"id": number, "link": f"{url}/{number}?sig={next(signed)}"} for number in (1, 2)])

    items = {"name": "items", "path": "{parent.link}", "primary_keys": ["id"], "parent": {"stream": "orders"}}
    routes = {
        "/orders": orders,
        **{f"/items/{number}": answering([{"id": 1, "v": number}]) for number in (1, 2)},
    }
    with serving(routes) as api:
        sentence = (
            run_tap(api.url, ORDERS, items | {"parent": {"stream": "orders", "copy": {}}}).ended(65).sentence
        )
        keys, copy = (
            advised(sentence, "primary_keys"),
            json.loads(re.search(r'"copy": (\{.*?\})', sentence)[1]),
        )
        assert (keys, copy) == (["orders_id", "id"], {"orders_id": "id"})
        mended = items | {"primary_keys": keys, "parent": {"stream": "orders", "copy": copy}}
        first = run_tap(api.url, ORDERS, mended).ended(0).records("items")
        assert run_tap(api.url, ORDERS, mended).ended(0).records("items") == first
    assert first == [{"id": 1, "v": number, "orders_id": number} for number in (1, 2)]


def test_the_same_row_twice_is_none(run_tap: Any) -> None:
    """In one answer, from page to page, below two parents; written in another way, too. Only that it moves is told."""
    rows = [{"id": 1, "v": 1.0, "at": None}, {"id": 2, "v": 2}, {"v": 1.00, "id": 1}]
    items = ITEMS | {"parent": {"stream": "orders", "copy": {}}}
    routes = {
        "/orders": paged(rows, rows[:2]),
        "/orders/1/items": answering([{"id": 5, "v": 1}]),
        "/orders/2/items": answering([{"id": 5, "v": 1}]),
    }
    with serving(routes) as api:
        run = run_tap(api.url, ORDERS | {"pagination": PAGED, "records": "$.rows"}, items).ended(0)
    assert {"came again, unchanged" in warning for warning in warnings(run)} == {True}


UUID_KEY = {"properties": {"id": {"type": "string", "format": "uuid"}, "v": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("keys", "settings"),
    [
        (['"2026-01-01T00:00:00Z"', '"2026-01-01T01:00:00+01:00"'], {}),
        (["1", "1.0"], {}),
        (['"12:00:00"', '"12:00:00.0"'], {}),
        (
            ['"6f9619ff-8b86-d011-b42d-00c04fc964ff"', '"6F9619FF-8B86-D011-B42D-00C04FC964FF"'],
            {"schema": UUID_KEY},
        ),
    ],
    ids=["zones", "numbers", "times", "uuids"],
)
def test_one_key_that_is_written_in_two_ways(run_tap: Any, keys: list[str], settings: dict[str, Any]) -> None:
    """A column of its type holds one value, and one row; where the same row comes twice it stays silent."""
    rows = [f'{{"id": {key}, "v": {{}}}}' for key in keys]
    answer = f"[{','.join(rows)}]"
    with serving(
        {"/orders": lambda _: Reply(answer.replace("{}", "1", 1).replace("{}", "2").encode())}
    ) as api:
        run = run_tap(api.url, ORDERS | settings).ended(65)
    assert "same key (`id`, written in two ways that are one value to its type)" in run.sentence
    with serving({"/orders": lambda _: Reply(answer.replace("{}", "1").encode())}) as api:
        assert warnings(run_tap(api.url, ORDERS | settings).ended(0)) == []


def test_a_key_of_text_is_what_is_written(run_tap: Any) -> None:
    rows = [{"id": "2026-01-01T00:00:00Z", "v": 1}, {"id": "2026-01-01T01:00:00+01:00", "v": 2}]
    schema = {"properties": {"id": {"type": "string"}, "v": {"type": "integer"}}}
    with serving({"/orders": answering(rows)}) as api:
        run = run_tap(api.url, ORDERS | {"schema": schema}).ended(0)
    assert run.records("orders") == rows


def test_children_of_two_parents_each_in_its_zone(run_tap: Any) -> None:
    routes = items_of(
        {7: [{"id": "2026-01-01T01:00:00+01:00", "v": 1}], 8: [{"id": "2026-01-01T00:00:00Z", "v": 2}]}
    )
    with serving(routes) as api:
        run = run_tap(api.url, ORDERS, ITEMS).ended(65)
    assert advised(run.sentence, "primary_keys") == ["orders_id", "id"]


def test_changes_have_one_key_each_time(run_tap: Any) -> None:
    changes = [{"id": 1, "v": 1}, {"id": 1, "w": 2}]
    with serving({"/orders": answering(changes)}) as api:
        run = run_tap(api.url, ORDERS | {"partial_records": True}).ended(0)
        assert warnings(run) == []
        run = run_tap(api.url, ORDERS | {"partial_records": True, "duplicate_keys": "warn"}).ended(78)
        assert "`streams[0].duplicate_keys` has no effect" in run.sentence


def items_of(numbers: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
    orders = [{"id": number} for number in numbers]
    return {
        "/orders": answering(orders),
        **{f"/orders/{number}/items": answering(rows) for number, rows in numbers.items()},
    }


@pytest.mark.parametrize(
    ("copy", "keys"),
    [
        (None, ["orders_id", "id"]),
        ({"order": "id"}, ["order", "id"]),
        ({}, ["orders_id", "id"]),
    ],
    ids=["by default", "named", "none"],
)
def test_a_key_that_is_unique_below_one_parent(
    run_tap: Any, copy: dict[str, str] | None, keys: list[str]
) -> None:
    parent = {"stream": "orders"} if copy is None else {"stream": "orders", "copy": copy}
    routes = items_of({7: [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}], 8: [{"id": 1, "v": "c"}]})
    with serving(routes) as api:
        run = run_tap(api.url, ORDERS, ITEMS | {"parent": parent}).ended(65)
        assert "stream `items` came below two parents with the same key (`id`)" in run.sentence
        assert advised(run.sentence, "primary_keys") == keys
        changed = ITEMS | {"parent": parent, "primary_keys": keys}
        if copy == {}:
            changed["parent"] = parent | {"copy": advised(run.sentence, "copy")}
        assert len(run_tap(api.url, ORDERS, changed).ended(0).records("items")) == 3
        run = run_tap(api.url, ORDERS, ITEMS | {"parent": parent, "duplicate_keys": "warn"}).ended(0)
        assert "1 of 3 rows of stream `items`" in warnings(run)[0]


def test_one_child_of_two_parents(run_tap: Any) -> None:
    """Its rows differ by the parent's field, and one would be lost; without that field they are the same."""
    routes = items_of({7: [{"id": 1, "v": "a"}], 8: [{"id": 1, "v": "a"}]})
    with serving(routes) as api:
        run_tap(api.url, ORDERS, ITEMS).ended(65)
        run = run_tap(api.url, ORDERS, ITEMS | {"parent": {"stream": "orders", "copy": {}}}).ended(0)
    assert warnings(run) == []


def test_one_child_of_two_parents_that_differs_in_each_answer(run_tap: Any) -> None:
    """A link that is signed anew proves nothing: the first parent's own row is another one, too, when it is asked again."""
    signed = itertools.count()

    def shared(_: Asked) -> Reply:
        return json_reply([{"id": 1, "link": f"/a?signed={next(signed)}"}])

    routes = items_of({7: [], 8: []}) | {"/orders/7/items": shared, "/orders/8/items": shared}
    with serving(routes) as api:
        run = run_tap(api.url, ORDERS, ITEMS | {"parent": {"stream": "orders", "copy": {}}}).ended(0)
    assert len(run.records("items")) == 2


def test_children_that_move_to_another_parent_meanwhile(run_tap: Any) -> None:
    """The parent that they came below before is asked again, and has them no more; some of many are not told of."""
    asked = itertools.count()
    many = [{"id": number, "v": "m"} for number in range(100, 597)]

    def first(_: Asked) -> Reply:
        return json_reply([{"id": 1, "v": 1}, {"id": 2, "v": 2}, *many] if next(asked) == 0 else many)

    routes = items_of({7: [], 8: [{"id": 1, "v": 1}, {"id": 2, "v": 2}]})
    schema = {"properties": {"id": {"type": "integer"}, "v": {}, "orders_id": {"type": "integer"}}}
    with serving(routes | {"/orders/7/items": first}) as api:
        run = run_tap(api.url, ORDERS, ITEMS | {"schema": schema}).ended(0)
    assert warnings(run) == []
    assert run.records("items")[-2:] == [{"id": n, "v": n, "orders_id": 8} for n in (1, 2)]


def test_keys_that_come_again_on_later_pages(run_tap: Any) -> None:
    """Numbers that count from the top of each page; a few that have changed meanwhile are nothing to tell."""
    pages = [[{"id": number, "v": f"{page}.{number}"} for number in range(3)] for page in range(3)]
    stream = ORDERS | {"pagination": PAGED, "records": "$.rows"}
    with serving({"/orders": paged(*pages)}) as api:
        run = run_tap(api.url, stream).ended(0)
    assert len(warnings(run)) == 2, run.stderr
    assert "6 of 9 rows of stream `orders` came with a key (`id`)" in warnings(run)[0]
    moved = [
        [{"id": 0, "v": 1}, {"id": 1, "v": 1}],
        [{"id": 0, "v": 2}, {"id": 1, "v": 2}, {"id": 2, "v": 1}],
    ]
    with serving({"/orders": paged(*moved)}) as api:
        assert warnings(run_tap(api.url, stream).ended(0)) == []


def test_keys_beyond_all_exponents(run_tap: Any) -> None:
    """They are sent as they are: the target says that it has no room for them."""
    answer = b'[{"id":1e1000000000000000000000},{"id":1},{"id":-1e-1000000000000000000000}]'
    with serving({"/orders": lambda _: Reply(answer)}) as api:
        run = run_tap(api.url, ORDERS).ended(0)
    assert b'{"id":1e1000000000000000000000}' in run.stdout.encode()


def test_a_setting_without_a_key(run_tap: Any) -> None:
    run = run_tap("http://127.0.0.1:9", {"name": "a", "path": "/a", "duplicate_keys": "warn"}).ended(78)
    assert "`streams[0].duplicate_keys` has no effect without `streams[0].primary_keys`" in run.sentence
