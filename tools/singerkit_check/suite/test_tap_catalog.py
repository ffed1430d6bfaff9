"""Discovery and selection."""

from __future__ import annotations

from typing import Any

import pytest

from singerkit_check.suite.processes import Outcome
from singerkit_check.suite.tap_runs import TapRuns, records, schemas

METHODS = {"FULL_TABLE", "INCREMENTAL", "LOG_BASED"}


def streams(tap: TapRuns) -> list[dict[str, Any]]:
    return list(tap.catalog["streams"])


def test_c01_c02_the_catalog_has_streams_with_names(tap: TapRuns) -> None:
    assert streams(tap)
    assert all(isinstance(stream["stream"], str) for stream in streams(tap))


def test_c01_all_streams_of_the_source_are_discovered(tap: TapRuns) -> None:
    assert {stream["stream"] for stream in streams(tap)} == set(tap.source.known_streams)


def test_c03_tap_stream_id_is_unique(tap: TapRuns) -> None:
    ids = [stream["tap_stream_id"] for stream in streams(tap)]
    assert len(ids) == len(set(ids))


def test_c04_each_stream_has_a_schema(tap: TapRuns) -> None:
    assert all(stream["schema"]["properties"] for stream in streams(tap))


def test_c05_metadata_of_the_stream_and_of_each_field(tap: TapRuns) -> None:
    for stream in streams(tap):
        crumbs = {tuple(entry["breadcrumb"]) for entry in stream["metadata"]}
        assert () in crumbs
        assert {("properties", field) for field in stream["schema"]["properties"]} <= crumbs
        assert all(isinstance(entry["metadata"], dict) for entry in stream["metadata"])


def test_c06_inclusion_is_said_of_each_field(tap: TapRuns) -> None:
    for stream in streams(tap):
        for field in stream["schema"]["properties"]:
            inclusion = TapRuns.metadata(stream, "properties", field).get("inclusion")
            assert inclusion in ("automatic", "available", "unsupported"), (stream["stream"], field)


def test_c06_keys_and_replication_keys_are_automatic(tap: TapRuns) -> None:
    for name, facts in tap.source.known_streams.items():
        stream = tap.stream_of(tap.catalog, name)
        for field in (*facts.key, *([facts.replication_key] if facts.replication_key else [])):
            assert TapRuns.metadata(stream, "properties", field)["inclusion"] == "automatic", (name, field)


def test_c09_replication_method_and_key(tap: TapRuns) -> None:
    for stream in streams(tap):
        method = TapRuns.metadata(stream).get("forced-replication-method") or stream.get("replication_method")
        assert method in METHODS, stream["stream"]


def test_c09_replication_method_is_that_of_the_source(tap: TapRuns) -> None:
    for name, facts in tap.source.known_streams.items():
        stream = tap.stream_of(tap.catalog, name)
        method = TapRuns.metadata(stream).get("forced-replication-method") or stream.get("replication_method")
        assert method == ("INCREMENTAL" if facts.replication_key else "FULL_TABLE"), name
        assert (stream.get("replication_key") or None) == facts.replication_key, name


def test_c10_table_key_properties_and_valid_replication_keys(tap: TapRuns) -> None:
    for name, facts in tap.source.known_streams.items():
        metadata = TapRuns.metadata(tap.stream_of(tap.catalog, name))
        assert tuple(metadata["table-key-properties"]) == facts.key, name
        if facts.replication_key:
            assert metadata["valid-replication-keys"] == [facts.replication_key], name


def test_c11_database_metadata(tap: TapRuns) -> None:
    if not tap.driver.is_ours and not any(
        "schema-name" in TapRuns.metadata(stream) for stream in streams(tap)
    ):
        tap.driver.cannot("a database; none of its streams is said to be in one")
    for stream in streams(tap):
        assert "schema-name" in TapRuns.metadata(stream)
        assert "is-view" in TapRuns.metadata(stream)


@pytest.fixture(scope="session")
def edited(tap: TapRuns) -> tuple[Outcome, set[str]]:
    """One run with a catalog in which a user has said many things; and the paths it requested.

    orders: selected as the string "true", its fields by word, string and inclusion. events: "false".
    countries: only the legacy mark in the schema. shops: selected-by-default false and no word of the user.
    items: selected, while its parent is not.
    """
    if not {"orders", "events", "countries", "shops", "items"} <= set(tap.source.known_streams):
        tap.driver.cannot("the five streams of source_server.py")
    catalog = tap.catalog
    for stream in catalog["streams"]:
        stream.pop("selected", None)
        for entry in stream["metadata"]:
            entry["metadata"].pop("selected", None)
    orders, events, countries, shops, items = (
        tap.stream_of(catalog, name) for name in ("orders", "events", "countries", "shops", "items")
    )
    tap.metadata(orders)["selected"] = "true"
    tap.metadata(orders, "properties", "id")["selected"] = False  # automatic: sent all the same
    tap.metadata(orders, "properties", "note")["selected"] = "false"
    tap.metadata(orders, "properties", "paid")["selected"] = False
    tap.metadata(orders, "properties", "tags")["selected-by-default"] = False  # and the user said nothing
    tap.metadata(orders, "properties", "big").update({"selected-by-default": False, "selected": True})
    tap.metadata(orders, "properties", "discount").update({"inclusion": "unsupported", "selected": True})
    tap.metadata(events)["selected"] = "false"
    tap.metadata(countries).pop("selected-by-default", None)
    countries["schema"]["selected"] = True
    countries["schema"]["properties"]["area"]["selected"] = False
    tap.metadata(shops)["selected-by-default"] = False
    tap.metadata(items)["selected"] = True
    before = tap.asked
    outcome = tap.run("--catalog", tap.file(catalog)).expect(0)
    return outcome, {asked.path for asked in tap.source.server.asked[before:]}


