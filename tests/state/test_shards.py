"""Which shard a row is of, and what its state is called."""

from __future__ import annotations

from collections import Counter

import pytest

from singerkit_shell.errors import ConfigurationError, UsageError
from singerkit_state.shards import (
    Shard,
    are_of_one,
    check_name,
    location_of,
    owner_of,
    part_of,
    pipeline_and_shard,
)


def test_shards_are_counted_from_0() -> None:
    assert Shard.parse("0/8") == Shard(0, 8)
    assert Shard.parse("7/8") == Shard(7, 8)
    assert Shard.parse("0/1").called("orders") == "orders"


@pytest.mark.parametrize("text", ["8/8", "-1/8", "1", "1/", "a/b", "0/0", "0/10001", "1/8/2", "", "0.0/8"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Expected a shard like `0/8`"):
        Shard.parse(text)


def test_keys_stay_in_their_shards_for_ever() -> None:
    """Other numbers are another set of shards: states that are there would pass rows by."""
    keys = [[b"1"], [b"2"], ["é".encode()], [None], [b""], [b"a", b"b"], [b"ab", b""], [b"b", b"a"]]
    assert [part_of(key, 1000) for key in keys] == [42, 317, 939, 232, 0, 312, 401, 242]


@pytest.mark.parametrize("of", [2, 3, 7, 8, 64, 1000])
@pytest.mark.parametrize(
    "form", ["{}", "k{:09}", "{}-0000-4000-8000-00000000{:02x}", "2026-01-{:02}T00:00:00Z {}"]
)
def test_keys_spread_evenly(form: str, of: int) -> None:
    count = 200 * of
    found = Counter(part_of([form.format(n, n % 28).encode()], of) for n in range(count))
    assert len(found) == of
    assert max(found.values()) < 200 * 1.6


def test_names_of_states() -> None:
    assert pipeline_and_shard("orders") == ("orders", Shard(0, 1))
    assert pipeline_and_shard("a#1#3/8") == ("a#1", Shard(3, 8))
    assert pipeline_and_shard("orders#8/8") == ("orders#8/8", Shard(0, 1))
    assert are_of_one("orders#3/8", "orders")
    assert are_of_one("orders#3/8", "orders#0/2")
    assert not are_of_one("orders#3/8", "order")
    check_name("orders#3/8", Shard(3, 8))
    for shard in (Shard(0, 1), Shard(2, 8)):
        with pytest.raises(ConfigurationError, match="which is the shard 3/8 of `orders`"):
            check_name("orders#3/8", shard)


def test_each_shard_has_a_place_of_its_own() -> None:
    shard = Shard(3, 8)
    url = "postgresql://u@h/d?pipeline=orders&schema=s"
    assert location_of(url, shard) == "postgresql://u@h/d?schema=s&pipeline=orders%233%2F8"
    assert location_of(location_of(url, shard), shard) == location_of(url, shard)
    assert location_of(url, Shard(0, 1)) == url
    assert location_of("state/orders.3-of-8.json", shard) == "state/orders.3-of-8.json"
    assert shard.file_of("state/orders.json") == "state/orders.3-of-8.json"
    for path in ("state/orders.json", "state/orders.13-of-8.json", "state/orders.2-of-8.json", "state"):
        with pytest.raises(ConfigurationError, match=r"which ends with `\.3-of-8\.json`"):
            location_of(path, shard)


def test_streams_that_cannot_be_divided_are_spread() -> None:
    assert len({owner_of(f"s{n}", 8) for n in range(100)}) == 8
