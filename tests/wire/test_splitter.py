"""Lines of many streams by turns: how those of each begin is learnt once."""

from __future__ import annotations

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
        assert found == [(name.replace("\\", ""), 1, number) for number, name in enumerate(streams * 20, 1)]
    assert len(read) == len(streams)


def test_what_stands_before_the_record_may_differ_in_each_line(read: list[bytes]) -> None:
    """It is not kept then, however many lines there are, and the stream is read of each."""
    lines = [
        f'{{"version":{number},"type":"RECORD","stream":"{"ab"[number % 2]}","record":{{}}}}'
        for number in range(50)
    ]
    assert [stream for stream, *_ in split(Splitter(), lines)] == ["a", "b"] * 25
    assert len(read) == 50


def test_no_more_is_kept_than_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_MOST_KNOWN", 3)
    splitter = Splitter()
    names = [f"s{number}" for number in range(9)] + ["l" * 600]
    lines = [f'{{"type":"RECORD","stream":"{name}","record":{{}}}}' for name in names] * 2
    assert [stream for stream, *_ in split(splitter, lines)] == names * 2
    assert len(splitter._streams) == 3
