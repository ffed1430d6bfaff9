"""Discovery and selection."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Any

import pytest

from singerkit_check.suite.processes import Outcome
from singerkit_check.suite.sources import key_of
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
            assert metadata["valid-replication-keys"][0] == facts.replication_key, name


def test_c11_database_metadata(tap: TapRuns) -> None:
    if not tap.driver.is_ours and not any(
        "schema-name" in TapRuns.metadata(stream) for stream in streams(tap)
    ):
        tap.driver.cannot("a database; none of its streams is said to be in one")
    for stream in streams(tap):
        assert "schema-name" in TapRuns.metadata(stream)
        assert "is-view" in TapRuns.metadata(stream)


@dataclass(frozen=True)
class Edited:
    """One run with a catalog in which a user has said many things: of four streams, and of five fields of the first."""

    outcome: Outcome
    chosen: str
    """Selected as the string "true"; its fields by word, string and inclusion."""
    refused: str
    """Not selected, as the string "false"."""
    legacy: str
    """Only the legacy mark in the schema, which leaves out one field."""
    legacy_field: str
    unsaid: str
    """selected-by-default false, and no word of the user; its children are selected."""
    child: str | None
    as_text: str
    refused_field: str
    not_by_default: str
    chosen_field: str
    unsupported: str

    @property
    def left_out(self) -> set[str]:
        return {self.as_text, self.refused_field, self.not_by_default, self.unsupported}


def available(stream: dict[str, Any]) -> list[str]:
    return [
        field
        for field in stream["schema"]["properties"]
        if TapRuns.metadata(stream, "properties", field).get("inclusion") == "available"
    ]


@pytest.fixture(scope="session")
def edited(tap: TapRuns) -> Edited:
    known = tap.source.known_streams
    chosen, facts = tap.source.facts(ascends=True)
    child = next((name for name, one in known.items() if one.parent), None)
    parent = known[child].parent if child else None
    others = [name for name, one in known.items() if one.is_top and name != chosen]
    others.sort(key=lambda name: name == parent)
    catalog = tap.catalog
    if len(others) < 3 or len(available(tap.stream_of(catalog, chosen))) < 5:
        tap.source.cannot("with four streams, and five fields beside the keys in the one that ascends")
    refused, legacy, *_, unsaid = others
    for stream in catalog["streams"]:
        stream.pop("selected", None)
        for entry in stream["metadata"]:
            entry["metadata"].pop("selected", None)
    one = tap.stream_of(catalog, chosen)
    as_text, refused_field, not_by_default, chosen_field, unsupported = available(one)[:5]
    tap.metadata(one)["selected"] = "true"
    tap.metadata(one, "properties", facts.key[0])["selected"] = False  # automatic: sent all the same
    tap.metadata(one, "properties", as_text)["selected"] = "false"
    tap.metadata(one, "properties", refused_field)["selected"] = False
    tap.metadata(one, "properties", not_by_default)["selected-by-default"] = (
        False  # and the user said nothing
    )
    tap.metadata(one, "properties", chosen_field).update({"selected-by-default": False, "selected": True})
    tap.metadata(one, "properties", unsupported).update({"inclusion": "unsupported", "selected": True})
    tap.metadata(tap.stream_of(catalog, refused))["selected"] = "false"
    marked = tap.stream_of(catalog, legacy)
    legacy_field = available(marked)[-1]
    tap.metadata(marked).pop("selected-by-default", None)
    marked["schema"]["selected"] = True
    marked["schema"]["properties"][legacy_field]["selected"] = False
    tap.metadata(tap.stream_of(catalog, unsaid))["selected-by-default"] = False
    if child:
        tap.metadata(tap.stream_of(catalog, child))["selected"] = True
    outcome = tap.run("--catalog", tap.file(catalog)).expect(0)
    fields = (as_text, refused_field, not_by_default, chosen_field, unsupported)
    return Edited(outcome, chosen, refused, legacy, legacy_field, unsaid, child, *fields)


def fields(outcome: Outcome, stream: str) -> set[str]:
    """Return the fields that were sent, after checking that SCHEMA and records agree."""
    declared = set(schemas(outcome)[stream]["schema"]["properties"])
    sent = {field for record in records(outcome, stream) for field in record}
    assert sent <= declared
    return sent


def test_c06_automatic_is_always_sent_and_unsupported_never(tap: TapRuns, edited: Edited) -> None:
    facts = tap.source.known_streams[edited.chosen]
    assert {*facts.key, facts.replication_key} <= fields(edited.outcome, edited.chosen)
    assert edited.unsupported not in schemas(edited.outcome)[edited.chosen]["schema"]["properties"]
    assert edited.unsupported not in fields(edited.outcome, edited.chosen)


def test_c07_the_strings_true_and_false_count(edited: Edited) -> None:
    assert edited.chosen in schemas(edited.outcome)
    assert edited.refused not in schemas(edited.outcome)
    assert not {edited.as_text, edited.refused_field} & fields(edited.outcome, edited.chosen)


def test_c08_selected_by_default_counts_where_the_user_said_nothing(edited: Edited) -> None:
    assert edited.not_by_default not in fields(edited.outcome, edited.chosen)
    assert edited.chosen_field in fields(edited.outcome, edited.chosen)
    assert edited.unsaid not in schemas(edited.outcome)


def test_c14_the_legacy_mark_inside_the_schema_is_read(tap: TapRuns, edited: Edited) -> None:
    assert len(records(edited.outcome, edited.legacy)) == len(tap.source.rows(edited.legacy))
    assert "selected" not in schemas(edited.outcome)[edited.legacy]["schema"]
    assert edited.legacy_field not in fields(edited.outcome, edited.legacy)


def test_c15_s18_what_a_user_has_not_selected_is_not_sent(tap: TapRuns) -> None:
    catalog = tap.catalog
    for number, stream in enumerate(catalog["streams"]):
        stream.pop("selected", None)
        tap.metadata(stream)["selected"] = number == 0
    first = catalog["streams"][0]
    left_out = available(first)[-1]
    tap.metadata(first, "properties", left_out)["selected"] = False
    outcome = tap.run("--catalog", tap.file(catalog)).expect(0)
    assert set(schemas(outcome)) == {first["stream"]}
    assert fields(outcome, first["stream"]) <= set(first["schema"]["properties"]) - {left_out}
    assert left_out not in schemas(outcome)[first["stream"]]["schema"]["properties"]


def test_c15_only_selected_streams_are_requested(tap: TapRuns) -> None:
    stream, _ = tap.source.facts(replication_key=None, parent=None)
    _, reads = tap.run_watched("--catalog", tap.file(tap.selecting({stream: True})))
    assert {read.stream for read in reads} == {stream}


def test_c15_a_stream_that_is_not_selected_may_be_broken(fresh: TapRuns) -> None:
    broken, _ = fresh.source.facts(ascends=True)
    stream, _ = fresh.source.facts(replication_key=None, parent=None)
    with fresh.source.broken(broken):
        outcome = fresh.run("--catalog", fresh.file(fresh.selecting({stream: True}))).expect(0)
    assert len(records(outcome, stream)) == len(fresh.source.rows(stream))


def test_s18_schema_carries_only_selected_fields(tap: TapRuns, edited: Edited) -> None:
    declared = set(schemas(edited.outcome)[edited.chosen]["schema"]["properties"])
    discovered = tap.stream_of(tap.catalog, edited.chosen)["schema"]["properties"]
    assert declared == set(discovered) - edited.left_out
    assert fields(edited.outcome, edited.chosen) == declared


def test_c17_a_child_works_when_its_parent_is_not_selected(tap: TapRuns, edited: Edited) -> None:
    if edited.child is None:
        tap.source.cannot("with a stream that is read for the rows of another")
    facts, rows = tap.source.known_streams[edited.child], tap.source.rows(edited.child)
    assert facts.parent == edited.unsaid
    assert not records(edited.outcome, edited.unsaid)
    sent = [key_of(record, facts) for record in records(edited.outcome, edited.child)]
    assert sorted(sent) == sorted(key_of(row, facts) for row in rows)


def test_select_rules_do_the_same_without_a_catalog(tap: TapRuns) -> None:
    known = tap.source.known_streams
    chosen, _ = tap.source.facts(ascends=True)
    other, _ = tap.source.facts(replication_key=None, parent=None)
    refused = next((name for name in known if name not in (chosen, other)), "no-other")
    text = tap.source.text_field(chosen)
    rules = [f"{chosen}.*", f"!{chosen}.{text[:-1]}*", f"{other[:-2]}*", f"!{refused}"]
    outcome = tap.run(config=tap.driver.with_select(tap.changed_config(), rules)).expect(0)
    assert set(schemas(outcome)) == {chosen, *fnmatch.filter(known, f"{other[:-2]}*")} - {refused}
    assert text not in fields(outcome, chosen)
    assert {*known[chosen].key, known[chosen].replication_key} <= fields(outcome, chosen)
    assert len(fields(outcome, chosen)) > len(known[chosen].key) + 1
    assert fields(outcome, other) == set(tap.source.rows(other)[0])


def test_select_rules_that_match_nothing_are_refused(tap: TapRuns) -> None:
    config = tap.driver.with_select(tap.changed_config(), ["no_such_stream"])
    outcome = tap.run(config=config)
    assert outcome.code == 78, str(outcome)
    assert "no_such_stream" in outcome.last_words, str(outcome)
