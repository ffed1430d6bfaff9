"""From bytes to runs and messages: chunk borders, line ends, marks, limits, interleaved streams."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE, lines

from singerkit_shell.errors import BadDataError
from singerkit_shell.signals import StopFlag
from singerkit_target.units import in_load_order, segments
from singerkit_wire.lines import Chunk, has_come, read_chunks
from singerkit_wire.messages import Message, Run, Splitter

Parts = list[tuple[str, Any]]


def chunks(source: Any, *, chunk_bytes: int = 1 << 20, max_line_bytes: int = 1 << 20) -> Iterator[Chunk]:
    return read_chunks(
        source, chunk_bytes=chunk_bytes, max_line_bytes=max_line_bytes, wait_seconds=5.0, stop=StopFlag()
    )


class Pieces(io.RawIOBase):
    """A source that gives one piece at each read, as a slow pipe does."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read(self, _size: int = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def parts_of(source: Any, **limits: int) -> Parts:
    """Every message with its line number, by that, whatever chunks and runs it came in."""
    splitter = Splitter()
    found: Parts = []
    for chunk in chunks(source, **limits):
        for part in splitter.split(chunk):
            if isinstance(part, Run):
                records = part.data.splitlines()
                assert part.lines == len(records)
                found += [
                    (part.stream, (part.line_number(i), json.loads(r)["record"]))
                    for i, r in enumerate(records)
                ]
            else:
                found.append((part.type, part.number))
    return sorted(found, key=lambda part: part[1] if isinstance(part[1], int) else part[1][0])


WIRE = lines(
    SCHEMA("a", {"n": {"type": "integer"}}),
    *(RECORD("a", {"n": n}) for n in range(3)),
    "",
    SCHEMA("b", {"n": {"type": "integer"}}),
    *(RECORD("ab"[n % 2], {"n": n, "text": 'x"}}\\n'}) for n in range(4)),
    STATE({"at": 4}),
    RECORD("b", {"n": 5}),
    {"record": {"n": 6}, "stream": "b", "type": "RECORD"},
    {"type": "RECORD", "stream": "b", "time_extracted": "2026-01-01T00:00:00Z", "record": {"n": 7}},
)
WHOLE = parts_of(io.BytesIO(WIRE))


def test_every_message_is_found_with_its_line() -> None:
    assert [kind for kind, _ in WHOLE] == ["SCHEMA", *"aaa", "SCHEMA", *"abab", "STATE", *"bbb"]
    assert [detail if isinstance(detail, int) else detail[0] for _, detail in WHOLE] == [
        1,
        2,
        3,
        4,
        *range(6, 15),
    ]


def test_a_border_between_two_reads_anywhere_changes_nothing() -> None:
    for border in range(1, len(WIRE)):
        assert parts_of(Pieces(WIRE[:border], WIRE[border:]), chunk_bytes=1) == WHOLE, border


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100, 333])
def test_reads_of_any_size_change_nothing(size: int) -> None:
    pieces = [WIRE[at : at + size] for at in range(0, len(WIRE), size)]
    for chunk_bytes in (1, 120, 1 << 20):
        assert parts_of(Pieces(*pieces), chunk_bytes=chunk_bytes) == WHOLE


def test_line_ends_of_windows_blank_lines_and_a_mark_are_tolerated() -> None:
    assert parts_of(io.BytesIO(b"\xef\xbb\xbf" + WIRE.replace(b"\n", b"\r\n"))) == WHOLE
    assert [kind for kind, _ in parts_of(io.BytesIO(b"\n \n\t\r\n" + WIRE + b"\n\n"))] == [
        kind for kind, _ in WHOLE
    ]


def test_a_long_line_comes_by_itself() -> None:
    """What stands behind it is in another chunk: a run of its lines is no copy of it."""
    long = lines(RECORD("a", {"text": "x" * 1000}))
    wire = WIRE + long + WIRE + long
    pieces = [wire[at : at + 64] for at in range(0, len(wire), 64)]
    found = [chunk.data for chunk in chunks(Pieces(*pieces), chunk_bytes=64)]
    assert b"".join(found) == wire
    assert found.count(long) == 2


