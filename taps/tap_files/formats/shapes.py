"""What pictures and sounds say of themselves at their beginning: width and height in pixels, seconds. What is cut or damaged says nothing."""

from __future__ import annotations

import io
import struct
import wave
from decimal import Decimal

__all__ = ["duration", "pixels"]

_FRAMES_OF_JPEG = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ALONE_IN_JPEG = frozenset({0x01, *range(0xD0, 0xDA)})


def pixels(beginning: bytes, kind: str) -> tuple[int, int] | None:
    """Return width and height; None where they are not known."""
    try:
        if kind == "image/png":
            return _pair(">II", beginning, 16)
        if kind == "image/gif":
            return _pair("<HH", beginning, 6)
        if kind == "image/bmp":
            width, height = _pair("<ii", beginning, 18)
            return width, abs(height)
        if kind == "image/jpeg":
            return _of_jpeg(beginning)
        if kind == "image/webp":
            return _of_webp(beginning)
        if kind == "image/tiff":
            return _of_tiff(beginning)
    except (struct.error, IndexError):
        pass
    return None


def _pair(form: str, data: bytes, offset: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, data, offset)
    return first, second


def _of_jpeg(data: bytes) -> tuple[int, int] | None:
    place = 2
    while data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # filling
            place += 1
        elif marker in _ALONE_IN_JPEG:
            place += 2
        elif marker in _FRAMES_OF_JPEG:
            height, width = _pair(">HH", data, place + 5)
            return width, height
        else:
            place += 2 + int(struct.unpack_from(">H", data, place + 2)[0])
    return None


def _of_webp(data: bytes) -> tuple[int, int] | None:
    form = data[12:16]
    if form == b"VP8 ":
        width, height = _pair("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if form == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if form == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


def _of_tiff(data: bytes) -> tuple[int, int] | None:
    order = "<" if data.startswith(b"II") else ">"
    place = struct.unpack_from(f"{order}I", data, 4)[0]
    found: dict[int, int] = {}
    for number in range(struct.unpack_from(f"{order}H", data, place)[0]):
        tag, kind = struct.unpack_from(f"{order}HH", data, place + 2 + 12 * number)
        form = {3: "H", 4: "I"}.get(kind)
        if tag in (256, 257) and form is not None:
            found[tag] = struct.unpack_from(order + form, data, place + 10 + 12 * number)[0]
    return (found[256], found[257]) if len(found) == 2 else None


def duration(beginning: bytes, kind: str) -> Decimal | None:
    """Return how long a sound is, in seconds, to the millisecond; None where it is not known."""
    try:
        if kind == "audio/wav":
            with wave.open(io.BytesIO(beginning)) as sound:
                return _seconds(sound.getnframes(), sound.getframerate())
        if kind == "audio/flac":
            bits = int.from_bytes(beginning[18:26], "big")
            return _seconds(bits & (1 << 36) - 1, bits >> 44) if len(beginning) > 26 else None
    except (wave.Error, EOFError, struct.error):
        pass
    return None


def _seconds(frames: int, rate: int) -> Decimal | None:
    """Return the seconds of so many frames; None where the file does not tell."""
    return None if frames <= 0 or rate <= 0 else Decimal(round(frames * 1000 / rate)).scaleb(-3)
