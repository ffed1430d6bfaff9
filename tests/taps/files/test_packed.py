"""What is packed is unpacked to its end, or refused in one sentence (F10, F14)."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from singerkit_shell.errors import BadDataError, ConfigurationError
from tap_files.formats.contract import OtherSettings, UnreadableFile
from tap_files.packed.archives import Archives
from tap_files.packed.inflating import Inflated
from tap_files.packed.limits import Limits
from tap_files.packed.packing import PACKINGS, SEPARATOR, inner_name, packing_of
from tap_files.packed.unpacked import Unpacking
from tap_files.places.contract import Content, Found, Place
from tap_files.places.local import LocalPlace

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def with_checksum(data: bytes) -> bytes:
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


PACK = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zstd": with_checksum}
ENDINGS = {"gzip": ".gz", "bz2": ".bz2", "xz": ".xz", "zstd": ".zst"}
TEXT = b"".join(b"%d,%d\n" % (number, number * 7919 % 1000) for number in range(60_000))


SMALL = Limits(harmless=1 << 20)


class Elsewhere(LocalPlace):
    """A place whose files do not lie on this machine."""

    def path_of(self, found: Found) -> None: ...


def archives(
    folder: Path, pattern: str = "*", limits: Limits | None = None, is_here: bool = True
) -> Archives:
    place = LocalPlace(str(folder)) if is_here else Elsewhere(str(folder))
    return Archives(place, lambda name: True, pattern, limits)


def listed(place: Place) -> dict[str, Found]:
    found = {one.name: one for one in place.files("")}
    return {name: found[name] for name in sorted(found)}


def all_of(content: Content, size: int = 1 << 16) -> bytes:
    with closing(content):
        return b"".join(iter(lambda: content.read(size), b""))


class Dripping(io.BytesIO):
    """Gives as many bytes at once as a network does."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._random = random.Random(7)

    def read(self, size: int = -1, /) -> bytes:
        return super().read(min(size, self._random.choice([1, 3, 700, 20_000])))


def unpacked(data: bytes, packing: str, limits: Limits | None = None, size: int = 1 << 16) -> bytes:
    content = Inflated(Dripping(data), packing, limits or Limits())
    return b"".join(iter(lambda: content.read(size), b""))


@pytest.mark.parametrize("packing", PACKINGS)
def test_all_members_of_a_file_are_read(packing):
    pack = PACK[packing]
    data = pack(TEXT[:100_000]) + pack(b"") + pack(TEXT[100_000:])
    assert unpacked(data, packing) == TEXT
    padding = bytes(512 + (-len(data)) % 4)
    assert unpacked(data + padding, packing, size=1000) == TEXT, "zeros behind the end are padding"
    assert unpacked(pack(b""), packing) == b""
    with pytest.raises(UnreadableFile, match=f"Expected {packing}, got a file of 0 bytes.*minimum_age"):
        unpacked(b"", packing)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_file_that_was_cut_is_refused_wherever_that_was(packing):
    data = PACK[packing](TEXT[:500]) + PACK[packing](TEXT[500:900])
    end_of_first = len(PACK[packing](TEXT[:500]))
    for end in range(7, len(data)):
        if end == end_of_first:
            continue  # whole, for all that anybody can tell
        with pytest.raises(
            UnreadableFile, match=r"end in the middle.*`minimum_age` and `done_marker`|other bytes"
        ):
            unpacked(data[:end], packing)