def fields(outcome: Outcome, stream: str) -> set[str]:
    """Return the fields that were sent, after checking that SCHEMA and records agree."""
    declared = set(schemas(outcome)[stream]["schema"]["properties"])
    sent = {field for record in records(outcome, stream) for field in record}
    assert sent <= declared
    return sent


def test_c06_automatic_is_always_sent_and_unsupported_never(edited: tuple[Outcome, set[str]]) -> None:
    assert {"id", "updated_at"} <= fields(edited[0], "orders")
    assert "discount" not in schemas(edited[0])["orders"]["schema"]["properties"]
    assert "discount" not in fields(edited[0], "orders")


def test_c07_the_strings_true_and_false_count(edited: tuple[Outcome, set[str]]) -> None:
    assert "orders" in schemas(edited[0])
    assert "events" not in schemas(edited[0])
    assert "note" not in fields(edited[0], "orders")
    assert "paid" not in fields(edited[0], "orders")


def test_c08_selected_by_default_counts_where_the_user_said_nothing(edited: tuple[Outcome, set[str]]) -> None:
    assert "tags" not in fields(edited[0], "orders")
    assert "big" in fields(edited[0], "orders")
    assert "shops" not in schemas(edited[0])


def test_c14_the_legacy_mark_inside_the_schema_is_read(
    tap: TapRuns, edited: tuple[Outcome, set[str]]
) -> None:
    assert len(records(edited[0], "countries")) == len(tap.source.rows("countries"))
    assert "selected" not in schemas(edited[0])["countries"]["schema"]
    assert "area" not in fields(edited[0], "countries")


def test_c15_s18_what_a_user_has_not_selected_is_not_sent(tap: TapRuns) -> None:
    catalog = tap.catalog
    for number, stream in enumerate(catalog["streams"]):
        stream.pop("selected", None)
        tap.metadata(stream)["selected"] = number == 0
    first = catalog["streams"][0]
    available = [
        field
        for field in first["schema"]["properties"]
        if tap.metadata(first, "properties", field).get("inclusion") == "available"
    ]
    assert available
    tap.metadata(first, "properties", available[-1])["selected"] = False
    outcome = tap.run("--catalog", tap.file(catalog)).expect(0)
    assert set(schemas(outcome)) == {first["stream"]}
    assert fields(outcome, first["stream"]) <= set(first["schema"]["properties"]) - {available[-1]}
    assert available[-1] not in schemas(outcome)[first["stream"]]["schema"]["properties"]


def test_c15_only_selected_streams_are_requested(edited: tuple[Outcome, set[str]]) -> None:
    assert {"orders", "countries"} <= edited[1]
    assert "events" not in edited[1]


def test_s18_schema_carries_only_selected_fields(edited: tuple[Outcome, set[str]]) -> None:
    declared = set(schemas(edited[0])["orders"]["schema"]["properties"])
    assert declared == {"id", "updated_at", "amount", "big", "address"}
    assert fields(edited[0], "orders") == declared


def test_c17_a_child_works_when_its_parent_is_not_selected(
    tap: TapRuns, edited: tuple[Outcome, set[str]]
) -> None:
    assert not records(edited[0], "shops")
    sent = records(edited[0], "items")
    assert len(sent) == sum(
        len(tap.source.server.rows(f"shops/{shop['id']}/items")) for shop in tap.source.rows("shops")
    )
    assert {row["shop_id"] for row in sent} == {shop["id"] for shop in tap.source.rows("shops")}


def test_select_rules_do_the_same_without_a_catalog(tap: TapRuns) -> None:
    rules = ["orders.*", "!orders.no*", "countr*", "!events"]
    config = tap.driver.with_select(tap.changed_config(), rules)
    before = tap.asked
    outcome = tap.run(config=config).expect(0)
    assert set(schemas(outcome)) == {"orders", "countries"}
    assert "note" not in fields(outcome, "orders")
    assert {"id", "amount", "tags"} <= fields(outcome, "orders")
    assert {"code", "name", "area"} == fields(outcome, "countries")
    assert {asked.path for asked in tap.source.server.asked[before:]} == {"orders", "countries"}


def test_select_rules_that_match_nothing_are_refused(tap: TapRuns) -> None:
    config = tap.driver.with_select(tap.changed_config(), ["no_such_stream"])
    outcome = tap.run(config=config)
    assert outcome.code == 78, str(outcome)
    assert "no_such_stream" in outcome.last_words, str(outcome)
