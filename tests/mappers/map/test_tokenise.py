"""Tokens, and the stream that says what they stand for."""

from __future__ import annotations

import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conformance.processes import run
from mappers.map.mapping import Mapped, record_line, schema_line
from mappers.map.operating import KEY, made, value
from msgspec import UNSET, Raw

from singerkit_map.block import Block, Place
from singerkit_map.contract import Impossible, Shape
from singerkit_shell.errors import ConfigurationError

TEXT = {"type": ["string", "null"]}
SHAPE = Shape("people", {"f": TEXT, "who": {"properties": {"mail": TEXT}}}, keys=("f",))


def at_work(operation: Any, *texts: str | None, shape: Shape = SHAPE) -> Block:
    block = Block(
        Place("people"),
        {"f": [UNSET if text is None else Raw(text.encode()) for text in texts]},
        list(range(len(texts))),
    )
    operation.apply(block, shape)
    return block


def test_a_token_is_the_same_on_every_machine_and_not_the_hmac() -> None:
    assert value(made("tokenise"), "a") == "tok_28c29efdbe2a9e60165b025203fd4529"
    assert value(made("tokenise", key_id="k1"), "a") == "k1:tok_28c29efdbe2a9e60165b025203fd4529"
    assert value(made("tokenise"), "a")[4:] not in value(made("hmac"), "a")
    assert value(made("tokenise", key="f" * 16 + "0123456789abcdef"), "a") != value(made("tokenise"), "a")


def test_a_token_that_is_a_uuid_is_one() -> None:
    token = uuid.UUID(value(made("tokenise", format="uuid"), "a"))
    assert (token.version, token.variant) == (8, uuid.RFC_4122)
    assert token.hex[:12] == "28c29efdbe2a9e60165b025203fd4529"[:12]
    operation = made("tokenise", format="uuid")
    assert operation.outcome(SHAPE).fields["f"] == {"type": ["string", "null"], "format": "uuid"}
    (schema, _) = operation.side_streams(SHAPE)["people__tokens"]
    assert schema["properties"]["token"] == {"type": "string", "format": "uuid"}
    with pytest.raises(ConfigurationError, match="no name of a key with `format: uuid`"):
        made("tokenise", format="uuid", key_id="k1")


def test_each_token_of_a_block_is_told_once_and_nothing_of_null_and_missing() -> None:
    operation = made("tokenise")
    block = at_work(operation, '"a"', "null", '"b"', None, '"a"', "1.0", "true")
    told = [json.loads(record) for record in block.beside["people__tokens"]]
    shown = [None if one is UNSET else json.loads(bytes(one)) for one in block.columns["f"]]
    assert [one["value"] for one in told] == ["a", "b", "1", "true"]
    assert shown == [
        told[0]["token"],
        None,
        told[1]["token"],
        None,
        told[0]["token"],
        told[2]["token"],
        told[3]["token"],
    ]
    again = at_work(operation, '"b"')
    assert [json.loads(record) for record in again.beside["people__tokens"]] == [told[1]]


def test_values_inside_others_and_odd_ones_are_told_too() -> None:
    operation = made("tokenise", field="who.mail", tokens="vault")
    block = Block(
        Place("people"),
        {"who": [Raw(b'{"mail": "\\ud83d\\ude00"}'), Raw(b'{"mail": null}'), Raw(b"null")]},
        [1, 2, 3],
    )
    operation.apply(block, SHAPE)
    (told,) = (json.loads(record) for record in block.beside["vault"])
    assert told["value"] == "\U0001f600"
    assert [json.loads(bytes(one)) for one in block.columns["who"]] == [
        {"mail": told["token"]},
        {"mail": None},
        None,
    ]


@pytest.mark.parametrize("text", ['"\\ud800SECRET"', '"a\\u0000SECRET"'])
def test_a_value_that_no_target_can_store_is_bad_and_hidden(text: str) -> None:
    """It went to the dead letters of the target as it was, and its token was stored without it."""
    line = b'{"type":"RECORD","stream":"s","record":{"id":1,"f":%s}}\n' % text.encode()
    data = schema_line("s", {"id": {"type": "integer"}, "f": TEXT}) + line
    said = [{"op": "tokenise", "field": "f", "key": KEY}]
    done = Mapped({"streams": {"s": said}, "on_error": "quarantine"}, data)
    (letter,) = done.letters
    assert (letter.path, done.records) == ("$.f", [])
    assert json.loads(letter.record)["record"] == {"id": 1, "f": "***"}


def test_the_stream_of_tokens_has_the_token_as_its_key_and_a_name_of_its_own() -> None:
    (found,) = made("tokenise").side_streams(SHAPE).items()
    assert found[0] == "people__tokens"
    assert found[1][1] == ("token",)
    assert made("tokenise").outcome(SHAPE).keys == ("f",)
    with pytest.raises(Impossible, match="the name of the stream itself"):
        made("tokenise", tokens="people").outcome(SHAPE)


def test_the_fingerprint_tells_keys_apart_and_not_what_they_are() -> None:
    keys = ["0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdee"]
    for op in ("hmac", "tokenise"):
        found = [made(op, key=key).fingerprint for key in keys]
        assert len(set(found)) == 2
        assert all(re.fullmatch("[0-9a-f]{8}", one) for one in found)
        assert made(op, key=keys[0], key_id="k").fingerprint == f"k:{found[0]}"


PAGE = Path(__file__).parents[3] / "docs/singerkit-map/protecting.md"


def test_the_table_of_tokens_gives_values_back_as_the_docs_say_and_a_rerun_adds_nothing(
    tmp_path: Path,
) -> None:
    people = [
        {"id": 1, "email": "ann@x.org"},
        {"id": 2, "email": "bob@x.org"},
        {"id": 3, "email": "ann@x.org"},
    ]
    data = schema_line("users", {"id": {"type": "integer"}, "email": {"type": "string"}}, ["id"])
    data += b"".join(record_line("users", one) for one in people)
    lines = Mapped({"streams": {"users": [{"op": "tokenise", "field": "email", "key": KEY}]}}, data).text
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"database": str(tmp_path / "all.duckdb")}))
    command = [str(Path(sys.executable).parent / "target-duckdb"), "--config", str(config)]
    run(command, stdin=lines + b'{"type":"STATE","value":{"n":1}}\n' + lines).expect(0)
    (select,) = re.findall(r"^SELECT .*;$", PAGE.read_text(), re.MULTILINE)
    with duckdb.connect(str(tmp_path / "all.duckdb")) as connection:
        assert sorted(connection.execute(select).fetchall()) == [(one["id"], one["email"]) for one in people]
        assert connection.execute("SELECT count(*), count(DISTINCT token) FROM users__tokens").fetchall() == [
            (2, 2)
        ]
