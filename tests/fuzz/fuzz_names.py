"""Names of streams and fields: as identifiers of PostgreSQL, as file names of target-jsonl.

An identifier is the name itself where that fits, at most 63 bytes of UTF-8, the same each time, and another one for
another name, or the collision is told. A file name is one part of a path below its folder, never a device, never
one of our own files, and another one for another stream.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.names import identifiers, place_of
from singerkit_sql_target.naming import lower_ascii, snake
from singerkit_sql_target.settings import Settings
from target_jsonl.names import file_name
from target_postgres.names import LONGEST
from target_postgres.words import WORDS

__all__ = ["SETTINGS", "check", "names_in", "seeds"]

SETTINGS = Settings("public")

_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9]|CONIN\$|CONOUT\$|CLOCK\$)(\.|$)", re.IGNORECASE)


def check(data: bytes) -> None:
    """Raise when a property of this module does not hold for the names in ``data``, one a line."""
    names = names_in(data)
    shorts = {name: short for name in names if (short := _identifier(name)) is not None}
    _check_together(shorts)
    for name in filter(_is_unicode, names):
        _check_rules(name)
    files = {name: file_name(name) for name in names}
    for name, file in files.items():
        assert file == file_name(name)
        _check_file(file)
    assert len(set(files.values())) == len(files), f"one file for two streams: {files}"


def _check_rules(name: str) -> None:
    """A name that a rule has made is left as it is by that rule."""
    for rule in (snake, lower_ascii):
        assert rule(rule(name)) == rule(name)
    assert re.fullmatch(r"\w+", snake(name))


def names_in(data: bytes) -> list[str]:
    """Different names, lone surrogates included: JSON can name them."""
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    return list(dict.fromkeys(text.split("\n")))


def _identifier(name: str) -> str | None:
    try:
        short = place_of(name, SETTINGS, WORDS)[1]
    except BadDataError:
        if name and "\x00" not in name and _is_unicode(name):
            raise
        return None
    assert short == place_of(name, SETTINGS, WORDS)[1]
    encoded = short.encode()
    assert 0 < len(encoded) <= LONGEST
    assert b"\x00" not in encoded
    assert short == name or len(name.encode()) > LONGEST
    assert _unquoted('"' + short.replace('"', '""') + '"') == short
    return short


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _unquoted(quoted: str) -> str:
    assert not quoted[1:-1].replace('""', "").count('"')
    return quoted[1:-1].replace('""', '"')


def _check_together(shorts: dict[str, str]) -> None:
    try:
        together = identifiers(shorts, "a test", WORDS)
    except BadDataError:
        assert len(set(shorts.values())) < len(shorts), "a collision was told where there is none"
        return
    assert together == shorts
    assert len(set(shorts.values())) == len(shorts), "a collision was not told"


def _check_file(file: str) -> None:
    assert file.isascii()
    assert file.isprintable()
    assert "/" not in file
    assert "\\" not in file
    assert len(file) <= 255 - len(".12345678.tmp")
    assert os.path.normpath(os.path.join("/root", file)) == f"/root/{file}"
    assert not _DEVICE.match(file)
    assert not file.startswith(("_singerkit", ".", " "))
    assert file.endswith(".jsonl")
    assert not file.removesuffix(".jsonl").endswith((".", " "))


def seeds() -> Iterator[bytes]:
    """Inputs to begin with."""
    yield "\n".join(["orders", "a-users", "b-users", "Name", "NAME", "caf\u00e9", "cafe\u0301", ""]).encode()
    yield "\n".join(["ä" * 40 + "1", "ä" * 40 + "2", "c" * 63, "c" * 64, "😀" * 16]).encode()
    yield "\n".join(['a"b', "%(b)s", "; drop table x", "back\\slash", " x ", "select", "..", "."]).encode()
    yield "\n".join(
        ["../../x", "/etc/x", "CON", "con.txt", "com1", "%43ON", "a/b", "a%2Fb", "x" * 300]
    ).encode()
    yield b"_singerkit_state\n_singerkit\n%5Fsingerkit\n_Singerkit\n__\n a\n%20a\na.\na%2E"
    yield "\ud800\na\udc00b\n\ud83d\ude00".encode("utf-8", "surrogatepass")
    yield b"a\x00b\n\x00\n\x7f\n\x01"
    yield (b"c" * 54 + b"_" + b"0123abcd\n") + b"c" * 70
