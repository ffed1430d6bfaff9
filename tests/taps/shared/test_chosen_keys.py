"""What a catalog chooses: one of several replication keys, and the primary key where the source has none."""

from __future__ import annotations

from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError


def catalog_of(example, config: dict[str, Any]) -> dict[str, Any]:
    import json

    return json.loads(example.run(config, "--discover").out)


def root(catalog: dict[str, Any]) -> dict[str, Any]:
    return next(item["metadata"] for item in catalog["streams"][0]["metadata"] if not item["breadcrumb"])


def synced(example, tap_class, config: dict[str, Any], catalog: dict[str, Any]) -> Any:
    tap = tap_class(config=config, catalog=catalog)
    return tap.streams["orders"]


def test_several_keys_are_offered_and_one_is_chosen(example, tap_class):
    config = example.config(example.stream(valid_replication_keys=["id", "at"]))
    catalog = catalog_of(example, config)
    assert root(catalog)["valid-replication-keys"] == ["id", "at"]
    assert root(catalog)["replication-method"] == "FULL_TABLE"
    root(catalog).update({"replication-method": "INCREMENTAL", "replication-key": "at"})
    assert synced(example, tap_class, config, catalog).bookmark_key == "at"
    root(catalog)["replication-key"] = "price"
    with pytest.raises(ConfigurationError, match="INCREMENTAL by `id` or `at`; correct the catalog"):
        synced(example, tap_class, config, catalog)


@pytest.mark.parametrize("place", ["key_properties", "table-key-properties", "view-key-properties"])
def test_a_key_is_chosen_where_there_is_none(example, tap_class, place):
    config = example.config(example.stream(key_properties=[], is_key_unique=True))
    catalog = catalog_of(example, config)
    (catalog["streams"][0] if place == "key_properties" else root(catalog))[place] = ["id"]
    stream = synced(example, tap_class, config, catalog)
    assert stream.primary_keys == ("id",)
    assert not stream.is_key_unique, "nobody vouches for a key that was chosen"


def test_two_keys_for_one_stream_are_refused(example, tap_class):
    config = example.config(example.stream(key_properties=[]))
    catalog = catalog_of(example, config)
    catalog["streams"][0]["key_properties"] = ["id"]
    root(catalog)["table-key-properties"] = ["at"]
    with pytest.raises(ConfigurationError, match="names two primary keys of stream `orders`, `id` and `at`"):
        synced(example, tap_class, config, catalog)


FULL, BY_ID, BY_AT, NOTHING = ("FULL_TABLE", None), ("INCREMENTAL", "id"), ("INCREMENTAL", "at"), (None, None)


@pytest.mark.parametrize(
    ("own", "beside", "within", "chosen"),
    [
        (None, NOTHING, NOTHING, None),
        (None, FULL, BY_AT, "at"),
        (None, BY_AT, FULL, "at"),
        (None, BY_AT, BY_AT, "at"),
        (None, BY_AT, NOTHING, "at"),
        (None, NOTHING, BY_AT, "at"),
        (None, BY_ID, BY_AT, "says two things of stream `orders`: `id` at `replication_key`, and `at`"),
        ("at", NOTHING, BY_AT, "at"),
        ("at", BY_AT, BY_AT, "at"),
        ("at", BY_AT, FULL, None),
        ("at", BY_AT, BY_ID, "id"),
        ("at", FULL, BY_AT, "says two things of stream `orders`: `FULL_TABLE` at `replication_method`"),
    ],
)
def test_who_edits_one_place_of_a_catalog_leaves_the_other(example, tap_class, own, beside, within, chosen):
    """``beside`` the metadata, and ``within``; ``own``: by what the stream goes on as the tap has it."""
    by = {"replication_key": own} if own else {}
    config = example.config(example.stream(**by, valid_replication_keys=["id", "at"]))
    catalog = catalog_of(example, config)
    for place, said, names in (
        (catalog["streams"][0], beside, ("replication_method", "replication_key")),
        (root(catalog), within, ("replication-method", "replication-key")),
    ):
        for name, value in zip(names, said, strict=True):
            place.pop(name, None)
            place.update({name: value} if value else {})
    if chosen in (None, "id", "at"):
        assert synced(example, tap_class, config, catalog).bookmark_key == chosen
    else:
        with pytest.raises(ConfigurationError, match=chosen):
            synced(example, tap_class, config, catalog)
