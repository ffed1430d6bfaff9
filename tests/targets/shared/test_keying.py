"""`key_properties`: a stream is given a key, of its fields or of the whole row (docs/target-postgres/keys.md)."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from targets.shared.test_databases import INTEGER, MOMENT, TEXT, Database, target

from singerkit_sql_target.keying import row_hashes
from singerkit_wire.blocks import BlockDecoder, Judgement
from singerkit_wire.messages import Run
from singerkit_wire.stream import stream_of

__all__ = ["target"]

WHOLE: dict[str, Any] = {"key_properties": {"s": "*"}}
FIELDS = {
    "n": {"type": ["number", "null"]},
    "i": INTEGER,
    "t": TEXT,
    "d": {},
    "at": MOMENT,
    "b": {"type": "boolean"},
}


def hashes(*records: str, exact: bool = False, **fields: Any) -> list[str]:
    """The hashes of records, which are JSON, of a stream that has ``fields``, too."""
    stream = stream_of("s", {"properties": {**FIELDS, **fields}}, ())
    lines = "".join(
        f'{{"type": "RECORD", "stream": "s", "record": {record}}}\n' for record in records
    ).encode()
    decoder = BlockDecoder(
        stream, Judgement(), lambda stream: stream, logging.getLogger(), always_exact=exact
    )
    batches, rejects = decoder.decode(Run("s", lines, len(records), 1))
    assert not rejects
    return [str(found) for batch in batches for found in row_hashes(batch)]


@pytest.mark.parametrize("exact", [False, True])
def test_one_row_has_one_hash_however_it_is_written(exact: bool) -> None:
    same = [
        '{"n": 1, "i": 7, "t": "a\\u00e9\\n", "d": {"a": 1.0, "b": [1, null]}, "at": "2026-01-01T00:00:00Z", "b": true}',
        '{"b": true, "at": "2026-01-01T01:00:00.000+01:00", "d": {"b": [1.0, null], "a": 1}, "t": "aé\\n", "i": 7, "n": 1.00}',
        '{"n": 10e-1, "i": 7, "t": "aé\\u000a", "d": {"a": 10e-1, "b": [1, null]}, "at": "2026-01-01T00:00:00+00:00", "b": true}',
    ]
    assert len({*hashes(*same, exact=exact)}) == 1
    assert len({*hashes(*same, exact=exact, new=TEXT)} | {*hashes(*same, exact=exact)}) == 1, (
        "a column that is null"
    )
    assert hashes('{"i": 1}', exact=exact) == hashes(
        '{"i": 1, "t": null, "_sdc_deleted_at": null}', exact=exact
    )
    others = [
        '{"t": "1"}',
        '{"n": 1}',
        '{"i": 1}',
        '{"d": 1}',
        '{"d": "1"}',
        '{"d": [1]}',
        '{"t": ""}',
        "{}",
        '{"b": true}',
        '{"d": true}',
    ]
    assert len({*hashes(*others, exact=exact)}) == len(others)
    long = [f'{{"n": 1{"0" * 30}}}', f'{{"n": 1{"0" * 29}1}}', '{"n": 0.1}', '{"n": 0.10000000000000000555}']
    inside = [line.replace('"n": ', '"d": ') for line in long]
    assert len({*hashes(*long, *inside, exact=exact)}) == 8, "no digit is lost"


def test_hashes_are_those_of_each_release() -> None:
    """Rows that are stored are known by them: whoever changes this has each row of such a table twice."""
    assert hashes(
        '{"i": 1}',
        '{"t": "aé", "n": 1.50, "at": "2026-01-01T01:00:00.5+01:00", "d": {"b": 1, "a": null}}',
        "{}",
    ) == [
        "0b549edd-218c-251f-5119-34cc2f3bc5c7",
        "5655f712-dec4-e55e-3593-c90ce5dc27af",
        "44136fa3-55b3-678a-1146-ad16f7e8649e",
    ]


def test_a_row_that_comes_again_is_there_once(target: Database) -> None:
    own = SCHEMA("s", FIELDS)
    rows = [
        RECORD("s", {"i": 1, "t": "a", "b": True}),
        RECORD("s", {"i": 1, "b": True}),
        RECORD("s", {"i": 2, "n": 1.5, "b": False}),
    ]
    target.run(own, *rows, rows[0], STATE({"x": 1}), **WHOLE).expect(0)
    target.run(own, *rows[1:], RECORD("s", {"i": 3, "b": True}), STATE({"x": 2}), **WHOLE).expect(0)
    assert target.query("SELECT i, t FROM s ORDER BY i, t NULLS LAST") == [
        (1, "a"),
        (1, None),
        (2, None),
        (3, None),
    ]
    more = SCHEMA("s", {**FIELDS, "new": TEXT})
    target.run(
        more, rows[0], RECORD("s", {"i": 1, "t": "a", "b": True, "new": "x"}), STATE({"x": 3}), **WHOLE
    ).expect(0)
    assert target.query("SELECT count(*), count(DISTINCT _sdc_row_hash) FROM s") == [(5, 5)]
    gone = RECORD("s", {"i": 3, "b": True, "_sdc_deleted_at": "2026-01-01T00:00:00Z"})
    target.run(more, gone, STATE({"x": 4}), hard_delete=True, **WHOLE).expect(0)
    assert target.query("SELECT count(*) FROM s WHERE i = 3") == [(0,)]
    assert "told apart by `_sdc_row_hash`" in target.run(own, *rows, STATE({"x": 5})).expect(65).last_words


def test_rows_that_were_loaded_without_a_hash_are_told_of(target: Database) -> None:
    own = SCHEMA("s", {"i": INTEGER})
    target.run(own, RECORD("s", {"i": 1}), STATE({"x": 1})).expect(0)
    refused = target.run(own, RECORD("s", {"i": 1}), STATE({"x": 2}), **WHOLE).expect(65)
    assert "_sdc_row_hash" in refused.last_words
    assert target.query("SELECT i FROM s") == [(1,)]


def test_a_stream_without_a_key_is_told_once_what_its_loads_do(target: Database) -> None:
    own = SCHEMA("s", {"i": INTEGER})
    said = "has no key and is read without a bookmark"
    loads = [own, RECORD("s", {"i": 1}), STATE({"bookmarks": {"s": {}}})]
    assert target.run(*loads).expect(0).stderr.count(said) == 1
    assert said not in target.run(*loads).expect(0).stderr
    assert target.query("SELECT i FROM s") == [(1,), (1,)]
    for name, config in (("a", {"load_method": "append"}), ("b", {"key_properties": {"b": "*"}})):
        other = [SCHEMA(name, {"i": INTEGER}), RECORD(name, {"i": 1}), STATE({"x": 1})]
        assert said not in target.run(*other, pipeline=name, **config).expect(0).stderr
    incremental = SCHEMA("inc", {"i": INTEGER}) | {"bookmark_properties": ["i"]}
    assert (
        said
        not in target.run(incremental, RECORD("inc", {"i": 1}), STATE({"x": 1}), pipeline="inc")
        .expect(0)
        .stderr
    )


def test_fields_are_the_key_that_the_tap_does_not_say(target: Database) -> None:
    own = SCHEMA("s", {"i": INTEGER, "t": TEXT})
    by = {"key_properties": {"*": ["i"], "log_*": None, "z": "*"}, "on_invalid": "quarantine"}
    messages = [RECORD("s", {"i": 1, "t": "a"}), RECORD("s", {"i": 1, "t": "b"}), RECORD("s", {"t": "c"})]
    outcome = target.run(own, *messages, STATE({"x": 1}), **by).expect(0)
    assert target.query("SELECT i, t FROM s") == [(1, "b")]
    assert target.query("SELECT path FROM _singerkit_rejects") == [("$.i",)]
    assert "`key_properties` names `z`" in outcome.stderr
    keyed = SCHEMA("s", {"i": INTEGER, "t": TEXT}, ["t"])
    target.run(keyed, RECORD("s", {"i": 1, "t": "d"}), STATE({"x": 2}), **by).expect(0)
    assert target.query("SELECT i, t FROM s") == [(1, "d")]


def test_the_rows_of_lists_are_known_by_the_key_that_their_stream_is_given(target: Database) -> None:
    own = SCHEMA(
        "s", {"i": INTEGER, "l": {"type": "array", "items": {"type": "object", "properties": {"v": INTEGER}}}}
    )
    config: dict[str, Any] = {"nested": {"s": "child_tables"}, "key_properties": {"*": ["i"]}}
    for values in ([1, 2], [3]):
        record = RECORD("s", {"i": 1, "l": [{"v": value} for value in values]})
        target.run(own, record, STATE({"x": values[0]}), **config).expect(0)
    assert target.query("SELECT v FROM s__l") == [(3,)]
    refused = target.run(own, RECORD("s", {"i": 1}), **{**config, "key_properties": {"*": "*"}}).expect(78)
    assert "has no key, by which the rows of its lists" in refused.last_words


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (
            {"key_properties": {"s": ["ii"]}},
            "a field of stream `s` at `key_properties`, got `ii` (did you mean `i`?)",
        ),
        ({"key_properties": {"s": ["i"]}, "load_method": "append"}, "one that `load_method` appends"),
        (
            {"key_properties": {"s": "i"}},
            "Expected a list of fields, each once, or `*` for the whole row, or null, got `",
        ),
    ],
)
def test_a_key_without_an_effect_is_refused(target: Database, config: dict[str, Any], why: str) -> None:
    own = SCHEMA("s", {"i": INTEGER, "t": TEXT})
    outcome = target.run(own, RECORD("s", {"i": 1}), STATE({"x": 1}), **config).expect(78)
    assert why in outcome.last_words, json.dumps(config)
