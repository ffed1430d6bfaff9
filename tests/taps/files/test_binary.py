"""Files as they are: one record each, with what they show of themselves."""

from __future__ import annotations

import base64
import codecs
import hashlib
import io
import struct
import wave
import zlib
from typing import Any

import pytest
from taps.files.conftest import Folder

from tap_files.formats.mediatypes import media_type
from tap_files.formats.shapes import duration, pixels


def _png(width: int, height: int) -> bytes:
    data = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    head = struct.pack(">I", len(data)) + b"IHDR" + data
    return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", zlib.crc32(head[4:]))


def _jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 60_000) + bytes(59_998)
    table = b"\xff\xc4" + struct.pack(">H", 19) + bytes(17)
    frame = b"\xff\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1)
    return b"\xff\xd8" + exif + table + frame


def _wav(seconds: float, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(4 * int(rate * seconds)))
    return file.getvalue()


def _flac(samples: int, rate: int) -> bytes:
    return (
        b"fLaC\0\0\0\x22"
        + bytes(10)
        + (rate << 44 | 1 << 41 | 15 << 36 | samples).to_bytes(8, "big")
        + bytes(20)
    )


def _webp(form: bytes, data: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + form + struct.pack("<I", len(data)) + data


def _tiff(order: str) -> bytes:
    entries = [(256, 3, 640), (257, 4, 480), (258, 3, 8)]
    body = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1) + struct.pack(order + ("H2x" if kind == 3 else "I"), value)
        for tag, kind, value in entries
    )
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries)) + body


