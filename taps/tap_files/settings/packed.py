"""Settings of a stream for files that are packed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from singerkit_shell.errors import ConfigurationError
from tap_files.packed.limits import Limits
from tap_files.packed.packing import PACKINGS, archive_kind, packing_of
from tap_files.settings import setting

__all__ = ["PACKED", "limits_of", "packed_problems"]

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


def packed_problems(stream: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what is wrong with these settings of a stream, at ``place`` of the config."""
    name = stream["path"].rpartition("/")[2]
    if (
        stream.get("members", "*") != "*"
        and archive_kind(name) is None
        and not name.endswith(("*", "}", "]"))
    ):
        yield f"`{place}.members` has no effect, since `{place}.path` names no archives (`.zip`, `.tar`, `.tar.gz`)"
    if archive_kind(name) is None:
        try:
            packing_of(name, stream.get("compression", "auto"))
        except ConfigurationError as error:
            yield f"{str(error).removesuffix('.')} at `{place}.path`"


def limits_of(stream: Mapping[str, Any]) -> Limits:
    """Return the limits that a stream of the config says."""
    known = Limits()
    return Limits(stream.get("unpacked_limit", known.most), stream.get("unpacked_ratio", known.ratio))
