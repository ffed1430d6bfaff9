"""The container of an Avro file: a header, and blocks that each end with the same 16 bytes."""

from __future__ import annotations

import bz2
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_shell.extras import imported
from tap_files.formats.contract import Bytes, UnreadableFile

__all__ = ["Block", "Container", "Header"]

_MAGIC = b"Obj\x01"
_SYNC = 16
_READ = 1 << 18
_LONGEST_HEADER = 1 << 24
_LARGEST_BLOCK = 1 << 28
"""Bytes of a block, packed and unpacked."""
_SMALLEST_COUNT = 1 << 20
"""So many records may stand in a block, however few bytes it has."""


@dataclass(frozen=True)
class Header:
    """``content``: its bytes. ``schema``: as the file has it."""

    content: bytes
    schema: Any
    codec: str
    sync: bytes


@dataclass(frozen=True)
class Block:
    """``byte``: where it begins. ``end``: where the next one does. ``size``: bytes of its values, packed."""

    byte: int
    end: int
    count: int
    size: int
    packed: bytes
    unpack: Callable[[bytes, str], bytes]

    def content(self) -> bytes:
        """Return the bytes of its values.

        Raises:
            UnreadableFile: they cannot be unpacked.
        """
        return self.unpack(self.packed, f"the block at byte {self.byte}")


