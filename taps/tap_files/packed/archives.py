"""Members of zip and tar as files of their own: a place around a place."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import IO, Any

from tap_files.formats.contract import UnreadableFile
from tap_files.packed.inflating import Inflated
from tap_files.packed.limits import Limits
from tap_files.packed.packing import SEPARATOR, archive_kind, archive_of
from tap_files.packed.unpacked import on_disk
from tap_files.places.contract import Content, FileChanged, FileGone, Found, Place

__all__ = ["Archives"]

_ENCRYPTED = 1
_PIECE = 1 << 20


class Archives(Place):
    """A `Place` that lists the members of archives in the place of the archives; all other files are as the place has them.

    ``is_meant``: whether a file of that name is wanted at all: no other archive is opened. ``members``: the pattern of those that are listed (`*` has folders, too). An archive lies in a temporary file while its members are read, if
    it does not lie on this machine, or is a packed tar; one at a time.

    Raises (`look`, `open`):
        UnreadableFile: an archive is broken, locked by a password, too large when it is unpacked, or has a member with a name that leads out of it.
    """

    can_skip = False

    def __init__(
        self,
        place: Place,
        is_meant: Callable[[str], object],
        members: str = "*",
        limits: Limits | None = None,
    ) -> None:
        self._place, self._is_meant, self._members, self._limits = (
            place,
            is_meant,
            members,
            limits or Limits(),
        )
        self._opened: _Archive | None = None
        self.may_grow = place.may_grow

    def files(self, prefix: str, *, deep: bool = True) -> Iterator[Found]:
        for found in self._place.files(prefix, deep=deep):
            if archive_kind(found.name) is None:
                yield found
            elif self._is_meant(found.name):
                yield from self._members_of(found)

    def _members_of(self, found: Found) -> Iterable[Found]:
        """Return the members; the archive itself where it cannot be read, whose `open` says why: the other files may be read."""
        try:
            return self._archive(found).members.values()
        except UnreadableFile:
            return [found]

    def look(self, name: str) -> Found | None:
        archive = archive_of(name)
        found = self._place.look(archive)
        return found if found is None or archive == name else self._archive(found).members.get(name)

    def open(self, found: Found, offset: int = 0) -> Content:
        archive = archive_of(found.name)
        if archive_kind(found.name) is not None:
            self._archive(found)
            raise FileChanged(f"{found.name} was mended while it was read; run again.")
        if archive == found.name:
            return self._place.open(found, offset)
        holder = self._place.look(archive)
        if holder is None:
            raise FileGone(
                f"{archive} was removed while it was read; rows of it read so far are safe: run again."
            )
        opened = self._archive(holder)
        member = opened.members.get(found.name)
        if member is None or member.version != found.version:
            raise FileChanged(f"{archive} was replaced while it was read; run again.")
        content = opened.open(member)
        left = offset
        while left and (part := content.read(min(left, _PIECE))):
            left -= len(part)
        return content

    def path_of(self, found: Found) -> str | None:
        return None if archive_of(found.name) != found.name else self._place.path_of(found)

    def close(self) -> None:
        self.let_go()
        self._place.close()

    def _archive(self, found: Found) -> _Archive:
        if self._opened is None or self._opened.found != found:
            self.let_go()
            self._opened = _Archive(self._place, found, self._members, self._limits)
        return self._opened

    def let_go(self) -> None:
        """Let go of the archive that is opened, not of the place."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


@dataclass(slots=True)
class _Member:
    """What `_Zip` and `_Tar` say of one: ``check`` is what tells its content from another of that name; None: nothing does."""

    name: str
    size: int
    modified: int | None
    check: str | None
    entry: Any


class _Archive:
    """One archive, opened."""

    def __init__(self, place: Place, found: Found, pattern: str, limits: Limits) -> None:
        kind, packing = archive_kind(found.name) or ("zip", "none")
        self.found, self._limits = found, limits
        self._file = _on_this_machine(place, found, packing, limits)
        try:
            with _worded(found.name):
                self._reader: _Zip | _Tar = _Zip(self._file) if kind == "zip" else _Tar(self._file)
                chosen = [member for member in self._reader.members() if _is_chosen(member.name, pattern)]
            _check(found, chosen, limits)
        except BaseException:
            self._file.close()
            raise
        self._entries = {f"{found.name}{SEPARATOR}{member.name}": member for member in chosen}
        self.members = {
            name: Found(
                name,
                member.size,
                member.modified,
                found.appeared,
                found.version if member.check is None else member.check,
            )
            for name, member in self._entries.items()
        }

    def open(self, member: Found) -> Content:
        with _worded(self.found.name):
            opened = self._reader.open(self._entries[member.name].entry)
        return _MemberContent(opened, self.found.name)

    def close(self) -> None:
        self._file.close()


