"""The encoding of a file of text: declared, or known by its BOM, and never guessed; and where its lines end, in bytes.

A line ends with LF, CRLF or CR, in EBCDIC also with NEL. The bytes of the text that stands before a line are known exactly in every
encoding, as lines are cut before they are decoded.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import cached_property

from singerkit_shell.encoding import check_utf8, python_codec
from singerkit_shell.errors import BadDataError
from tap_files.formats.contract import OtherSettings

__all__ = ["Coding", "NotDecoded", "codec_named", "coding_behind", "coding_of"]

_NOT_BY_LINES = (
    "unicode-escape",
    "raw-unicode-escape",
    "idna",
    "punycode",
    "undefined",
    "utf-7",
    "hz",
    "iso2022_kr",
)
"""Codecs that are no encoding of a file, or in which a line does not stand for itself."""
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NEL = 0x15
_OF_SEVERAL_BYTES = "é表中가"
"""Of these each encoding in which characters have several bytes has one."""
_MOST_LOOKED_AT = 1 << 16


class NotDecoded(BadDataError):
    """Bytes that are none of their encoding; ``start``: where, in what was to be decoded."""

    def __init__(self, codec: str, start: int) -> None:
        super().__init__(codec)
        self.codec, self.start = codec, start


@dataclass(frozen=True)
class Coding:
    """An encoding; ``codec``: Python's name for it, one that says the order of bytes where there are two."""

    codec: str

    @cached_property
    def unit(self) -> int:
        """The bytes of the shortest character."""
        return len(self._feed)

    @cached_property
    def _feed(self) -> bytes:
        return "\n".encode(self.codec)

    @cached_property
    def _return(self) -> bytes:
        return "\r".encode(self.codec)

    @cached_property
    def _is_ascii(self) -> bool:
        """Whether the ends of lines are those of ASCII, and their bytes part of no other character."""
        return self._feed == b"\n"

    @cached_property
    def _has_nel(self) -> bool:
        return self.unit == 1 and not self._is_ascii

    @cached_property
    def _line(self) -> re.Pattern[bytes]:
        """One line, of which the last may have no end. Characters of several bytes are passed over as a whole."""
        feed, back = re.escape(self._feed), re.escape(self._return)
        ends = [back + feed, feed, back] + ([re.escape(bytes([_NEL]))] if self._has_nel else [])
        end, char = b"|".join(ends), b"." * self.unit
        return re.compile(
            b"(?s)(?:(?!"
            + end
            + b")"
            + char
            + b")*+(?:"
            + end
            + b"|.{0,"
            + b"%d" % (self.unit - 1)
            + b"}\\Z)"
        )

    @cached_property
    def is_of_bytes(self) -> bool:
        """Whether each character is one byte."""
        if self.unit > 1 or any(len(char.encode(self.codec, "ignore")) > 1 for char in _OF_SEVERAL_BYTES):
            return False
        return len(bytes(range(256)).decode(self.codec, "replace")) == 256

    def lines(self, data: bytes) -> list[bytes]:
        """Return the lines, each with its end; the last one may have none."""
        if self._is_ascii:
            return data.splitlines(keepends=True)
        return list(filter(None, self._line.findall(data)))

    def end_of_lines(self, data: bytes) -> int:
        """Return where the last line ends that does so for sure: a CR at the end may be half of a CRLF. 0: none does."""
        ends = [self._behind_last(self._feed, data, len(data))]
        ends.append(self._behind_last(self._return, data, len(data) - self.unit))
        if self._has_nel:
            ends.append(data.rfind(_NEL) + 1)
        return max(ends)

    def is_ended(self, data: bytes) -> bool:
        """Tell whether the last line has an end."""
        lines = self.lines(data[-2 * self.unit :])
        return not lines or self.end_of_lines(lines[-1] + b"\0" * self.unit) > 0

    def _behind_last(self, mark: bytes, data: bytes, end: int) -> int:
        found = data.rfind(mark, 0, max(end, 0))
        while found % self.unit and found >= 0:
            found = data.rfind(mark, 0, found + self.unit - 1)
        return found + self.unit if found >= 0 else 0

    def text(self, data: bytes) -> str:
        """Return whole lines as text.

        Raises:
            NotDecoded: some bytes are none of the encoding.
        """
        try:
            text = data.decode(self.codec)
        except UnicodeDecodeError as error:
            raise NotDecoded(self.codec, error.start) from None
        return text.replace("\x85", "\n") if self._has_nel else text

    def utf8(self, data: bytes) -> bytes:
        """Return whole lines as UTF-8.

        Raises:
            NotDecoded: some bytes are none of the encoding.
        """
        if self.codec != "utf-8":
            return self.text(data).encode()
        try:
            check_utf8(data)
        except UnicodeDecodeError as error:
            raise NotDecoded(self.codec, error.start) from None
        return data

    def shown(self, data: bytes) -> str:
        """Return lines as a person may see them; bytes that are none of the encoding as `\\xff`."""
        return data.decode(self.codec, "backslashreplace")

    def suggestion(self, data: bytes, setting: str) -> str:
        """Return the end of a sentence that says which encoding bytes could be in, as far as something is installed that guesses.

        ``setting``: where the user would say it.
        """
        try:
            from charset_normalizer import from_bytes
        except ImportError:
            return f"; say the encoding of the file in `{setting}`"
        found = from_bytes(data[:_MOST_LOOKED_AT]).best()
        if found is None or codec_named(found.encoding) in (None, self.codec):
            return f"; say the encoding of the file in `{setting}`"
        return f"; say the encoding of the file in `{setting}` (perhaps `{found.encoding}`, which is a guess)"


def coding_of(said: str | None, start: bytes, setting: str) -> tuple[Coding, int]:
    """Return the encoding of a file, and how many bytes its BOM takes.

    ``said``: what the config declares; ``start``: the first eight bytes of the file, or all where there are fewer.

    Raises:
        UnreadableFile: its BOM is that of another encoding; or bytes have an order that neither the config nor a BOM tells.
    """
    codec = "utf-8" if said is None else codec_named(said)
    assert codec is not None  # noqa: S101 - the config has been looked at
    if codec == "utf-8-sig":
        codec = "utf-8"
    for bom, by_bom in _BOMS:
        if start.startswith(bom):
            if said is not None and codec not in (by_bom, by_bom[:6]):
                raise OtherSettings(
                    f"Expected `{codec}`, got the BOM of `{by_bom}` in line 1 (byte 0); take `{setting}` out, or say what the file is in"
                )
            doubled = start[len(bom) :].startswith(bom)  # a file with one, behind one of whoever wrote it
            return Coding(by_bom), len(bom) * (1 + doubled)
    if codec in ("utf-16", "utf-32"):
        raise OtherSettings(
            f"Expected a BOM in line 1 (byte 0), which tells the order of bytes in `{codec}`, got none; say `{codec}-le` or `{codec}-be` in "
            f"`{setting}`"
        )
    return Coding(codec), 0


def coding_behind(before: str, said: str | None) -> Coding:
    """Return the encoding of the rest of a file; ``before``: the one that its beginning was read in.

    What the config declares since wins, as a run that met other bytes has advised, unless the BOM told more.

    Raises:
        LookupError: there is no such one as ``before``.
    """
    codecs.lookup(before)
    codec = before if said is None else codec_named(said)
    return Coding(before if codec is None or codec in ("utf-8-sig", "utf-16", "utf-32") else codec)


def codec_named(name: str) -> str | None:
    """Return the name that Python has for an encoding of files; None: there is no such one, or lines are none of it."""
    return python_codec(name, _NOT_BY_LINES, "\r\n")