def test_each_file_is_a_record(folder: Folder) -> None:
    long = b"x" * 3_000_000
    files: dict[str, bytes] = {
        "a.png": _png(640, 480),
        "b.wav": _wav(1.5),
        "c.csv": "id,name\n1,Zoë\n".encode(),
        "d.bin": b"\x00\x01\xfe",
        "e.txt": b"",
        "f.txt": long,
    }
    for name, content in files.items():
        folder.write(f"in/{name}", content)
    stream: dict[str, Any] = {
        "path": "in/*",
        "format": "binary",
        "file_columns": ["_file", "_modified", "_etag"],
    }

    run = folder.sync(**stream)
    rows = {row["_file"]: row for row in run.rows()}
    nothing = dict.fromkeys(("width", "height", "duration", "encoding", "characters"))
    expected: dict[str, dict[str, Any]] = {
        "a.png": {"media_type": "image/png", "width": 640, "height": 480},
        "b.wav": {"media_type": "audio/wav", "duration": 1.5},
        "c.csv": {"media_type": "text/csv", "encoding": "utf-8", "characters": 14},
        "d.bin": {"media_type": "application/octet-stream"},
        "e.txt": {"media_type": "application/octet-stream"},
        "f.txt": {"media_type": "text/plain", "encoding": "utf-8", "characters": 3_000_000},
    }
    for name, content in files.items():
        row = rows[f"in/{name}"]
        assert row["_modified"] is not None
        assert row["_etag"]
        assert {key: row[key] for key in (*nothing, "media_type")} == {**nothing, **expected[name]}
        assert (row["size"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert row["content"] == (None if content is long else base64.b64encode(content).decode())
    assert run.properties()["content"] == {"type": ["null", "string"], "contentEncoding": "base64"}

    assert folder.sync(run.state, **stream).rows() == []
    folder.write("in/d.bin", b"\x00\x01\xfe\xfd")  # it has grown, and is another one all the same
    again = folder.sync(run.state, **stream)
    assert [row["size"] for row in again.rows()] == [4]
    assert [message["where"] for message in again.of_type("REPLACE")] == [{"_file": "in/d.bin"}]


def test_content_is_sent_up_to_a_limit(folder: Folder) -> None:
    folder.write("in/a", b"123")
    folder.write("in/b", b"1234")
    for limit, sent in ((3, ["MTIz", None]), (0, [None, None])):
        run = folder.sync(path="in/*", format="binary", binary={"content_limit": limit})
        assert run.column("content") == sent


@pytest.mark.parametrize(
    ("content", "encoding", "characters"),
    [
        (codecs.BOM_UTF8 + b"abc", "utf-8", 3),
        ("añ😀".encode("utf-16"), "utf-16", 3),
        (codecs.BOM_UTF32_BE + "añ".encode("utf-32-be"), "utf-32", 2),
        ("ñ".encode("latin-1") * 5, None, None),
        (b"ab\0c", None, None),
        ("😀".encode() * 600_000, "utf-8", 600_000),  # parts end amid a character
        ("😀".encode()[:-1], None, None),
        (b"a", "utf-8", 1),
    ],
)
def test_a_text_is_one_that_can_be_decoded(folder: Folder, content: bytes, encoding: str | None, characters: int | None) -> None:  # fmt: skip
    folder.write("in/a", content)
    (row,) = folder.sync(path="in/a", format="binary").rows()
    assert (row["encoding"], row["characters"]) == (encoding, characters)


@pytest.mark.parametrize(
    ("content", "kind", "shape"),
    [
        (_png(3, 2), "image/png", (3, 2)),
        (_jpeg(1920, 1080), "image/jpeg", (1920, 1080)),
        (b"GIF89a" + struct.pack("<HH", 5, 4), "image/gif", (5, 4)),
        (b"BM" + bytes(16) + struct.pack("<ii", 7, -6), "image/bmp", (7, 6)),
        (_webp(b"VP8 ", bytes(6) + struct.pack("<HH", 176, 0xC000 | 144)), "image/webp", (176, 144)),
        (_webp(b"VP8L", b"\x2f" + struct.pack("<I", 9 | 8 << 14)), "image/webp", (10, 9)),
        (_webp(b"VP8X", bytes(4) + b"\x63\0\0\x31\0\0"), "image/webp", (100, 50)),
        (_tiff("<"), "image/tiff", (640, 480)),
        (_tiff(">"), "image/tiff", (640, 480)),
        (b"%PDF-1.7\n", "application/pdf", None),
    ],
)
def test_pictures_say_how_large_they_are(content: bytes, kind: str, shape: tuple[int, int] | None) -> None:
    assert media_type(content, "a", is_text=False) == kind
    assert pixels(content, kind) == shape
    for end in range(len(content)):  # one that is cut says nothing, or the same
        assert pixels(content[:end] if end < 200 else content[: end - 200], kind) in (None, shape)


def test_sounds_say_how_long_they_are() -> None:
    assert str(duration(_wav(2.25), "audio/wav")) == "2.250"
    assert (
        str(duration(_wav(60)[: 1 << 20], "audio/wav")) == "60.000"
    )  # of a long one the beginning is enough
    assert str(duration(_flac(44100 * 61, 44100), "audio/flac")) == "61.000"
    assert duration(_flac(0, 44100), "audio/flac") is None
    assert duration(_wav(1)[:30], "audio/wav") is None
    assert duration(b"RIFF", "audio/wav") is None


@pytest.mark.parametrize(
    ("beginning", "name", "kind"),
    [
        (b"PK\x03\x04...", "in/a.XLSX", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (b"PK\x03\x04...", "a.b/c", "application/zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.doc", "application/msword"),
        (b"\x89PNG\r\n\x1a\n", "a.jpg", "image/png"),
        (b"\xff\xfb\x90\x00", "a", "audio/mpeg"),
        (b"\x1a\x45\xdf\xa3", "a.webm", "video/webm"),
        (b"\x00\x00\x00\x18ftypisom", "a", "video/mp4"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a", "audio/wav"),
        (b"abcd\0\0\0\0WAVEfmt ", "a", "application/octet-stream"),
        (b"\x00\x01", "a.csv", "application/octet-stream"),
    ],
)
def test_the_content_goes_before_the_name(beginning: bytes, name: str, kind: str) -> None:
    assert media_type(beginning, name, is_text=False) == kind
