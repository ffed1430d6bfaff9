"""Inferred schemas in the state: a container without a disk that stays asks for first pages once."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taps.rest.api_server import Asked, Reply, Table, dated, json_reply
from taps.rest.drive import Drive, drive

from singerkit_catalog.inference import SchemaInference
from singerkit_state.edit import with_stream
from tap_rest.schema.words import from_words, in_words

__all__ = ["drive"]

STREAM = dated("rows")
IN_STATE: dict[str, Any] = {"infer": {"keep_in": "state"}}


def rows(*days: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": day, "at": f"2026-01-{day:02d}T00:00:00Z", "in": {"no": [day]}, **more} for day in days]


def kept(run: Drive, stream: str = "rows") -> Any:
    return run.state["bookmarks"][stream]["_singerkit_read"]["source"].get("schema")


def schemas(run: Drive) -> list[Any]:
    return [message["schema"] for message in run.messages if message["type"] == "SCHEMA"]


def filtered(run: Drive) -> list[bool]:
    """Of each request, whether it asked from the bookmark on."""
    return [asked.param("since") is not None for asked in run.api.asked]


def test_the_second_run_asks_only_for_what_is_new(drive: Callable[..., Drive], tmp_path: Path) -> None:
    table = Table(rows(1, 2))
    run = drive(table).run(STREAM, **IN_STATE)
    assert kept(run)[1] == {"id": "integer!", "at": "string date-time", "in": {"no": ["integer"]}}
    first = schemas(run)
    table.rows += rows(3)
    again = run.run(STREAM, state=run.state, **IN_STATE)
    assert (again.code, again.ids(), filtered(again), schemas(again)) == (0, [3], [True], first)
    assert not again.warnings
    assert not (tmp_path / "schemas").exists()
    without = run.run(STREAM, state={"bookmarks": {}}, **IN_STATE)
    assert schemas(without) == first


def test_what_widens_a_schema_in_mid_run_is_in_the_state(drive: Callable[..., Drive]) -> None:
    table = Table(rows(1, 2))
    run = drive(table).run(STREAM, **IN_STATE)
    table.rows += rows(3, note="x", id="c")
    run.run(STREAM, state=run.state, **IN_STATE)
    assert "its schema grows" in run.warnings
    assert "remove" not in run.warnings
    third = run.run(STREAM, state=run.state, **IN_STATE)
    assert kept(third)[1] == {
        "id": "integer string!",
        "at": "string date-time",
        "in": {"no": ["integer"]},
        "note": "string",
    }
    assert (third.warnings, filtered(third), len(schemas(third))) == ("", [True], 1)


@pytest.mark.parametrize("is_read_only", [True, False], ids=["a folder that takes nothing", "a new disk"])
def test_the_state_has_it_where_the_folder_does_not_stay(
    drive: Callable[..., Drive], tmp_path: Path, is_read_only: bool
) -> None:
    (tmp_path / "file").touch()
    disks = [str(tmp_path / ("file" if is_read_only else f"disk{n}") / "x") for n in range(3)]
    if not is_read_only:
        for disk in disks:  # another pipeline was there first
            Path(disk).mkdir(parents=True)
    run = drive(Table(rows(1, 2))).run(STREAM, schema_cache=disks[0])
    assert (kept(run) is not None) == is_read_only
    assert ("the state keeps the schema" in run.warnings) == is_read_only
    second = run.run(STREAM, state=run.state, schema_cache=disks[1])
    assert filtered(second) == ([True] if is_read_only else [False, True])
    third = run.run(STREAM, state=run.state, schema_cache=disks[2])
    assert (filtered(third), third.warnings) == ([True], "")


def test_a_folder_that_stays_leaves_the_state_small(drive: Callable[..., Drive], tmp_path: Path) -> None:
    run = drive(Table(rows(1, 2))).run(STREAM)
    run.run(STREAM, state=run.state)
    assert kept(run) is None
    state = run.run(STREAM, state=run.state, **IN_STATE).state
    known = kept(run)
    assert known
    # Two machines, one of which has a folder: the state keeps it, unless somebody says otherwise.
    assert kept(run.run(STREAM, state=state)) == known
    (tmp_path / "other").mkdir()
    never = {"infer": {"keep_in": "folder"}, "schema_cache": str(tmp_path / "other")}
    said = run.run(STREAM, state=state, **never)
    assert filtered(said) == [False, True]
    assert kept(said) == []


def test_what_another_path_has_shown_is_no_schema_of_this_one(drive: Callable[..., Drive]) -> None:
    run = drive(Table(rows(1, 2)), other=Table(rows(1, 2, 3, name="x"))).run(STREAM, **IN_STATE)
    first = kept(run)
    moved = run.run(STREAM | {"path": "/other"}, state=run.state, **IN_STATE)
    assert filtered(moved) == [False, True]
    assert kept(moved)[0] != first[0]
    assert kept(moved)[1]["name"] == "string"


def test_another_secret_in_the_path_is_no_other_place(drive: Callable[..., Drive]) -> None:
    stream = STREAM | {"path": "/rows?token=secret-of-today-1"}
    run = drive(Table(rows(1, 2))).run(stream, **IN_STATE)
    again = run.run(stream | {"path": "/rows?token=secret-of-tomorrow-2"}, state=run.state, **IN_STATE)
    assert filtered(again) == [True]


@pytest.mark.parametrize("words", ["integer", {"id": 7}, {"id": ["x", "y"]}, {"id": [{}, 1, 2]}])
def test_words_of_others_are_none(words: Any, drive: Callable[..., Drive]) -> None:
    run = drive(Table(rows(1, 2))).run(STREAM, **IN_STATE)
    state, first = copy.deepcopy(run.state), kept(run)
    state["bookmarks"]["rows"]["_singerkit_read"]["source"]["schema"][1] = words
    again = run.run(STREAM, state=state, **IN_STATE)
    assert (again.code, filtered(again), kept(again)) == (0, [False, True], first)


def test_a_parent_that_is_not_sent_and_fields_that_are_not_are_known_too(
    drive: Callable[..., Drive],
) -> None:
    def lines(asked: Asked) -> Reply:
        return json_reply([{"no": 1, "of": asked.path}])

    child = {
        "name": "lines",
        "path": "/rows/{parent.id}/lines",
        "parent": {"stream": "rows", "read": "changed"},
        "primary_keys": ["rows_id", "no"],
    }
    more = {"rows/1/lines": lines, "rows/2/lines": lines}
    select = {"select": ["lines", "!lines.of"], **IN_STATE}
    run = drive(Table(rows(1, 2)), **more).run(STREAM, child, **select)
    again = run.run(STREAM, child, state=run.state, **select)
    assert [(one.path, one.param("since") is not None) for one in again.api.asked][:1] == [("/rows", True)]
    assert "grows" not in again.warnings
    assert kept(again, "lines")[1] == {"no": "integer!", "of": "string", "rows_id": "integer!"}
    assert kept(again)[1]["in"] == {"no": ["integer"]}


def test_a_schema_that_is_too_large_is_not_kept(drive: Callable[..., Drive]) -> None:
    wide = {f"field {n:05d}": n for n in range(2000)}
    run = drive(Table(rows(1, **wide))).run(STREAM, **IN_STATE)
    assert "too large for the state" in run.warnings
    assert kept(run) is None


def test_a_state_that_somebody_sets_keeps_the_schema(drive: Callable[..., Drive]) -> None:
    run = drive(Table(rows(1, 2))).run(STREAM, **IN_STATE)
    earlier = {"replication_key": "at", "replication_key_value": "2026-01-01T00:00:00Z"}
    state = json.loads(with_stream("rows", earlier)(json.dumps(run.state)))
    again = run.run(STREAM, state=state, **IN_STATE)
    assert (again.ids(), filtered(again)) == ([1, 2], [True])


def test_no_cache_beside_the_state(drive: Callable[..., Drive], tmp_path: Path) -> None:
    run = drive(Table(rows(1))).run(STREAM, schema_cache=str(tmp_path), **IN_STATE)
    assert (run.code, run.api.asked) == (78, [])
    assert "`schema_cache` has no effect" in run.sentence


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.floats(0, 1) | st.sampled_from(["x", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab!"), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "v", "as it is"]), VALUES, max_size=3), max_size=4))
def test_words_tell_every_schema_that_is_inferred(records: list[dict[str, Any]]) -> None:
    inference = SchemaInference()
    inference.observe([json.dumps(record).encode() for record in records])
    schema = inference.schema(["id"])
    assert {"type": "object", "properties": {}} | {
        "properties": from_words(in_words({**schema, "type": ["null", "object"]}))["properties"]
    } == schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["null", "string"], "x-sql-datatype": "text"},
        {"anyOf": [{"type": "string"}, {"type": "object"}]},
        {"type": ["string", "null"]},
        {"type": "object", "properties": {}},
        {"type": ["null", "array"], "items": [{"type": "integer"}]},
        {},
        True,
    ],
)
def test_a_schema_that_no_words_tell_stays_as_it_is(schema: Any) -> None:
    fields = {"type": ["null", "object"], "properties": {"a": schema}}
    assert from_words(in_words(fields)) == fields
