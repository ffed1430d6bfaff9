from __future__ import annotations

import copy

import pytest
from singer_sdk.singerlib import MetadataMapping

from singerkit_catalog.discovery import catalog_entry, stream_metadata
from singerkit_catalog.selection import apply_rules, normalised_catalog
from singerkit_shell.errors import ConfigurationError

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": "string"},
        "note": {"type": "string"},
        "address": {"type": "object", "properties": {"city": {}, "zip": {}}},
    },
}


def metadata(**facts):
    return MetadataMapping.from_iterable(
        stream_metadata(SCHEMA, key_properties=["id"], replication_key="at", **facts)
    )


def selected(rules, **streams):
    mappings = streams or {"orders": metadata(), "people": metadata()}
    apply_rules(rules, mappings)
    chosen = set()
    for name, mapping in mappings.items():
        mask = mapping.resolve_selection()
        chosen |= {".".join((name, *path[1::2])) for path in mapping if mask[path]}
    return chosen


ORDERS = {
    "orders",
    "orders.id",
    "orders.at",
    "orders.note",
    "orders.address",
    "orders.address.city",
    "orders.address.zip",
}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["orders"], ORDERS),
        (["orders.*"], ORDERS),
        (["ord*", "!orders.note"], ORDERS - {"orders.note"}),
        (["orders.note"], {"orders", "orders.id", "orders.at", "orders.note"}),
        (["!people"], ORDERS),
        (["!people", "!*.note", "orders.note"], ORDERS),
        (
            ["orders.address.city"],
            {"orders", "orders.id", "orders.at", "orders.address", "orders.address.city"},
        ),
        (["orders", "!orders.address.zip"], ORDERS - {"orders.address.zip"}),
        (["*", "!people", "!*.no?e"], ORDERS - {"orders.note"}),
        (["*", "!*"], set()),
    ],
)
def test_rules(rules, expected):
    assert selected(rules) == expected


def test_a_rule_that_names_two_fields():
    """`a.b` is a field, and `b` inside `a` is another one."""
    schema = {"properties": {"id": {}, "a.b": {}, "a": {"type": "object", "properties": {"b": {}, "c": {}}}}}
    both = {"x": MetadataMapping.from_iterable(stream_metadata(schema, key_properties=["id"]))}
    with pytest.raises(ConfigurationError, match=r"`!x\.a\.b` in `select` names two fields"):
        selected(["x", "!x.a.b"], **both)
    assert selected(["x", "!x.a.c"], **both) == {"x", "x.id", "x.a.b", "x.a"}


@pytest.mark.parametrize(
    ("rules", "is_selected"),
    [(["*.*"], True), (["bare.*", "orders"], True), (["orders.*"], False), (["!bare", "*.*"], True), (["*.*", "!bare"], False), (["*.*", "!*.note"], True)],
)  # fmt: skip
def test_a_rule_for_each_field_selects_a_stream_that_has_none(rules, is_selected):
    """It was left out without a word: a table without columns has rows all the same."""
    streams = {
        "bare": MetadataMapping.from_iterable(stream_metadata({"properties": {}})),
        "orders": metadata(),
    }
    assert ("bare" in selected(rules, **streams)) is is_selected
    assert "orders" in selected(rules, **streams)


def test_a_stream_name_may_hold_dots():
    assert "public.orders.note" not in selected(
        ["public.orders", "!public.orders.note"], **{"public.orders": metadata()}
    )
    assert "public.orders" in selected(["public.orders.note"], **{"public.orders": metadata()})


def test_a_rule_selects_what_is_not_selected_by_default():
    assert "orders" in selected(["*"], orders=metadata(selected_by_default=False))


@pytest.mark.parametrize(
    ("rule", "hint"), [("order", "`orders`"), ("!orders.notes", "`orders.note`"), ("zzz", "the streams are")]
)
def test_a_rule_that_matches_nothing_names_the_near_ones(rule, hint):
    with pytest.raises(ConfigurationError, match="matches no stream and no field") as error:
        selected(["*", rule])
    assert hint in str(error.value)


