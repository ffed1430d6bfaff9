"""Lines of many streams by turns: how those of each begin is learnt once."""

from __future__ import annotations

import json

import pytest

from singerkit_wire import messages
from singerkit_wire.lines import Chunk
from singerkit_wire.messages import Run, Splitter


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The lines whose header was decoded."""
    lines: list[bytes] = []
    decode = messages._header_of

    def noted(line: bytes, number: int, offset: int) -> messages._Header:
        lines.append(line)
        return decode(line, number, offset)

    monkeypatch.setattr(messages, "_header_of", noted)
    return lines


def split(splitter: Splitter, lines: list[str]) -> list[tuple[str, int, int]]:
    data = "".join(f"{line}\n" for line in lines).encode()
    parts = list(splitter.split(Chunk(data, len(lines), 1, 0)))
    assert all(isinstance(part, Run) for part in parts)
    return [(part.stream, part.lines, part.first_line) for part in parts]  # type: ignore[union-attr,misc]


def test_each_stream_is_learnt_once(read: list[bytes]) -> None:
    streams = ["a", "ab", 'say \\"record\\"', "é"]
    lines = [f'{{"type":"RECORD","stream":"{name}","record":{{"record":1}}}}' for name in streams] * 20
    splitter = Splitter()
    for _ in range(2):
        found = split(splitter, lines)
        assert found == [(name.replace("\\", ""), 20, number) for number, name in enumerate(streams, 1)]
    assert len(read) == len(streams)


def test_lines_by_turns_are_one_run_of_each_stream_up_to_the_next_message() -> None:
    """Each line keeps its number; a blank one is none, and what follows another message is behind it."""
    record = '{{"type":"RECORD","stream":"{}","record":{{"n":{}}}}}'
    lines = [record.format(name, number) for number, name in enumerate("aababb", 1)]
    lines[3:3] = [""]
    lines += ['{"type":"STATE","value":1}', record.format("b", 9), record.format("a", 10)]
    data = "".join(f"{line}\n" for line in lines).encode()
    found = [
        [
            (part.stream, part.line_number(index), json.loads(line)["record"]["n"])
            for index, line in enumerate(part.data.splitlines())
        ]
        if isinstance(part, Run)
        else part.type
        for part in Splitter().split(Chunk(data, len(lines), 1, 0))
    ]
    assert found == [
        [("a", 1, 1), ("a", 2, 2), ("a", 5, 4)],
        [("b", 3, 3), ("b", 6, 5), ("b", 7, 6)],
        "STATE",
        [("b", 9, 9)],
        [("a", 10, 10)],
    ]


def test_what_stands_before_the_record_may_differ_in_each_line(read: list[bytes]) -> None:
    """It is not kept then, however many lines there are, and the stream is read of each."""
    lines = [
        f'{{"version":{number},"type":"RECORD","stream":"{"ab"[number % 2]}","record":{{}}}}'
        for number in range(50)
    ]
    assert [stream for stream, *_ in split(Splitter(), lines)] == ["a", "b"]
    assert len(read) == 50


def test_no_more_is_kept_than_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_MOST_KNOWN", 3)
    splitter = Splitter()
    names = [f"s{number}" for number in range(9)] + ["l" * 600]
    lines = [f'{{"type":"RECORD","stream":"{name}","record":{{}}}}' for name in names] * 2
    assert [stream for stream, *_ in split(splitter, lines)] == names
    assert len(splitter._streams) == 3
