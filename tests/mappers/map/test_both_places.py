"""A map in the pipe and the same map in a target: one engine, so one result, whatever comes, in whatever pieces, and where units are lost."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from hypothesis import given, settings
from hypothesis import strategies as st
from mappers.map.mapping import Mapped, record_line, schema_line
from msgspec import Raw
from sampling import tries
from targets.shared.test_databases import Database, target
from targets.shared.test_load import Limits, Memory, Pieces

from singerkit_map.jsontexts import loads
from singerkit_map.mapper import IN_TARGET, Mapper
from singerkit_map.reading import read_map
from singerkit_map.records import RecordReader
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.signals import StopFlag
from singerkit_state.value import decode, without_mark
from singerkit_target.contract import UnitLost
from singerkit_target.load import Load
from singerkit_target.mapping import MapOfTarget
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from singerkit_wire.columns import Columns

__all__ = ["target"]

LOG = logging.getLogger("both")
LOG.setLevel(logging.CRITICAL)
TEXT, NUMBER = {"type": ["string", "null"]}, {"type": ["number", "null"]}
INNER = {"type": ["object", "null"], "properties": {"c": TEXT}}
FIELDS = {
    "id": {"type": "integer"},
    "a": TEXT,
    "n": NUMBER,
    "o": INNER,
    "l": {"type": ["array", "null"], "items": INNER},
}
OPERATIONS = [
    {"op": "rename", "from": "a", "to": "b"}, {"op": "drop", "fields": ["n", "o.c"]}, {"op": "copy", "from": "o.c", "to": "c"},
    {"op": "cast", "field": "a", "to": "integer"}, {"op": "cast", "field": "n", "to": "text"}, {"op": "cast", "field": "l[].c", "to": "number"},
    {"op": "filter", "field": "n", "is": "at_least", "value": 1}, {"op": "filter", "field": "a", "is": "not_equal", "value": "x"},
    {"op": "explode", "field": "l", "position": "p"}, {"op": "flatten", "field": "o"}, {"op": "dedupe", "key": ["id"], "order_by": "n"},
    {"op": "constant", "field": "k", "value": "K"}, {"op": "keep", "fields": ["id", "a", "n", "o", "l"]}, {"op": "mask", "field": "a"},
    {"op": "default", "field": "a", "value": "none", "missing": True},
]  # fmt: skip
PLACES = ["a", "n", "o", "l"]
VALUES: Any = {
    "id": st.integers(0, 3),
    "a": st.sampled_from([None, "", "x", "7", "07", "\u00e9\U0001f600", "\ud800", 5]),
    "n": st.sampled_from([None, 0, 1, 1.5, 10**25, -2.25, "x"]),
    "o": st.sampled_from([None, {}, {"c": "x"}, {"c": None, "d": 1}, "no object"]),
    "l": st.sampled_from([None, [], [{"c": "1"}, {}], [{"c": "x"}], [None]]),
    "z": st.just([1]),
}
RECORDS = st.fixed_dictionaries(
    {"id": VALUES["id"]}, optional={name: VALUES[name] for name in [*PLACES, "z"]}
)
MESSAGES = st.one_of(
    st.builds(lambda one: {"type": "RECORD", "stream": "s", "record": one}, RECORDS),
    st.builds(lambda one: {"type": "RECORD", "stream": "t", "record": one}, RECORDS),
    st.just("state"),
)


def usable(operations, **said):
    """Return a map of those operations that can be done one after the other."""
    found: list[Any] = []
    schema = json.dumps(SCHEMA("s", FIELDS, ["id"])).encode() + b"\n"
    for one in operations:
        try:
            Mapped({"streams": {"s": [*found, one]}, **said}, schema)
            found.append(one)
        except ConfigurationError:
            continue
    return {"streams": {"s": found}, **said}


class Loaded:
    """What a load came to: rows, letters, the last state without its mark, how it ended."""

    def __init__(self, data, said=None, chunk=1 << 20, commit_rows=10**9, lost=()):
        self.loader = Memory()
        self.loader.troubles["write"] = [UnitLost("lost") if one else None for one in lost]
        mapping = None if said is None else MapOfTarget(Mapper(read_map(said), LOG, IN_TARGET), LOG)
        limits = Limits(commit_rows=commit_rows, commit_seconds=10**9, chunk_bytes=chunk)
        judgement = Judgement(quarantine=True, extra="load")
        load = Load(
            self.loader, judgement, limits, Publisher(None, io.StringIO()), StopFlag(), LOG, mapping=mapping
        )
        source = Pieces(data)
        source.size = chunk
        self.error: Any = None
        try:
            load.run(source)
        except BadDataError as error:
            self.error = error

    @property
    def rows(self):
        return {
            name: [tuple(map(_text, row)) for row in rows]
            for name, rows in self.loader.committed.items()
            if rows
        }

    @property
    def letters(self):
        return [(one.stream, one.path, one.reason, one.record) for one in self.loader.letters]

    @property
    def state(self):
        return None if self.loader.state is None else without_mark(decode(self.loader.state))


def _text(value):
    """Values stand on the wire in several ways."""
    return repr(loads(bytes(value)) if isinstance(value, Raw) else value)


@settings(max_examples=tries(30), deadline=None)
@given(
    operations=st.lists(st.sampled_from(OPERATIONS), max_size=5, unique_by=str),
    on_error=st.sampled_from(["fail", "quarantine", "null"]),
    messages=st.lists(MESSAGES, max_size=20),
    chunk=st.sampled_from([200, 1 << 20]),
    commit_rows=st.sampled_from([1, 10**9]),
    lost=st.lists(st.booleans(), max_size=3),
)
def test_the_same_rows_letters_and_state_in_both_places(
    operations, on_error, messages, chunk, commit_rows, lost
):
    said = usable(operations, on_error=on_error)
    lines = [SCHEMA("s", FIELDS, ["id"]), SCHEMA("t", FIELDS, ["id"])]
    lines += [STATE({"at": n}) if one == "state" else one for n, one in enumerate(messages)]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    here = Loaded(data, said, chunk, commit_rows, lost)
    mapped = Mapped(said, data, 3, keeps_what_came_before=True)
    there = Loaded(mapped.text, None, chunk, commit_rows)
    assert (here.error is None) == (mapped.error is None and there.error is None)
    if here.error is None:
        assert (here.rows, here.state) == (there.rows, there.state)
        wanted = [(one.stream, one.path, one.reason, one.record) for one in mapped.letters]
        assert sorted(here.letters) == sorted([*wanted, *there.letters])
    elif commit_rows == 1:  # a map in the pipe ends it as a tap that has died
        assert here.state == there.state or here.state is None


@settings(max_examples=tries(25), deadline=None)
@given(
    operations=st.lists(st.sampled_from(OPERATIONS), max_size=4, unique_by=str),
    records=st.lists(
        st.tuples(RECORDS, st.sampled_from([{}, {"version": 1}, {"time_extracted": "2024"}]), st.booleans()),
        max_size=8,
    ),
)
def test_each_way_of_reading_lines_gives_the_same(operations, records):
    """All lines of a run at once, and lines one by one."""
    said = usable(operations, on_error="quarantine")
    data = b"".join(
        json.dumps(
            {"type": "RECORD", "stream": "s", "record": record, **more},
            separators=None if spaced else (",", ":"),
        ).encode()
        + b"\n"
        for record, more, spaced in records
    )
    data = json.dumps(SCHEMA("s", FIELDS, ["id"])).encode() + b"\n" + data
    made = []
    for ways in ([], ["_at_once"]):
        with pytest.MonkeyPatch.context() as patch:
            for way in ways:
                patch.setattr(RecordReader, way, lambda _self, _run: None)
            one = Mapped(said, data)
            made.append(
                (one.messages, [(letter.line, letter.path, loads(letter.record)) for letter in one.letters])
            )
    assert made[0] == made[1]


PEOPLE = [
    {"op": "drop", "fields": ["ssn"]},
    {"op": "rename", "from": "mail", "to": "email"},
    {"op": "mask", "field": "card", "keep_last": 2},
    {"op": "cast", "field": "age", "to": "integer"},
    {"op": "filter", "field": "age", "is": "at_least", "value": 18},
    {"op": "rename_stream", "to": "people"},
]
USERS = SCHEMA(
    "users", {"id": {"type": "integer"}, "mail": TEXT, "ssn": TEXT, "card": TEXT, "age": TEXT}, ["id"]
)


def user(id_, **more):
    return RECORD(
        "users",
        {"id": id_, "mail": f"m{id_}", "ssn": "SECRET", "card": "4111222233334444", "age": "20", **more},
    )


def test_a_map_in_a_database_target(target: Database) -> None:
    """Renamed streams have their tables, what is set aside shows nothing that was to be hidden, and the state says which map it was."""
    said = {"streams": {"users": PEOPLE, "nobody*": []}, "on_error": "quarantine"}
    done = target.run(
        USERS, user(1), user(2, age="17"), user(3, age="old"), STATE({"users": 3}), map=said
    ).expect(0)
    assert target.query("SELECT id, email, card, age FROM people") == [(1, "m1", "**************44", 20)]
    ((stream, path, reason, record),) = target.query(
        "SELECT stream, path, reason, record FROM _singerkit_rejects"
    )
    assert (stream, path) == ("people", "$.age")
    assert "`map.streams.users[3]`" in reason
    assert "SECRET" not in str(record)
    assert "4111" not in str(record)
    assert "`nobody*` at `map.streams` matched no stream of this run" in done.stderr
    again = target.run(USERS, user(4), STATE({"users": 4}), map=said).expect(0)
    assert "went through" not in again.stderr
    other = {"streams": {"users": PEOPLE[1:]}}
    changed = target.run(USERS, user(5), STATE({"users": 5}), map=other | {"on_map_change": "fail"}).expect(
        78
    )
    assert "went through another map" in changed.stderr
    assert (
        "went through another way than those of this run"
        in target.run(USERS, STATE({"users": 5})).expect(0).stderr
    )
    assert target.query("SELECT id FROM people ORDER BY id") == [(1,), (4,)]


def test_a_bad_record_leaves_what_was_committed_before_it(target: Database) -> None:
    said = {"streams": {"users": PEOPLE}}
    done = target.run(
        USERS, user(1), STATE({"users": 1}), user(2), user(3, age="old"), STATE({"users": 3}), map=said
    ).expect(65)
    assert target.query("SELECT id FROM people") == [(1,)]
    assert (
        "Expected the text of a number at users.$.age (line 5), where `map.streams.users[3]` is at work"
        in done.stderr
    )
    assert done.stdout.splitlines()[-1].startswith(b'{"users":1,')


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"streams": {"users": [{"op": "rename", "from": "mial", "to": "x"}]}},
            "did you mean `mail`?, at `map.streams.users[0].from`",
        ),
        (
            {"streams": {"users": [{"op": "rname"}]}},
            "There is no operation `rname` at `map.streams.users[0].op`",
        ),
        ({"stream": {}}, "There is no setting `map.stream`"),
    ],
)
def test_a_map_that_cannot_be_ends_before_a_row_is_read(target: Database, said: Any, sentence: str) -> None:
    assert sentence in target.run(USERS, user(1), STATE({"users": 1}), map=said).expect(78).stderr


def test_a_renamed_stream_is_known_in_the_state_by_both_names(target: Database) -> None:
    """What a state says of a stream guards its table: it was lost with exit 0 where the state had another name."""
    said = {"streams": {"users": [{"op": "rename_stream", "to": "people"}]}}
    mark = {"run": "r", "pipeline": "default", "complete": True}

    def state(id_: int | None, *, complete: bool = True) -> Any:
        bookmarks = {} if id_ is None else {"users": {"replication_key": "id", "replication_key_value": id_}}
        return {
            "type": "STATE",
            "value": {"bookmarks": bookmarks, "_singerkit": mark | {"complete": complete}},
        }

    def run(*messages: Any, **config: Any) -> Any:
        return target.run(*messages, map=said, **config)

    run(state(None, complete=False), USERS, user(1), user(2), state(2)).expect(0)
    overwritten = run(
        state(2, complete=False), USERS, user(3), state(3), load_method={"people": "overwrite"}
    ).expect(78)
    assert (
        "Stream `people` is overwritten (`load_method`), and by its state a run brings what is new"
        in overwritten.stderr
    )
    assert "--start-over --stream users" in overwritten.stderr
    assert target.query("SELECT id FROM people ORDER BY id") == [(1,), (2,)]
    target.query("DROP TABLE people")
    gone = run(state(2, complete=False), USERS, user(3), state(3)).expect(69)
    assert "people" in gone.stderr
    assert "--start-over --stream users" in gone.stderr


def test_files_of_a_batch_go_through_the_map_of_a_target(tmp_path: Any) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text('{"id":1,"a":"7"}\n{"id":2,"a":"x"}\n')
    batch = {"type": "BATCH", "stream": "s", "encoding": {"format": "jsonl"}, "manifest": [str(file)]}
    data = "".join(
        json.dumps(line) + "\n" for line in (SCHEMA("s", FIELDS, ["id"]), batch, STATE({"s": 1}))
    ).encode()
    cast = [{"op": "cast", "field": "a", "to": "integer"}, {"op": "rename_stream", "to": "t"}]
    loaded = Loaded(data, {"streams": {"s": cast}, "on_error": "quarantine"}, lost=[True])
    assert [row[:2] for row in loaded.rows["t"]] == [("1", "7")]
    assert [(stream, path) for stream, path, *_ in loaded.letters] == [("t", "$.a")]
    assert f"That line is one of the batch file `{file}`" in str(Loaded(data, {"streams": {"s": cast}}).error)
    with pytest.raises(ConfigurationError, match="`dedupe` has no effect on the files of a BATCH"):
        Loaded(data, {"streams": {"s": [{"op": "dedupe", "key": ["id"]}]}})


def test_values_that_became_null_are_told_in_the_target_too_at_whatever_end(caplog):
    caplog.set_level(logging.WARNING, logger=LOG.name)
    data = schema_line("s", {"id": {"type": "integer"}, "a": {"type": "string"}}, ["id"])
    data += record_line("s", {"id": 1, "a": "x"}) + b'{"type":"STATE","value":{"bookmarks":{"s":1}}}\n'
    cast = {"op": "cast", "field": "a", "to": "integer"}
    loaded = Loaded(data + b"no message\n", {"streams": {"s": [cast]}, "on_error": "null"})
    assert (len(loaded.rows["s"]), loaded.error is None) == (1, False)
    assert "Stream `s`: 1 bad value of `a` became null" in caplog.text


def test_a_unit_that_is_lost_is_written_again_out_of_columns(monkeypatch: Any) -> None:
    monkeypatch.setattr(Columns, "data", property(lambda _self: pytest.fail("lines were written")))
    lines = [SCHEMA("s", FIELDS, ["id"]), *(RECORD("s", {"id": id_, "a": str(id_)}) for id_ in range(40))]
    data = "".join(json.dumps(line) + "\n" for line in (*lines, STATE({"s": 40}))).encode()
    cast = [{"op": "cast", "field": "a", "to": "integer"}]
    loaded = Loaded(data, {"streams": {"s": cast}}, chunk=500, lost=[False, True])
    assert loaded.error is None
    assert [row[:2] for row in loaded.rows["s"]] == [(str(id_), str(id_)) for id_ in range(40)]
    assert loaded.loader.calls.count("recover") == 1


def test_a_target_has_no_line_written_again(monkeypatch: Any) -> None:
    """Columns of a map go into its decoder as they are, those of many units joined; only what is odd is written as lines."""
    monkeypatch.setattr(Columns, "data", property(lambda _self: pytest.fail("lines were written")))
    operations = [
        {"op": "rename", "from": "a", "to": "b"},
        {"op": "drop", "fields": ["o"]},
        {"op": "cast", "field": "n", "to": "text"},
    ]
    records = [
        RECORD("s", {"id": 1, "a": "x", "n": 1.10, "o": {"c": "x"}, "l": []}),
        RECORD("s", {"id": 2, "a": "\u00e9", "n": None, "o": None, "l": None}),
        STATE({"s": 2}),
        RECORD("s", {"id": 3, "a": "y\\/\u0001", "n": 1e5}),
        STATE({"s": 3}),
    ]
    data = "".join(json.dumps(line) + "\n" for line in (SCHEMA("s", FIELDS, ["id"]), *records)).encode()
    loaded = Loaded(data, {"streams": {"s": operations}})
    assert loaded.error is None
    texts = [("1", "'x'", "'1.1'"), ("2", "'é'", "None"), ("3", repr("y\\/\x01"), "'100000.0'")]
    assert [row[:3] for row in loaded.rows["s"]] == texts
