"""What a map hides is seen nowhere: no record, no dead letter, no log line, no error holds a byte of it, whatever else is wrong with the record."""

from __future__ import annotations

import json
import logging
import random
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mappers.map.mapping import Mapped, mapped, record_line, schema_line
from mappers.map.operating import KEY
from sampling import IS_SAMPLE, tries

from singerkit_shell.errors import BadDataError, ConfigurationError

SECRET = "QxSecretQx"
ANY: dict[str, Any] = {}
FIELDS = {
    "id": {"type": "integer"}, "when": {"type": "string"}, "url": {"type": "string"}, "name": ANY, "mail": ANY, "card": ANY, "note": ANY, "gone": ANY, "born": ANY,
    "who": {"type": ["object", "null"], "properties": {"mail": ANY, "tags": {"type": "array", "items": ANY}}},
}  # fmt: skip
HIDING: list[dict[str, Any]] = [
    {"op": "mask", "field": "name"}, {"op": "mask", "field": "who.tags[]", "keep_last": 2}, {"op": "hmac", "field": "mail", "key": KEY}, {"op": "hmac", "field": "who.mail", "key": KEY, "key_id": "k"},
    {"op": "redact", "field": "note"}, {"op": "truncate", "field": "card", "length": 3}, {"op": "truncate", "field": "born", "to": "year"}, {"op": "drop", "fields": ["gone"]},
]  # fmt: skip
OTHERS: list[dict[str, Any]] = [
    {"op": "date", "field": "when", "formats": ["%Y-%m-%d"]}, {"op": "parse_url", "field": "url", "into": {"host": "host"}}, {"op": "cast", "field": "id", "to": "text", "as": "id_text"},
]  # fmt: skip
ODD = ["", "é", '"\\', "\n", "\ud800", "\u0000", "\u202e"]
WRONG: list[Any] = [SECRET, [SECRET], {"a": SECRET}, {SECRET: 1}, [[{"a": [SECRET]}]], True, 5, None, 1e300]


@st.composite
def records(draw: st.DrawFn) -> bytes:
    odd = st.sampled_from(ODD)
    hidden = st.one_of(st.sampled_from(WRONG), odd.map(lambda text: f"{text}{SECRET}{text}"))
    record: dict[str, Any] = {
        "id": draw(st.integers(0, 9) | st.just("no number")),
        "when": draw(st.sampled_from(["2024-01-01", "yesterday"])),
        "url": draw(st.sampled_from(["https://x.org", "nothing"])),
        "name": draw(hidden), "mail": draw(hidden), "gone": draw(hidden), "card": draw(st.sampled_from(["abc" + SECRET, [SECRET], "ab"])),
        "born": draw(st.sampled_from(["1990-05-06", SECRET])),
        "note": draw(st.sampled_from([f"by {SECRET}@example.org", {"a": SECRET}, "nothing"])),
        "who": draw(st.one_of(st.none(), st.fixed_dictionaries({}, optional={"mail": hidden, "tags": st.lists(hidden, max_size=3)}))),
        "unknown": 1,
    }  # fmt: skip
    for name in draw(st.sets(st.sampled_from(sorted(record)), max_size=5)):
        del record[name]
    ascii_only = draw(st.booleans()) or "\ud800" in repr(record) or "\\ud800" in repr(record)
    text = json.dumps(record, ensure_ascii=ascii_only)
    if draw(st.booleans()) and len(record) > 1:
        text = text[:-1] + ', "name": "x", "n": NaN}'
    if draw(st.integers(0, 9)) == 0:
        text = text[:-1]  # cut off, which ends the run
    return b'{"type":"RECORD","stream":"s","record":%s}\n' % text.encode()


@settings(max_examples=tries(120), deadline=None, database=None, derandomize=IS_SAMPLE)
@given(
    st.lists(records(), min_size=1, max_size=4),
    st.sampled_from(["fail", "quarantine", "null"]),
    st.integers(0, 1000),
)
def test_what_is_hidden_is_seen_nowhere(lines: list[bytes], on_error: str, order: int) -> None:
    operations = random.Random(order).sample(HIDING + OTHERS, len(HIDING + OTHERS))
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("test-map").addHandler(handler)
    try:
        found = Mapped(
            {"streams": {"s": operations}, "on_error": on_error},
            schema_line("s", FIELDS) + b"".join(lines),
            3,
        )
        seen += [found.text.decode(), repr(found.letters), *found.mapper.nulls()]
    except BadDataError as error:
        seen += traceback.format_exception(error)
    finally:
        logging.getLogger("test-map").removeHandler(handler)
    assert SECRET.lower() not in "\n".join(seen).lower()


@pytest.mark.parametrize("op", ["mask", "hmac", "redact", "truncate", "tokenise"])
def test_a_replication_key_is_not_hidden_as_its_values_stand_in_the_state(op: str) -> None:
    more = {"hmac": {"key": KEY}, "tokenise": {"key": KEY}, "truncate": {"length": 3}}.get(op, {})
    data = schema_line("s", {"at": {"type": "string"}}, bookmark_properties=["at"]) + record_line(
        "s", {"at": "x"}
    )
    with pytest.raises(ConfigurationError, match="stand in the STATE as they are"):
        Mapped({"streams": {"s": [{"op": op, "field": "at", **more}]}}, data)
    beside = Mapped({"streams": {"s": [{"op": op, "field": "at", "as": "b", **more}]}}, data)
    assert beside.schema["bookmark_properties"] == ["at"]


def test_tokens_go_before_the_rows_that_use_them_and_their_stream_has_a_schema() -> None:
    found = mapped(
        [{"op": "tokenise", "field": "mail", "key": KEY}, {"op": "rename_stream", "to": "people"}],
        {"mail": {"type": "string"}}, [{"mail": "a"}, {"mail": "b"}, {"mail": "a"}], keys=["mail"],
    )  # fmt: skip
    assert [(one["type"], one["stream"]) for one in found.messages] == [
        ("SCHEMA", "people"), ("SCHEMA", "s__tokens"), ("RECORD", "s__tokens"), ("RECORD", "s__tokens"), ("RECORD", "people"), ("RECORD", "people"), ("RECORD", "people"),
    ]  # fmt: skip
    tokens = {one["record"]["value"]: one["record"]["token"] for one in found.messages[2:4]}
    assert [one["record"]["mail"] for one in found.messages[4:]] == [tokens["a"], tokens["b"], tokens["a"]]


def test_a_key_that_is_hidden_may_stand_in_the_state_and_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number, keys in enumerate((["id"], ["mail"])):
        mapped(
            [{"op": "hmac", "field": "mail", "key": KEY}],
            {"id": {}, "mail": {"type": "string"}},
            [],
            keys=keys,
        )
        told = [
            record.getMessage() for record in caplog.records if "may be a value of it" in record.getMessage()
        ]
        assert len(told) == number
    assert told[0].startswith("Stream `s`: `mail` is hidden in its rows (`map.streams.s[0]`)")