def test_the_last_line_needs_no_end() -> None:
    assert parts_of(io.BytesIO(WIRE[:-1])) == WHOLE
    last = list(chunks(io.BytesIO(WIRE[:-1])))[-1]
    assert last.is_cut
    assert (last.first_line, last.offset) == (14, WIRE[:-1].rindex(b"\n") + 1)


def test_empty_input_gives_nothing() -> None:
    assert parts_of(io.BytesIO(b"")) == []
    assert parts_of(io.BytesIO(b"\n\n")) == []


def test_offsets_and_line_numbers_run_through_all_chunks() -> None:
    pieces = [WIRE[at : at + 50] for at in range(0, len(WIRE), 50)]
    found = list(chunks(Pieces(*pieces), chunk_bytes=1))
    assert b"".join(chunk.data for chunk in found) == WIRE
    for chunk in found:
        assert WIRE[chunk.offset :].startswith(chunk.data)
        assert chunk.first_line == WIRE[: chunk.offset].count(b"\n") + 1
        assert chunk.lines == chunk.data.count(b"\n")


@pytest.mark.parametrize("end", [b"\n", b""], ids=["ended", "cut"])
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_what_stands_before_a_line_over_the_limit_is_delivered(end: bytes, chunk_bytes: int) -> None:
    found: list[bytes] = []
    source = Pieces(b'{"a": 1}\n{"b": 2}\n', b"x" * 150, b"x" * 150 + end)
    limited = chunks(source, max_line_bytes=200, chunk_bytes=chunk_bytes)
    with pytest.raises(BadDataError, match="line 3"):
        found.extend(chunk.data for chunk in limited)
    assert b"".join(found) == b'{"a": 1}\n{"b": 2}\n'


def test_a_silent_pipe_gives_empty_chunks() -> None:
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as source:
        found = read_chunks(
            source, chunk_bytes=1 << 20, max_line_bytes=1000, wait_seconds=0.01, stop=StopFlag()
        )
        assert next(found).data == b""
        os.write(write_end, b'{"a": 1}\n{"b"')
        assert next(chunk for chunk in found if chunk.data).data == b'{"a": 1}\n'
        os.write(write_end, b": 2}\n")
        os.close(write_end)
        assert b"".join(chunk.data for chunk in found) == b'{"b": 2}\n'


def test_what_has_come_is_told_without_waiting() -> None:
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as source:
        assert not has_come(source)
        os.write(write_end, b"{")
        assert has_come(source)
        assert source.read1() == b"{", "nothing of it is taken"
        assert not has_come(source)
        os.close(write_end)
        assert has_come(source), "the end"
    assert has_come(io.BytesIO())


# --- runs and messages --------------------------------------------------------------------------------------


def split(*messages: Any) -> list[Run | Message]:
    (chunk,) = chunks(io.BytesIO(lines(*messages)))
    return list(Splitter().split(chunk))


def test_records_that_follow_each_other_are_one_run() -> None:
    parts = split(*(RECORD("a", {"n": n}) for n in range(5)), *(RECORD("b", {"n": n}) for n in range(2)))
    assert [(part.stream, part.lines) for part in parts if isinstance(part, Run)] == [("a", 5), ("b", 2)]


def test_a_record_that_speaks_of_messages_is_only_a_record() -> None:
    odd = RECORD("a", {"type": "STATE", "stream": "b", "record": {"type": "SCHEMA"}})
    parts = split(odd, RECORD("b", {}), odd)
    assert [(part.stream, part.lines) for part in parts if isinstance(part, Run)] == [("a", 2), ("b", 1)]