@pytest.mark.parametrize("packing", PACKINGS)
def test_garbage_behind_the_end_and_inside_is_refused_with_its_byte(packing):
    data = PACK[packing](TEXT[:3000])
    with pytest.raises(UnreadableFile, match=rf"other bytes behind it \(byte {len(data)} of the packed"):
        unpacked(data + b"<html>", packing)
    with pytest.raises(UnreadableFile, match=r"by the name or `compression`, got other bytes"):
        unpacked(TEXT[:100], packing)
    broken = bytearray(PACK[packing](random.Random(1).randbytes(5000)))
    broken[len(broken) // 2] ^= 0xFF
    with pytest.raises(UnreadableFile, match=r"got bytes that are not, before byte|end in the middle"):
        unpacked(bytes(broken), packing)


@pytest.mark.parametrize("tool", ["gzip", "bzip2", "xz", "zstd"])
def test_what_the_tools_themselves_have_packed(tool, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT)
    subprocess.run([tool, "-q", path], check=True)
    (packed,) = (found for found in tmp_path.iterdir() if found != path)
    packing = packing_of(packed.name)
    assert inner_name(packed.name) == "a.csv"
    assert unpacked(packed.read_bytes() * 2, packing) == TEXT * 2


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_bomb_ends_the_run_before_it_fills_anything(packing):
    bomb = PACK[packing](bytes(1 << 20)) * 4
    with pytest.raises(OtherSettings, match=r"no more than 500 times the packed bytes.*`unpacked_ratio`"):
        unpacked(bomb, packing, SMALL)
    with pytest.raises(OtherSettings, match=r"no more than 1000000 bytes.*`unpacked_limit`"):
        unpacked(bomb, packing, Limits(most=1_000_000))


def test_an_xz_file_that_asks_for_much_memory_is_refused():
    large = lzma.compress(
        b"1", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 160 << 20, "mf": lzma.MF_HC3}]
    )
    with pytest.raises(UnreadableFile, match=r"Memory usage limit"):
        unpacked(large, "xz")


def test_names_that_say_how_a_file_is_packed():
    assert [packing_of(name) for name in ("a.csv", "a.CSV.GZ", "a.log.2.gz", "a.tzst.zst")] == [
        "none",
        "gzip",
        "gzip",
        "zstd",
    ]
    assert packing_of("a.csv.lz4", "none") == "none"
    with pytest.raises(ConfigurationError, match=r"a\.csv\.lz4 is packed in a way"):
        packing_of("a.csv.lz4")


def test_a_file_is_read_from_a_byte_on(tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT)
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress(TEXT))
    place = Unpacking(LocalPlace(str(tmp_path)))
    for found in listed(place).values():
        assert all_of(place.open(found, 70_001), 5000) == TEXT[70_001:]
        assert all_of(place.open(found)) == TEXT
        assert (place.path_of(found) is not None) == (found.name == "a.csv")
    with pytest.raises(UnreadableFile, match=r"replaced by a shorter one"):
        place.open(found, len(TEXT) + 1)


def test_a_text_that_is_packed_without_saying_so_is_refused(tmp_path):
    place = LocalPlace(str(tmp_path))
    for packing, pack in PACK.items():
        packed = pack(TEXT)
        (tmp_path / "a.csv").write_bytes(packed)
        (found,) = place.files("")
        assert all_of(Unpacking(place, packing).open(found)) == TEXT
        assert all_of(Unpacking(place, is_text=False).open(found)) == packed
        if packing != "bz2":  # its first bytes are text
            with pytest.raises(UnreadableFile, match=f"got {packing} by the first bytes"):
                Unpacking(place).open(found)


MEMBERS = {"orders/1.csv": TEXT, "orders/2.csv": b"a,b\n1,2\n", "readme.txt": b"read me"}