class Container:
    """One file, from ``byte`` on, where a block begins; ``header``: the bytes of its header, which is read where there are none.

    Raises:
        ConfigurationError: what unpacks it is not installed.
        UnreadableFile: it is no Avro.
    """

    def __init__(self, content: Bytes, byte: int, header: bytes | None) -> None:
        self._content, self.byte = content, byte
        self._rest = b""
        self._taken: list[bytes] | None = [] if header is None else None
        self.header: Header = (
            self._read_header() if header is None else Container(_Given(header), 0, None).header
        )
        self._taken = None
        self._unpack = _unpacker(self.header.codec)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks, until the end.

        Raises:
            UnreadableFile: one is damaged, or cut.
        """
        while self._has_more():
            begin = self.byte
            count, size = self._long("a number of records"), self._long("the length of a block")
            if not (count >= 0 and 0 <= size <= _LARGEST_BLOCK) or count > max(_SMALLEST_COUNT, size * 8192):
                raise UnreadableFile(
                    f"Expected a block of at most {_LARGEST_BLOCK} bytes at byte {begin}, got one that says it has {count} records in {size} "
                    "bytes: the file is damaged there; have it written or copied anew."
                )
            packed = self._take(size, "a block")
            sync = self._take(_SYNC, "the marker behind a block")
            if sync != self.header.sync:
                raise UnreadableFile(
                    f"Expected the marker of the file behind the block at byte {begin}, got other bytes at byte {self.byte - _SYNC}: the block is "
                    "damaged; have the file written or copied anew."
                )
            if count:
                yield Block(begin, self.byte, count, size, packed, self._unpack)

    def _read_header(self) -> Header:
        start = self._take(len(_MAGIC), "the magic bytes") if self._has_more() else b""
        if start != _MAGIC:
            raise UnreadableFile(
                "Expected an Avro file, which begins with `Obj` and 1, got "
                + (
                    "one of 0 bytes."
                    if not start
                    else "other bytes: it is of another format (or of Avro before 1.3)."
                )
            )
        members: dict[bytes, bytes] = {}
        while count := self._long("the header"):
            if count < 0:  # then the length of the part follows
                count = -count
                self._long("the header")
            for _ in range(count):
                name = self._take(self._length(), "the header")
                members[name] = self._take(self._length(), "the header")
        sync = self._take(_SYNC, "the header")
        try:
            schema = json.loads(members[b"avro.schema"])
            codec = members.get(b"avro.codec", b"null").decode()
        except (KeyError, ValueError):
            raise UnreadableFile(
                "Expected a schema and a codec in the header of an Avro file, got others; have it written anew."
            ) from None
        return Header(b"".join(self._taken or []), schema, codec, sync)

    def _length(self) -> int:
        length = self._long("the header")
        if not 0 <= length <= _LONGEST_HEADER or self.byte > _LONGEST_HEADER:
            raise UnreadableFile(
                f"Expected a header of at most {_LONGEST_HEADER} bytes, got a longer one at byte {self.byte}: the file is damaged; have it written anew."
            )
        return length

    def _has_more(self) -> bool:
        if not self._rest:
            self._rest = self._content.read(_READ)
        return bool(self._rest)

    def _take(self, size: int, what: str) -> bytes:
        parts, lacking = [], size
        while lacking:
            if not self._has_more():
                raise UnreadableFile(
                    f"Expected {what} of {size} bytes, got the end of the file at byte {self.byte + size - lacking}: it is cut; have it copied anew."
                )
            part, self._rest = self._rest[:lacking], self._rest[lacking:]
            parts.append(part)
            lacking -= len(part)
        self.byte += size
        taken = b"".join(parts)
        if self._taken is not None:
            self._taken.append(taken)
        return taken

    def _long(self, what: str) -> int:
        number = shift = 0
        while shift < 70:
            byte = self._take(1, what)[0]
            number |= (byte & 127) << shift
            if byte < 128:
                return number >> 1 ^ -(number & 1)
            shift += 7
        raise UnreadableFile(
            f"Expected {what} at byte {self.byte - 10}, got a number of more than 64 bits: the file is damaged; have it written or copied anew."
        )


class _Given:
    is_whole = True
    name = ""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int, /) -> bytes:
        part, self._content = self._content[:size], self._content[size:]
        return part

    def to_disk(self) -> str:
        raise NotImplementedError


def _unpacker(codec: str) -> Callable[[bytes, str], bytes]:
    if codec == "null":
        return lambda packed, _where: packed
    if codec == "snappy":
        return _snappy(imported("cramjam", "Avro packed by snappy", "avro", "tap-files"))
    makers: Mapping[str, Callable[[], Any]] = {
        "deflate": lambda: zlib.decompressobj(-15),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lzma.LZMADecompressor,
        "zstandard": _zstd,
    }
    if codec not in makers:
        raise UnreadableFile(
            f"Expected a codec of Avro (null, {', '.join(makers)}, snappy) in the header, got `{codec[:40]}`; have the file written with one of these."
        )
    make = makers[codec]
    if codec == "zstandard":
        make()
    return lambda packed, where: _inflated(make(), packed, where)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        zstd = imported("backports.zstd", "Avro packed by zstandard", "zstd", "tap-files")
    return zstd.ZstdDecompressor()


def _inflated(unpacker: Any, packed: bytes, where: str) -> bytes:
    try:
        content: bytes = unpacker.decompress(packed, _LARGEST_BLOCK + 1)
        is_whole = unpacker.eof
    except Exception as error:  # each module has errors of its own, without a common one
        raise UnreadableFile(
            f"Expected {where} as its codec packs it, got other bytes ({str(error)[:100]}): the file is damaged; have it written or copied anew."
        ) from None
    return _checked_size(content, is_whole, where)


def _checked_size(content: bytes, is_whole: bool, where: str) -> bytes:
    if len(content) > _LARGEST_BLOCK:
        raise UnreadableFile(
            f"Expected {where} to have at most {_LARGEST_BLOCK} bytes when it is unpacked, got more; have it written in smaller blocks."
        )
    if not is_whole:
        raise UnreadableFile(
            f"Expected {where} to be whole, got its beginning: the file is damaged; have it written anew."
        )
    return content


def _snappy(cramjam: Any) -> Callable[[bytes, str], bytes]:
    def unpack(packed: bytes, where: str) -> bytes:
        try:
            if _length_of_snappy(packed) > _LARGEST_BLOCK:
                return _checked_size(bytes(_LARGEST_BLOCK + 1), True, where)
            content = bytes(cramjam.snappy.decompress_raw(packed[:-4]))
        except cramjam.DecompressionError as error:
            raise UnreadableFile(
                f"Expected {where} as its codec packs it, got other bytes ({str(error)[:100]}): the file is damaged; have it written or copied anew."
            ) from None
        if zlib.crc32(content).to_bytes(4, "big") != packed[-4:]:
            raise UnreadableFile(
                f"Expected {where} with its checksum, got another: the file is damaged; have it written or copied anew."
            )
        return content

    return unpack


def _length_of_snappy(packed: bytes) -> int:
    length = 0
    for place, byte in enumerate(packed[:5]):
        length |= (byte & 127) << 7 * place
        if byte < 128:
            break
    return length
