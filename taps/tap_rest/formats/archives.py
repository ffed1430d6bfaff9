"""Bodies that are files of gzip or zip, by their first bytes: what is in them, whole and within the limits."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import PurePosixPath

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from tap_rest.http.retries import Transient
from tap_rest.http.storing import PIECE, Limits, Span, Store, TooLargeError, stored
from tap_rest.http.unpacking import CutError, ungzipped

__all__ = ["File", "files_in"]

_GZIP, _ZIP = b"\x1f\x8b", b"PK"
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
_WRAPS = 3
"""How often one may be in the other."""
_ENCRYPTED = 1
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class File:
    """What was in a body, and the name that it has there."""

    content: bytes | Span
    name: str
    is_unpacked: bool = False


def files_in(body: bytes | Span, name: str, wanted: str, limits: Limits, stream: str) -> list[File]:
    """Return the files that a body holds, or the body itself; ``name`` is its own, ``wanted`` a pattern for those in a zip.

    Raises:
        Transient: it was cut.
        BadDataError: it is too large, encrypted or of another kind, or has no file of that name.
    """
    try:
        return _files_in(body, name, wanted, limits, stream)
    except (CutError, zipfile.BadZipFile, EOFError, zlib.error):
        raise Transient("the body was cut before the end of what is compressed in it, or is broken") from None
    except TooLargeError as error:
        raise BadDataError(
            f"What is compressed in the body is larger than {error.limit} bytes; ask for less at once, or raise `limits.response_bytes`."
        ) from None


def _files_in(body: bytes | Span, name: str, wanted: str, limits: Limits, stream: str) -> list[File]:
    is_unpacked = False
    for _ in range(_WRAPS):
        start = _start(body)
        if start in _ZIP_STARTS:
            return _unzipped(body, wanted, limits, stream)
        if start[:2] != _GZIP:
            break
        body, name, is_unpacked = stored(ungzipped(_pieces(body)), limits), name.removesuffix(".gz"), True
    return [File(body, name, is_unpacked)]


def _unzipped(body: bytes | Span, wanted: str, limits: Limits, stream: str) -> list[File]:
    source = io.BytesIO(body) if isinstance(body, bytes) else body.disk.file
    store, ends, names = Store(limits), [0], []
    try:
        with zipfile.ZipFile(source) as archive:
            for member in _chosen(archive, wanted, stream):
                with archive.open(member) as opened:
                    for piece in _plain(iter(lambda: opened.read(PIECE), b"")):
                        store.write(piece)
                ends.append(store.size)
                names.append(member.filename.removesuffix(".gz"))
    except (NotImplementedError, RuntimeError) as error:
        raise BadDataError(
            f"The body is a zip that is not read: {redactor.mask_foreign(str(error))[:100]}."
        ) from None
    whole = store.finish()
    return [
        File(whole[begin:end] if isinstance(whole, bytes) else Span(whole.disk, begin, end), name, True)
        for name, begin, end in zip(names, ends, ends[1:], strict=False)
    ]


def _chosen(archive: zipfile.ZipFile, wanted: str, stream: str) -> list[zipfile.ZipInfo]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    found = [
        member
        for member in members
        if fnmatchcase(member.filename, wanted) and not _is_of_a_system(member.filename)
    ]
    if not found:
        names = ", ".join(f"`{member.filename[:60]}`" for member in members[:_SHOWN]) or "none"
        raise BadDataError(
            f"Expected a zip with files of the name `{wanted}`, got {redactor.mask_foreign(names)}; set `zip_members` of stream {stream}."
        )
    if any(member.flag_bits & _ENCRYPTED for member in found):
        raise BadDataError(
            "The body is a zip with a password, which is not read; ask its makers for one without."
        )
    return found


def _is_of_a_system(name: str) -> bool:
    """Tell whether a file in a zip is one that macOS puts into it, and no content."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") for part in parts)


def _plain(pieces: Iterator[bytes]) -> Iterable[bytes]:
    """Return what a file in a zip holds, which may be gzip."""
    first = next(pieces, b"")
    whole = chain([first], pieces)
    return ungzipped(whole) if first[:2] == _GZIP else whole


def _start(body: bytes | Span) -> bytes:
    return body[:4] if isinstance(body, bytes) else body.read(0, 4)


def _pieces(body: bytes | Span) -> Iterable[bytes]:
    return [body] if isinstance(body, bytes) else body.pieces()
