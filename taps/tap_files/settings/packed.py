"""Settings of a stream for files that are packed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tap_files.packed.limits import Limits
from tap_files.packed.packing import PACKINGS
from tap_files.settings import setting

__all__ = ["PACKED", "limits_of"]

PACKED: dict[str, Any] = {
    "compression": setting.name(
        "How the files are packed. Default `auto`: as the ending of the name says (`.gz`, `.bz2`, `.xz`, `.zst`).",
        enum=["auto", "none", *PACKINGS],
        default="auto",
    ),
    "members": setting.name(
        "The pattern of those members of archives (`.zip`, `.tar`, `.tar.gz`, `.tgz` and so on) that are read, each as a file of its own: "
        "`*.csv`. `*` stands for any characters, `/` among them.",
        default="*",
    ),
    "unpacked_limit": setting.count(
        "The most bytes that may come out of a packed file or an archive.", default=1 << 40, most=1 << 50
    ),
    "unpacked_ratio": setting.count(
        "How many times its packed bytes may come out of a file or an archive of which more than 64 MiB come out.",
        default=500,
        most=1 << 30,
    ),
}


def limits_of(stream: Mapping[str, Any]) -> Limits:
    """Return the limits that a stream of the config says."""
    known = Limits()
    return Limits(stream.get("unpacked_limit", known.most), stream.get("unpacked_ratio", known.ratio))