@pytest.mark.parametrize("rule", ["!orders.id", "!orders.at", "!*.id", "!*.[ia][dt]"])
def test_a_rule_that_excludes_only_what_is_always_sent(rule):
    with pytest.raises(ConfigurationError, match=r"has no effect: `orders\.(id|at)` is always sent"):
        selected(["*", rule])


# Catalogs


def mask_of(entry):
    [normal] = normalised_catalog({"streams": [entry]}, "the catalog")["streams"]
    return MetadataMapping.from_iterable(normal["metadata"]).resolve_selection()


@pytest.mark.parametrize(
    ("word", "value"), [("true", True), ("False", False), (True, True), (False, False), ("maybe", True)]
)
def test_strings_count_as_booleans(word, value):
    entry = catalog_entry("s", SCHEMA)
    entry["metadata"][3]["metadata"]["selected"] = word
    assert entry["metadata"][3]["breadcrumb"] == ["properties", "note"]
    assert mask_of(entry)["properties", "note"] is value


def test_legacy_selected_inside_the_schema_is_read_and_taken_out():
    schema = copy.deepcopy(SCHEMA)
    schema["selected"] = "true"
    schema["properties"]["note"]["selected"] = False
    schema["properties"]["address"]["properties"]["zip"]["selected"] = False
    entry = {"stream": "s", "schema": schema}
    mask = mask_of(entry)
    assert mask[()] is True
    assert mask["properties", "note"] is False
    assert mask["properties", "address", "properties", "zip"] is False
    [normal] = normalised_catalog({"streams": [entry]}, "the catalog")["streams"]
    assert normal["schema"] == SCHEMA
    assert normal["tap_stream_id"] == "s"


def test_unsupported_is_never_selected_and_automatic_always():
    schema = {"properties": {"id": {}, "blob": {"x-inclusion": "unsupported"}}}
    entry = catalog_entry("s", schema, key_properties=["id"])
    for item in entry["metadata"][1:]:
        item["metadata"]["selected"] = item["metadata"]["inclusion"] == "unsupported"
    mask = mask_of(entry)
    assert mask["properties", "id"] is True
    assert mask["properties", "blob"] is False


@pytest.mark.parametrize(
    "catalog",
    [
        {},
        {"streams": {}},
        {"streams": [5]},
        {"streams": [{"schema": {}}]},
        {"streams": [{"stream": "a", "metadata": [5]}]},
    ],
)
def test_what_is_no_catalog(catalog):
    with pytest.raises(ConfigurationError, match="--discover"):
        normalised_catalog(catalog, "the catalog k.json")


# Discovery


def test_metadata_of_an_incremental_stream():
    entry = catalog_entry(
        "orders", SCHEMA, key_properties=["id"], replication_key="at", table_metadata={"row-count": 5}
    )
    by_path = {tuple(item["breadcrumb"]): item["metadata"] for item in entry["metadata"]}
    assert by_path[()] == {
        "inclusion": "available",
        "selected-by-default": True,
        "table-key-properties": ["id"],
        "replication-method": "INCREMENTAL",
        "replication-key": "at",
        "valid-replication-keys": ["at"],
        "row-count": 5,
    }
    assert by_path["properties", "id"] == by_path["properties", "at"] == {"inclusion": "automatic"}
    assert by_path["properties", "note"] == {"inclusion": "available", "selected-by-default": True}
    assert ("properties", "address", "properties", "city") in by_path
    assert (entry["tap_stream_id"], entry["replication_method"], entry["replication_key"]) == (
        "orders",
        "INCREMENTAL",
        "at",
    )


def test_a_full_table_is_forced_when_there_is_no_replication_key():
    root = stream_metadata(SCHEMA, is_method_forced=True)[0]["metadata"]
    assert root["forced-replication-method"] == "FULL_TABLE"
    assert "valid-replication-keys" not in root