class _MemberContent:
    def __init__(self, opened: IO[bytes], archive: str) -> None:
        self._opened, self._archive = opened, archive

    def read(self, size: int, /) -> bytes:
        with _worded(self._archive):
            return self._opened.read(size)

    def close(self) -> None:
        self._opened.close()


class _Zip:
    def __init__(self, file: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(file)

    def members(self) -> Iterator[_Member]:
        for entry in self._archive.infolist():
            if not entry.is_dir():
                check = f"{entry.CRC:08x}-{entry.file_size}"
                yield _Member(entry.filename, entry.file_size, _microseconds(entry.date_time), check, entry)

    def open(self, entry: zipfile.ZipInfo) -> IO[bytes]:
        return self._archive.open(entry)


class _Tar:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._archive = tarfile.open(fileobj=file, mode="r:", errorlevel=1)  # noqa: SIM115  goes with its file

    def members(self) -> Iterator[_Member]:
        end = 0
        for entry in self._archive:
            end = entry.offset_data + (
                -(-entry.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE if entry.isreg() else 0
            )
            if entry.isreg():  # links and devices are no files of the archive
                yield _Member(entry.name, entry.size, int(entry.mtime * 1_000_000), None, entry)
        self._file.seek(end)
        if self._file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError(
                "no end"
            )  # tarfile takes one that was cut between two members for a whole one

    def open(self, entry: tarfile.TarInfo) -> IO[bytes]:
        opened = self._archive.extractfile(entry)
        assert opened is not None  # noqa: S101  regular files have a content
        return opened


@contextmanager
def _worded(archive: str) -> Iterator[None]:
    """Word what the modules of archives raise."""
    kind = "zip" if archive.lower().endswith(".zip") else "tar"
    try:
        yield
    except NotImplementedError as error:
        raise UnreadableFile(
            f"{archive} is a zip with a member packed in a way that is not read ({str(error)[:60]}); pack it again with deflate"
        ) from None
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        raise UnreadableFile(
            f"Expected a whole {kind} in {archive}, got one that is cut or broken ({(str(error) or type(error).__name__)[:80]}); fetch it again"
        ) from None


def _on_this_machine(place: Place, found: Found, packing: str, limits: Limits) -> IO[bytes]:
    path = place.path_of(found) if packing == "none" else None
    if path is not None:
        return open(path, "rb")
    content = place.open(found, 0)
    try:
        return on_disk(content if packing == "none" else Inflated(content, packing, limits), limits)
    finally:
        content.close()


def _is_chosen(name: str, pattern: str) -> bool:
    """Tell whether a member is read: it has a name of the pattern, and is none that macOS puts into an archive."""
    parts = PurePosixPath(name).parts
    return fnmatchcase(name, pattern) and "__MACOSX" not in parts and not parts[-1].startswith("._")


def _check(found: Found, members: list[_Member], limits: Limits) -> None:
    """Refuse an archive that is dangerous, or that cannot be told apart by the names in it."""
    shown = found.name
    for member in members:
        parts = member.name.split("/")
        if (
            member.name.startswith("/")
            or "\\" in member.name
            or any(part in ("", ".", "..") for part in parts)
        ):
            raise UnreadableFile(
                f"Expected names that stay in the archive, got `{member.name[:100]}` in {shown}; nothing of it was read: pack it again, or leave such "
                "members out by `members`"
            )
        if isinstance(member.entry, zipfile.ZipInfo) and member.entry.flag_bits & _ENCRYPTED:
            raise UnreadableFile(
                f"{shown} is locked by a password, which is not read (`{member.name[:100]}`); nothing of it was read: ask its makers for one without"
            )
    doubled = [name for name, count in Counter(member.name for member in members).items() if count > 1]
    if doubled:
        raise UnreadableFile(
            f"Expected each name once in {shown}, got `{doubled[0][:100]}` twice; nothing of it was read: pack it again"
        )
    limits.check(found.size or 0, sum(member.size for member in members))


def _microseconds(moment: tuple[int, ...]) -> int | None:
    """Return a time of a zip, which has no zone, as if it were UTC; None: it is no time."""
    try:
        year, month, day, hour, minute, second = moment[:6]
        return (
            int(datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp()) * 1_000_000
        )
    except ValueError:
        return None
