"""`check_utf8` says what ``bytes.decode`` says, wherever a piece ends; `has_escape` says what ``search`` says; what is
printed is UTF-8 in every locale."""

from __future__ import annotations

import io
import json
import logging
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from singerkit_embedded import server as embedded
from singerkit_shell import encoding
from singerkit_shell.encoding import check_utf8, has_escape
from singerkit_shell.exits import exit_code_of

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


@pytest.mark.parametrize("pattern", [rb"\\[u/]", rb'\\[^"\\]'])
@pytest.mark.parametrize("backslashes", range(0, 24, 3))
def test_an_escape_is_found_wherever_it_stands(pattern, backslashes):
    """In text with few backslashes and in one with many, which is searched another way."""
    escape, chance = re.compile(pattern), random.Random(backslashes)
    for _ in range(60):
        text = bytearray(b"x" * chance.choice([100, 4096, 20_000]))
        for _ in range(backslashes):
            at = chance.randrange(len(text) - 1)
            text[at : at + 2] = chance.choice([b'\\"', b'\\"', b"\\\\", b"\\\\", b"x\\", b"\\u"])
        assert has_escape(escape, bytes(text)) == (escape.search(text) is not None)


def test_large_text():
    text = ("aé日😀" * 9000).encode()
    assert told(check_utf8, text) is None
    assert told(check_utf8, text + b"\xff") == (len(text), len(text) + 1, "invalid start byte")


NAMES = "Zoë 日本"


ENCODINGS = pytest.mark.parametrize("locale", ["ascii", "latin-1"])


def printed_by(run, locale, monkeypatch):
    """What is printed to standard streams of such a locale."""
    streams = {
        name: io.TextIOWrapper(io.BytesIO(), locale, write_through=True) for name in ("stdout", "stderr")
    }
    with monkeypatch.context() as patch:
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        run()
    return streams["stdout"].buffer.getvalue(), streams["stderr"].buffer.getvalue().decode(locale)


@ENCODINGS
def test_what_is_printed_is_utf_8_and_no_error_fails(locale, monkeypatch):
    def run() -> None:
        print(NAMES)
        print("caf\udce9")
        logging.StreamHandler(sys.stderr).handle(logging.makeLogRecord({"msg": NAMES}))
        raise ValueError(NAMES)

    stdout, stderr = printed_by(lambda: exit_code_of(run, "target-x", debug=False), locale, monkeypatch)
    assert stdout == f"{NAMES}\n".encode() + b"caf\\udce9\n"
    assert "Logging error" not in stderr
    assert "CRITICAL target-x: A fault of target-x itself (ValueError): Zo" in stderr


@ENCODINGS
def test_the_embedded_server_speaks_utf_8_too(locale, monkeypatch, tmp_path):
    command = ["--folder", str(tmp_path / NAMES), "uri"]
    _, stderr = printed_by(lambda: embedded.main(command), locale, monkeypatch)
    assert "CRITICAL embedded: The embedded PostgreSQL in" in stderr


def test_a_state_is_printed_as_it_is_in_a_locale_without_its_characters(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(json.dumps({"destination_path": str(tmp_path / "out")}))
    state = f'{{"bookmarks":{{"orders":{{"name":"{NAMES}"}}}}}}'
    command = [str(Path(sys.executable).with_name("target-jsonl")), "--config", str(tmp_path / "config")]
    done = subprocess.run(
        command,
        input=f'{{"type":"STATE","value":{state}}}\n'.encode(),
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, state.encode() + b"\n"), done.stderr
