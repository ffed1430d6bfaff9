"""Runs with STATEs between them are mapped as one, and come out as if each had been mapped by itself."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from hypothesis import given, settings
from hypothesis import strategies as st
from mappers.map.test_both_places import FIELDS, OPERATIONS, RECORDS, usable
from sampling import tries

from singerkit_map.jsontexts import loads
from singerkit_map.mapper import IN_PIPE, Mapper
from singerkit_map.reading import read_map
from singerkit_map.records import RecordReader
from singerkit_map.stretches import stretches
from singerkit_shell.errors import BadDataError
from singerkit_wire.batch import Letters
from singerkit_wire.lines import Chunk
from singerkit_wire.messages import Run, Splitter

MESSAGES = st.one_of(
    RECORDS.map(lambda one: RECORD("s", one)),
    RECORDS.map(lambda one: {**RECORD("s", one), "version": 1}),
    RECORDS.map(lambda one: RECORD("t", one)),
    st.just(STATE({"at": 1})),
)


def what_comes_out(said: Any, lines: list[Any], monkeypatch: pytest.MonkeyPatch | None = None) -> list[Any]:
    """Return each part that comes out, in order, and how it ended."""
    log = logging.getLogger("stretches")
    log.setLevel(logging.CRITICAL)
    mapper = Mapper(read_map(said), log, IN_PIPE)
    if monkeypatch is not None:
        monkeypatch.setattr(mapper, "_at_once", lambda _stretch: {})
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    found: list[Any] = []
    try:
        for part in mapper.parts(Splitter().split(Chunk(data, len(lines), 1, 0))):
            if isinstance(part, Letters):
                found += [(one.line, one.path, one.reason, one.record) for one in part.rejects]
            elif isinstance(part, Run):
                records = [loads(line) for line in part.data.splitlines()]
                found += [(part.stream, part.line_number(at), one) for at, one in enumerate(records)]
            else:
                found.append(part.line)
    except BadDataError as error:
        found.append(str(error))
    return [*found, mapper.nulls()]


@settings(max_examples=tries(40), deadline=None)
@given(
    operations=st.lists(st.sampled_from(OPERATIONS), max_size=4, unique_by=str),
    on_error=st.sampled_from(["fail", "quarantine", "null"]),
    messages=st.lists(MESSAGES, max_size=16),
)
def test_what_is_mapped_as_one_comes_out_as_each_by_itself(
    operations: Any, on_error: str, messages: Any
) -> None:
    said = usable(operations, on_error=on_error)
    said["streams"]["t"] = said["streams"]["s"]
    lines = [SCHEMA("s", FIELDS, ["id"]), SCHEMA("t", FIELDS, ["id"]), *messages]
    with pytest.MonkeyPatch.context() as patch:
        by_themselves = what_comes_out(said, lines, patch)
    assert what_comes_out(said, lines) == by_themselves


def test_runs_between_states_are_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"streams": {"*": [{"op": "rename", "from": "a", "to": "b"}]}}
    states = [
        one
        for id_ in range(9)
        for one in (RECORD("s", {"id": id_}), RECORD("t", {"id": id_}), STATE({"at": id_}))
    ]
    lines = [SCHEMA("s", FIELDS, ["id"]), SCHEMA("t", FIELDS, ["id"]), *states]
    calls: list[int] = []
    read = RecordReader.block
    monkeypatch.setattr(
        RecordReader, "block", lambda self, run, place: calls.append(run.lines) or read(self, run, place)
    )
    out = what_comes_out(said, lines)
    assert calls == [9, 9]
    assert len(out) == len(lines) + 1


def test_what_stands_before_a_malformed_line_is_there() -> None:
    def parts() -> Any:
        yield Run("s", b"", 1, 1)
        raise BadDataError("no message")

    found = stretches(parts())
    assert [one.first_line for one in next(found)] == [1]
    with pytest.raises(BadDataError):
        next(found)
