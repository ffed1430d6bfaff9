"""How a file is packed: what its name says, or the config, and whether its first bytes agree."""

from __future__ import annotations

from singerkit_shell.errors import ConfigurationError
from tap_files.formats.contract import OtherSettings

__all__ = [
    "PACKINGS",
    "SEPARATOR",
    "START",
    "archive_kind",
    "archive_of",
    "check_start",
    "inner_name",
    "packing_of",
    "packing_told",
]

PACKINGS = ("gzip", "bz2", "xz", "zstd")

_ENDINGS = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zst": "zstd",
    ".zstd": "zstd",
}
_UNREAD = (".7z", ".rar", ".lz4", ".lzma", ".lzo", ".sz", ".snappy", ".br", ".z")
"""Endings of what is packed in a way that is not read; compared without regard to case."""
_TARS = {".tar": "none", ".tar.gz": "gzip", ".tgz": "gzip", ".tar.bz2": "bz2", ".tbz2": "bz2"} | {
    ".tar.xz": "xz",
    ".txz": "xz",
    ".tar.zst": "zstd",
    ".tzst": "zstd",
}
_STARTS = {"gzip": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd"}
_SURE_STARTS = {
    "gzip": b"\x1f\x8b\x08",
    "xz": b"\xfd7zXZ\0",
    "zstd": b"\x28\xb5\x2f\xfd",
    "zip": b"PK\x03\x04",
}
"""First bytes that no text has."""
_SKIPPABLE_FRAME = b"\x2a\x4d\x18"
SEPARATOR = "!"
"""Stands between the name of an archive and that of a member: `in/a.zip!orders/1.csv`."""
START = 6
"""Bytes that `check_start` looks at."""


def packing_of(name: str, said: str = "auto") -> str:
    """Return how a file is packed: `none` or one of `PACKINGS`; ``said`` is `compression` of the config.

    Raises:
        ConfigurationError: it is packed in a way that is not read.
    """
    if said != "auto":
        return said
    lower = name.lower()
    for ending in _UNREAD:
        if lower.endswith(ending):
            raise ConfigurationError(
                f"{name} is packed in a way that tap-files does not read (`{ending}`); leave it out of `path`, pack it as gzip, bz2, xz, zstd, zip "
                "or tar, or set `compression` to `none` if it is not packed at all."
            )
    return packing_told(name)


def packing_told(name: str) -> str:
    """Return how a file is packed by the ending of its name: `none` or one of `PACKINGS`."""
    lower = name.lower()
    return next((kind for ending, kind in _ENDINGS.items() if lower.endswith(ending)), "none")


def inner_name(name: str) -> str:
    """Return the name without the ending that says how the file is packed: `a.csv` of `a.csv.gz`."""
    lower = name.lower()
    ending = next((ending for ending in _ENDINGS if lower.endswith(ending)), "")
    return name[: len(name) - len(ending)]


def archive_kind(name: str) -> tuple[str, str] | None:
    """Return `zip` or `tar`, and how it is packed itself; None: the name is not that of an archive."""
    lower = name.lower()
    if lower.endswith(".zip"):
        return "zip", "none"
    return next((("tar", kind) for ending, kind in _TARS.items() if lower.endswith(ending)), None)


def archive_of(name: str) -> str:
    """Return the name of the archive that a member is in; the name itself where it is no member."""
    before, separator, _ = name.partition(SEPARATOR)
    return before if separator and archive_kind(before) else name


def check_start(packing: str, start: bytes) -> None:
    """Hold the first bytes of a file against how it should be packed.

    Raises:
        UnreadableFile: it is packed otherwise.
    """
    if packing == "none":
        found = next((kind for kind, magic in _SURE_STARTS.items() if start.startswith(magic)), None)
        if found is not None:
            how = "give it the ending .zip" if found == "zip" else f"set `compression` to `{found}`"
            raise OtherSettings(
                f"Expected text, got {found} by the first bytes, which the name does not say; {how}, or mend the name"
            )
        return
    is_so = start.startswith(_STARTS[packing]) or (packing == "zstd" and start[1:4] == _SKIPPABLE_FRAME)
    if not is_so:
        raise OtherSettings(
            f"Expected {packing} by the name or `compression`, got other bytes at the beginning; set `compression` to what it is, or `none`"
        )
