"""`--shard i/n`: what stands below a parent, or is read for a value, in one shard; other streams in one of them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

from singerkit_state.shards import Shard, owner_of

OF = 4
USERS = {
    "name": "users",
    "path": "/users",
    "primary_keys": ["id"],
    "replication_key": "at",
    "incremental": {"param": "since"},
}
ORDERS = {
    "name": "orders",
    "path": "/users/{parent.id}/orders",
    "replication_key": "at",
    "incremental": {"param": "since"},
    "primary_keys": ["no"],
    "parent": {"stream": "users", "copy": {"user": "id"}, "read": "all"},
}
LINES = {
    "name": "lines",
    "path": "/users/{parent.user}/orders/{parent.no}/lines",
    "parent": {"stream": "orders"},
}
SALES = {
    "name": "sales",
    "path": "/sales/{each.region}",
    "for_each": {"region": [f"r{n}" for n in range(9)] + [7]},
}
STREAMS = (USERS, ORDERS, LINES, SALES)


class Shop:
    """Users with orders with lines, and sales; asked for from a time on where that is asked."""

    def __init__(self, users: int) -> None:
        self.users = users
        self.day = 1

    def routes(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "/users": lambda asked: self._since(asked, [{"id": n} for n in range(self.users)])
        }
        for user in range(self.users):
            orders = [{"no": 100 * user + n} for n in range(user % 3 + 1)]
            found[f"/users/{user}/orders"] = lambda asked, rows=orders: self._since(asked, rows)
            for order in orders:
                found[f"/users/{user}/orders/{order['no']}/lines"] = lambda _, no=order["no"]: json_reply(
                    [{"line": no}]
                )
        for region in SALES["for_each"]["region"]:
            found[f"/sales/{region}"] = lambda _, region=region: json_reply([{"of": f"{region}"}])
        return found

    def _since(self, asked: Asked, rows: list[dict[str, Any]]) -> Reply:
        at = f"2026-01-0{self.day}T00:00:00Z"
        return json_reply([{**row, "at": at} for row in rows if at >= (asked.param("since") or "")])


def rows(run: Any, *streams: str) -> Counter[str]:
    return Counter(
        json.dumps([one["stream"], one["record"]], sort_keys=True)
        for one in run.all
        if one["type"] == "RECORD" and (not streams or one["stream"] in streams)
    )


@pytest.mark.parametrize("below", [{"bookmarks": "each"}, {"bookmarks": "shared"}, {"read": "changed"}])
def test_each_row_is_read_by_one_shard_and_by_the_same_one_again(run, below):
    shop = Shop(8)
    streams = [USERS, {**ORDERS, "parent": {**ORDERS["parent"], **below}}, LINES, SALES]
    with serving(shop.routes()) as api:
        whole = rows(run(api, *streams))
        runs = [run(api, *streams, shard=Shard(number, OF)) for number in range(OF)]
    assert sum(map(rows, runs), Counter()) == whole
    assert sum(bool(rows(one, "orders")) for one in runs) > 1
    assert sum(bool(rows(one, "sales")) for one in runs) > 1
    for number, one in enumerate(runs):
        assert bool(rows(one, "users")) == (number == owner_of("users", OF))
        assert one.state["_singerkit"]["divided"] == [[name, None] for name in ("lines", "orders", "sales")]
    shop.users, shop.day = 9, 2
    with serving(shop.routes()) as api:
        again = [
            run(api, *streams, shard=Shard(number, OF), state=runs[number].state) for number in range(OF)
        ]
        alone = run(api, *streams)
    assert sum((rows(one, "orders", "users", "lines") for one in again), Counter()) == rows(
        alone, "orders", "users", "lines"
    )
    for one, other in zip(runs, again, strict=True):
        users = [{json.loads(row)[1]["user"] for row in rows(of, "orders")} for of in (one, other)]
        assert users[0] == users[1] - {8}


def test_below_parents_that_nothing_tells_apart_one_shard_reads_all(run):
    shop, streams = Shop(5), [{**USERS, "primary_keys": []}, {**ORDERS, "primary_keys": []}]
    with serving(shop.routes()) as api:
        runs = [run(api, *streams, shard=Shard(number, OF)) for number in range(OF)]
    assert [number for number, one in enumerate(runs) if rows(one, "orders")] == [owner_of("orders", OF)]


def test_values_that_are_read_as_a_whole_have_a_version_for_each_shard(run):
    with serving(Shop(2).routes()) as api:
        runs = [
            run(api, {**SALES, "primary_keys": ["of"], "activate_version": True}, shard=Shard(number, OF))
            for number in range(OF)
        ]
    said = [version for one in runs for _, version in one.state["_singerkit"]["divided"]]
    sent = [one["version"] for of in runs for one in of.all if one["type"] == "ACTIVATE_VERSION"]
    assert [version for version in said if version is not None] == sent
    assert len({*sent}) == len(sent) > 1