def make_archive(path: Path, members: dict[str, bytes], **more) -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("orders/link.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    packing = "none" if path.suffix == ".tar" else packing_of(path.name)
    packing = "gzip" if path.suffix == ".tgz" else packing
    path.write_bytes(plain.getvalue() if packing == "none" else PACK[packing](plain.getvalue()))


def names_in(folder: Path, pattern: str = "*", limits: Limits | None = None) -> list[str]:
    with closing(archives(folder, pattern, limits)) as place:
        found = listed(place)
        for name in [name for name in found if SEPARATOR not in name]:
            place.open(found[name])
        return list(found)


def read_all(folder: Path) -> None:
    with closing(archives(folder)) as place:
        for found in list(place.files("")):
            with closing(place.open(found)) as opened:
                while opened.read(1 << 16):
                    pass


ARCHIVES = ("a.zip", "a.tar", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.tar.zst")


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("is_here", [True, False])
def test_members_of_an_archive_are_files_of_their_own(name, is_here, tmp_path):
    make_archive(tmp_path / name, MEMBERS)
    (tmp_path / "b.csv").write_bytes(b"a\n1\n")
    place = archives(tmp_path, "orders/*.csv", is_here=is_here)
    found = listed(place)
    assert list(found) == [f"{name}!orders/1.csv", f"{name}!orders/2.csv", "b.csv"]
    first, second, plain = found.values()
    for one, content in ((second, MEMBERS["orders/2.csv"]), (first, TEXT), (plain, b"a\n1\n")):
        assert all_of(place.open(one)) == content
    assert all_of(place.open(first, 70_001)) == TEXT[70_001:]
    assert place.look(first.name) == first
    make_archive(tmp_path / name, {"orders/1.csv": b"other,text\n"})
    os.utime(tmp_path / name, (1, 1))
    with pytest.raises(BadDataError, match=r"was replaced while it was read"):
        place.open(first)
    place.close()


def test_a_member_of_a_zip_has_another_version_only_if_it_is_another_one(tmp_path):
    place = archives(tmp_path)
    versions = []
    for more in ({}, {"new.csv": b"1\n"}, {"orders/2.csv": b"a,b\n1,3\n"}):
        make_archive(tmp_path / "a.zip", MEMBERS | more)
        versions.append({name: found.version for name, found in listed(place).items()})
    one = "a.zip!orders/1.csv"
    assert versions[0][one] == versions[1][one] == versions[2][one]
    assert versions[0]["a.zip!orders/2.csv"] != versions[2]["a.zip!orders/2.csv"]
    place.close()


@pytest.mark.parametrize("name", ["a.zip", "a.tar.xz"])
def test_names_that_lead_out_of_an_archive_are_refused(name, tmp_path):
    for member in ("/etc/passwd", "../up.csv", "a/../../up.csv", "a\\..\\up.csv", "a//b"):
        make_archive(tmp_path / name, {"good.csv": b"1\n", member: b"2\n"})
        with pytest.raises(UnreadableFile, match=r"names that stay in the archive.*nothing of it was read"):
            names_in(tmp_path)
        assert names_in(tmp_path, "good*") == [f"{name}!good.csv"]


def test_archives_that_cannot_be_read_say_why(tmp_path):
    path = tmp_path / "a.zip"
    make_archive(path, MEMBERS)
    whole = path.read_bytes()
    locked = bytearray(whole)
    locked[6] |= 1
    locked[whole.rindex(b"PK\x01\x02", 0, whole.index(b"PK\x01\x02") + 4) + 8] |= 1
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        damaged = bytearray(whole)
        damaged[archive.getinfo("orders/1.csv").header_offset + 5000] ^= 0xFF
    odd = whole.replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x08\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x63\x00"
    )

    for content, said in (
        (bytes(locked), "is locked by a password, which is not read"),
        (whole[:-30], "Expected a whole zip in a.zip, got one that is cut or broken"),
        (bytes(damaged), "Expected a whole zip in a.zip, got one that is cut or broken"),
        (b"no zip", "Expected a whole zip in a.zip, got one that is cut or broken"),
        (odd, "packed in a way that is not read"),
    ):
        path.write_bytes(content)
        with pytest.raises(UnreadableFile, match=said):
            read_all(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", b"1\n")
        with pytest.warns(UserWarning, match=r"Duplicate name"):
            archive.writestr("a.csv", b"2\n")
    with pytest.raises(UnreadableFile, match=r"Expected each name once in a\.zip, got `a\.csv` twice"):
        names_in(tmp_path)


def test_a_bomb_of_an_archive_is_refused_before_a_member_is_read(tmp_path):
    make_archive(tmp_path / "a.zip", {f"{number}.csv": bytes(1 << 20) for number in range(4)})
    with pytest.raises(OtherSettings, match=r"no more than 500 times.*`unpacked_ratio`"):
        names_in(tmp_path, limits=SMALL)
    make_archive(tmp_path / "a.tar.xz", {"1.csv": bytes(4 << 20)})
    os.remove(tmp_path / "a.zip")
    with pytest.raises(OtherSettings, match=r"no more than 500 times.*`unpacked_ratio`"):
        names_in(tmp_path, limits=SMALL)


def test_a_tar_that_was_cut_is_refused_wherever_that_was(tmp_path):
    make_archive(tmp_path / "a.tar", MEMBERS)
    whole = (tmp_path / "a.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        headers = [entry.offset for entry in archive]
    for cut in (0, 100, 600, 1500, *headers, headers[-1] + 512):
        (tmp_path / "a.tar").write_bytes(whole[:cut])
        with pytest.raises(
            UnreadableFile, match=r"Expected a whole tar in a.tar, got one that is cut or broken"
        ):
            read_all(tmp_path)
