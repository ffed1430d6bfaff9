"""`check_utf8` says what ``bytes.decode`` says, wherever a piece ends."""

from __future__ import annotations

import pytest

from singerkit_shell import encoding
from singerkit_shell.encoding import check_utf8

CHARACTERS = ["a", "é", "日", "😀"]
BROKEN = [b"\xff", b"\xc3", b"\xe6\x97", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\x80", b"\x80"]


def told(check, data: bytes):
    try:
        check(data)
    except UnicodeDecodeError as error:
        return error.start, error.end, error.reason
    return None


@pytest.mark.parametrize("piece", [4, 5, 7, 16])
@pytest.mark.parametrize("character", CHARACTERS)
@pytest.mark.parametrize("ending", [b"", *BROKEN])
def test_pieces_end_anywhere(monkeypatch, piece, character, ending):
    monkeypatch.setattr(encoding, "_PIECE", piece)
    for before in range(20):
        for after in (b"", b"tail", "é".encode() * 9):
            data = b"x" * before + character.encode() * 5 + ending + after
            assert told(check_utf8, data) == told(bytes.decode, data)


def test_large_text():
    text = ("aé日😀" * 9000).encode()
    assert told(check_utf8, text) is None
    assert told(check_utf8, text + b"\xff") == (len(text), len(text) + 1, "invalid start byte")
