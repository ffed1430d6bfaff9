"""A block with odd lines: they alone take the exact path, and all rows stay where their lines were."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from msgspec import UNSET

from singerkit_wire.batches import Missing
from singerkit_wire.blocks import BlockDecoder, Judgement, MalformedLine
from singerkit_wire.messages import Run
from singerkit_wire.stream import stream_of
from singerkit_wire.unstorable import Policy

LINES = 200
SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "n": {"type": ["integer", "null"], "maximum": 1000},
        "price": {"type": ["number", "null"]},
        "text": {"type": ["string", "null"]},
        "code": {"type": ["string", "null"], "maxLength": 3},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "day": {"type": ["string", "null"], "format": "date"},
        "time": {"type": ["string", "null"], "format": "time"},
        "document": {"type": ["object", "null"], "properties": {"a": {"type": "integer"}}},
    }
}
PLAIN = (
    '"n":7,"price":1.50,"text":"é\\"\\n","code":"abc","at":"2026-01-01T10:00:00.5Z","day":"2026-01-01","time":"10:00:00",'
    '"document":{"a":1}'
)
ODD = {
    "a whole number with a point": PLAIN.replace('"n":7', '"n":7.0'),
    "a number beyond its bound": PLAIN.replace('"n":7', '"n":1001'),
    "a text for a number": PLAIN.replace('"n":7', '"n":"N/A"'),
    "no number": PLAIN.replace("1.50", "NaN"),
    "a long exponent": PLAIN.replace("1.50", "1e-1000"),
    "a number for a text": PLAIN.replace('"é\\"\\n"', "5"),
    "NUL": PLAIN.replace("é", "\\u0000"),
    "half a character": PLAIN.replace("é", "\\ud800"),
    "a text that is too long": PLAIN.replace("abc", "abcd"),
    "an empty date": PLAIN.replace('"2026-01-01T10:00:00.5Z"', '""'),
    "a moment that is finer than its column": PLAIN.replace("10:00:00.5Z", "10:00:00.1234567Z"),
    "the last moment of a day": PLAIN.replace('"time":"10:00:00"', '"time":"23:59:59.9999999"'),
    "another document": PLAIN.replace('{"a":1}', '{"a":"b"}'),
}
FAST = {
    "escapes": PLAIN.replace("é", "\\u00e9\\/"),
    "nulls": ",".join(f'"{name}":null' for name in SCHEMA["properties"] if name != "id"),
    "a field that is left out": PLAIN.replace('"n":7,', ""),
    "all of them left out": "",
    "digits as of a second in a text": PLAIN.replace("é", ":59.1234567"),
    "the last moment of a day in a text": PLAIN.replace("é", "23:59:59.999"),
}


def line(number: int, fields: str) -> bytes:
    comma = "," if fields else ""
    return f'{{"type":"RECORD","stream":"s","record":{{"id":{number}{comma}{fields}}}}}\n'.encode()


def block(odd: dict[int, str]) -> Run:
    lines = [line(number, odd.get(number, PLAIN)) for number in range(LINES)]
    return Run("s", b"".join(lines), LINES, 1)


def outcome(
    run: Run,
    *,
    always_exact: bool,
    missing: Missing = Missing.LEAVE,
    keys: tuple[str, ...] = (),
    **judged: Any,
) -> tuple[dict[int, dict[str, Any]], list[tuple[int, str, str]]]:
    """The values of each line that has a row, by the number of the line; and what was set aside."""
    given = {"quarantine": True, "unstorable": Policy.QUARANTINE, **judged}
    decoder = BlockDecoder(
        stream_of("s", SCHEMA, keys),
        Judgement(missing=missing, **given),
        lambda stream: stream,
        logging.getLogger("sifting"),
        always_exact=always_exact,
    )
    batches, rejects = decoder.decode(run)
    rows = {
        place: dict(zip(batch.names, row, strict=True))
        for batch in batches
        for place, row in zip(batch.places, batch.rows(), strict=True)
    }
    assert all(batch.arrow().to_pydict() for batch in batches)
    assert all(row["id"] == place for place, row in rows.items())
    return rows, [(reject.line, reject.path, reject.reason) for reject in rejects]


@pytest.mark.parametrize("policy", [Policy.QUARANTINE, Policy.NULL])
@pytest.mark.parametrize("missing", [Missing.LEAVE, Missing.KEEP, Missing.NULL])
def test_a_block_with_odd_lines_gives_what_the_exact_path_gives(missing: Missing, policy: Policy) -> None:
    kinds = [*ODD.values(), *FAST.values()]
    run = block({7 * number + 3: fields for number, fields in enumerate(kinds)})
    found, rejects = (
        [
            outcome(run, always_exact=exact, missing=missing, keys=("id",), unstorable=policy)[part]
            for exact in (False, True)
        ]
        for part in (0, 1)
    )
    assert found[0] == found[1]
    assert rejects[0] == rejects[1]
    assert LINES - len(ODD) <= len(found[0]) < LINES


@pytest.mark.parametrize("kind", [*ODD, *FAST])
def test_the_odd_line_alone_takes_the_exact_path(kind: str, judged_exactly: list[bytes]) -> None:
    odd = (ODD | FAST)[kind]
    run = block({150: odd, 20: ODD["a whole number with a point"]})
    rows, rejects = outcome(run, always_exact=False)
    wanted = {20, 150} if kind in ODD else {20}
    assert set(judged_exactly) == {
        line(number, odd if number == 150 else ODD["a whole number with a point"]) for number in wanted
    }
    assert len(rows) + len(rejects) == LINES
    assert rows[20] == {**rows[0], "id": 20}


def test_a_field_that_is_left_out_beside_odd_lines_is_not_null() -> None:
    rows, _ = outcome(block({3: FAST["a field that is left out"], 5: ODD["NUL"]}), always_exact=False)
    assert "n" not in rows[3] or rows[3]["n"] is UNSET
    assert rows[4]["n"] == 7


@pytest.mark.parametrize("two", ["twice", "half"])
def test_lines_that_hold_no_single_message_are_told_of(two: str) -> None:
    """msgspec reads two messages in one line, and one in two, where it is given a block."""
    good = line(1, PLAIN)
    data = good[:-1] + good if two == "twice" else good.replace(b',"price"', b'\n,"price"')
    run = Run("s", good + data + line(2, ODD["NUL"]), 3 + (two == "half"), 1)
    with pytest.raises(MalformedLine, match="line 2"):
        outcome(run, always_exact=False)