def test_a_stream_whose_name_begins_like_another_is_another() -> None:
    streams = ["a", "ab", 'a"', "a", "A"]
    parts = split(*(RECORD(stream, {"n": 1}) for stream in streams))
    assert [part.stream for part in parts] == list(dict.fromkeys(streams))


@pytest.mark.parametrize(
    "between",
    ["\n", "\n\n", "\r\n", "\n \n", '\n{"type":"STATE","value":{}}\n', '\n{"type": "RECORD"'],
    ids=repr,
)
def test_a_chunk_is_one_run_only_where_each_line_begins_alike(between: str) -> None:
    """What is cut is what is cut line by line, whatever stands between two lines of a chunk whose others are alike."""
    line = '{"type":"RECORD","stream":"a","record":{"n":1}}'
    if between.endswith('"RECORD"'):
        between += line[len('{"type":"RECORD"') :] + "\n"
    text = f"{line}\n" * 3 + line + between + line + "\n" + f"{line}\n" * 3
    known = Splitter()
    list(known.split(Chunk(f"{line}\n".encode(), 1, 1, 0)))

    def cut(*chunks: Chunk) -> list[Any]:
        return [
            (part.line_number(index), part.data.splitlines()[index].strip())
            if isinstance(part, Run)
            else (part.number, part.line.strip())
            for chunk in chunks
            for part in known.split(chunk)
            for index in range(part.lines if isinstance(part, Run) else 1)
        ]

    lines_of = text.encode().splitlines(keepends=True)
    alone = [Chunk(one, 1, number, 0) for number, one in enumerate(lines_of, 2)]
    assert cut(Chunk(text.encode(), len(lines_of), 2, 0)) == cut(*alone)


@pytest.mark.parametrize(
    "line", ["{", "[]", "1", '"a"', "{}", '{"type": null}', '{"type": "RECORD"}', "\xff"]
)
def test_what_is_no_message_is_refused_with_its_place(line: str) -> None:
    good = RECORD("a", {"n": 1})
    with pytest.raises(BadDataError, match="line 2"):
        split(good, line.encode("latin-1"), good)


# --- the order of loading -----------------------------------------------------------------------------------


def test_a_state_after_every_record_still_loads_in_blocks() -> None:
    messages = [
        part for n in range(50) for part in (RECORD("a", {"n": n}), RECORD("b", {"n": n}), STATE({"at": n}))
    ]
    (segment,) = segments(split(*messages))
    joined = in_load_order(segment)
    assert len(joined) == 3
    assert isinstance(joined[0], Run)
    assert [joined[0].line_number(i) for i in range(3)] == [1, 4, 7]


def test_rows_after_the_last_state_stay_after_it() -> None:
    a, b = RECORD("a", {"n": 1}), RECORD("b", {"n": 1})
    (segment,) = segments(split(a, STATE({"at": 1}), b, a, STATE({"at": 2}), a, b))
    shape = [part.stream if isinstance(part, Run) else part.type for part in in_load_order(segment)]
    assert shape == ["a", "b", "STATE", "a", "b"]


def test_other_messages_stand_where_they_stood() -> None:
    a = RECORD("a", {"n": 1})
    parts = split(
        a,
        STATE({"at": 1}),
        a,
        SCHEMA("a", {}),
        a,
        {"type": "ACTIVATE_VERSION", "stream": "a", "version": 1},
        a,
    )
    shape = [[part.type if isinstance(part, Message) else part.stream for part in s] for s in segments(parts)]
    assert shape == [["a", "STATE", "a"], ["SCHEMA"], ["a"], ["ACTIVATE_VERSION"], ["a"]]


@pytest.mark.parametrize("empty", [None, {}, {"bookmarks": {}}])
def test_an_empty_state_does_not_hide_the_one_before_it(empty: Any) -> None:
    (segment,) = segments(split(STATE({"at": 1}), RECORD("a", {}), STATE(empty)))
    states = [json.loads(part.line)["value"] for part in in_load_order(segment) if isinstance(part, Message)]
    assert states == [{"at": 1}, empty]
