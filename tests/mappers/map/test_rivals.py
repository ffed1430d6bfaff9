"""Converted maps against singer-sdk itself: the same stream through both, equal but for what the docs name."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from copy import deepcopy
from typing import Any

import pytest
from mappers.map.mapping import Mapped, record_line, schema_line
from singer_sdk.mapper import PluginMapper

from singerkit_map.conversion.converting import converted

KEY = "correct horse battery staple"
TEXT, NUMBER = {"type": ["string", "null"]}, {"type": ["number", "null"]}
PROPERTIES: dict[str, Any] = {
    "id": {"type": "integer"},
    "mail": TEXT,
    "ssn": TEXT,
    "age": {"type": ["integer", "null"]},
    "score": NUMBER,
    "doc": TEXT,
    "address": {
        "type": ["object", "null"],
        "properties": {"city": TEXT, "geo": {"type": ["object", "null"], "properties": {"lat": NUMBER}}},
    },
}
RECORDS: list[dict[str, Any]] = [
    {
        "id": 1,
        "mail": " Ann@X.example",
        "ssn": "1",
        "age": 41,
        "score": 12.5,
        "doc": '{"a": 1}',
        "address": {"city": "Bonn", "geo": {"lat": 50.7}},
    },
    {
        "id": 2,
        "mail": None,
        "ssn": None,
        "age": None,
        "score": None,
        "doc": None,
        "address": {"city": None, "geo": {"lat": None}},
    },
    {
        "id": 3,
        "mail": "élan",
        "ssn": "",
        "age": 7,
        "score": 0,
        "doc": "[]",
        "address": {"city": "Ulm", "geo": {"lat": 1}},
    },
    {
        "id": 4,
        "mail": "d",
        "ssn": "4",
        "age": 0,
        "score": -1.25,
        "doc": "{}",
        "address": {"city": "Köln", "geo": {"lat": 0.5}},
    },
]
SAME = [
    # what `stream_maps` says of the stream: both make the same records of it
    {"email": "mail", "mail": None},
    {"email": "mail", "contact": "mail", "mail": "ssn", "ssn": None},
    {"ssn": "'hidden'", "source": "'shop'", "copy_of": "ssn"},
    {"ssn": None, "age": "str(age) if age is not None else None"},
    {"mail": "mail.strip().lower() if mail is not None else None"},
    {"mail": "mail[:2] if mail is not None else 'nobody'"}
    | {"mail": "mail if mail is not None else 'nobody'"},
    {"ssn": "self[:1] if self is not None else None"},
    {"doc": "json.loads(doc) if doc is not None else None"},
    {"city": "address.city", "lat": "address['geo']['lat']", "address": None},
    {"score": "float(score) if score is not None else None"},
    {"__else__": None, "id": "id", "email": "mail"},
    {"env": "config['where']", "name": "__stream_name__"},
    {"__filter__": "id > 1 and id <= 3"},
    {"__filter__": "ssn in ['1', '4']", "ssn": None},
    {"__filter__": "mail != 'd'"},
    {"__filter__": "age is not None and mail.startswith('d')"},
    {"__filter__": "not address['city'] == 'Ulm'", "__alias__": "people"},
]


def by_singer_sdk(config: dict[str, Any]) -> tuple[str, list[Any]]:
    mapper = PluginMapper(deepcopy(config), logging.getLogger("rival"))
    mapper.register_raw_stream_schema("s", {"type": "object", "properties": deepcopy(PROPERTIES)}, ["id"])
    [found] = mapper.stream_maps["s"]
    rows = [found.transform(deepcopy(record)) for record in RECORDS]
    return found.stream_alias, [row for row in rows if row is not None]


def by_ours(config: dict[str, Any]) -> tuple[str, list[Any]]:
    made = converted(config, "map.json", "MAP_KEY")
    assert made.problems == []
    streams = json.loads(json.dumps(made.streams).replace('{"env": "MAP_KEY"}', json.dumps(KEY)))
    data = schema_line("s", PROPERTIES, ["id"]) + b"".join(record_line("s", record) for record in RECORDS)
    found = Mapped({"streams": streams}, data)
    assert found.letters == []
    return found.schema["stream"], json.loads(json.dumps(found.records, default=float))


@pytest.mark.parametrize("said", SAME, ids=[json.dumps(one)[1:60] for one in SAME])
def test_a_converted_stream_map_makes_the_records_that_singer_sdk_makes(said: dict[str, Any]) -> None:
    config = {"stream_maps": {"s": said}, "stream_map_config": {"where": "prod"}}
    name, theirs = by_singer_sdk(config)
    assert by_ours(config) == (name, theirs)
    assert theirs, "nothing was compared"


def test_a_hash_becomes_one_under_a_key_and_is_null_where_theirs_was() -> None:
    config = {"stream_maps": {"s": {"mail": "md5(mail) if mail is not None else None"}}}
    _, theirs = by_singer_sdk(config)
    _, ours = by_ours(config)
    for record, their, our in zip(RECORDS, theirs, ours, strict=True):
        mail = record["mail"]
        assert their["mail"] == (mail and hashlib.md5(mail.encode()).hexdigest())
        assert our["mail"] == (mail and hmac.new(KEY.encode(), mail.encode(), "sha256").hexdigest())


def test_flattening_makes_the_same_fields() -> None:
    config = {"flattening_enabled": True, "flattening_max_depth": 2, "stream_maps": {"s": {"ssn": None}}}
    assert by_ours(config) == by_singer_sdk(config)
    config["flattening_max_depth"] = 1
    deeper = [record["address"]["geo"] for record in RECORDS]
    _, theirs = by_singer_sdk(config)
    _, ours = by_ours(config)
    assert [json.loads(row.pop("address__geo")) for row in theirs] == deeper, "text of JSON there"
    assert [row.pop("address__geo") for row in ours] == deeper, "an object still here"
    assert ours == theirs
