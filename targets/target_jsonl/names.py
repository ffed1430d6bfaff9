"""Stream names as file names: no name leaves its folder, none is a device (FAULTS M18)."""

from __future__ import annotations

import hashlib
import re

__all__ = ["file_name"]

_LONGEST = 200  # bytes, below the 255 of common file systems, with room for suffixes
_UNSAFE = re.compile(r"[^A-Za-z0-9_\-. ]")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?\Z", re.IGNORECASE)


def file_name(stream: str) -> str:
    """Return the file name of a stream; different streams get different names.

    Unsafe characters become ``%XX``, as do a leading dot or underscore-prefixed names of our own files; long names
    end in a hash.
    """
    name = _UNSAFE.sub(_escaped, stream)
    if not name or name[0] in ". " or name.startswith("_singerkit") or _DEVICES.match(name):
        name = "".join(_hex(byte) for byte in name[:1].encode()) + name[1:]
    if name.endswith((" ", ".")):
        name = name[:-1] + _hex(ord(name[-1]))
    if len(name) > _LONGEST:
        name = (
            name[:_LONGEST] + "%" + hashlib.sha256(stream.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        )
    return (name or "%") + ".jsonl"


def _escaped(match: re.Match[str]) -> str:
    return "".join(_hex(byte) for byte in match.group().encode("utf-8", "surrogatepass"))


def _hex(byte: int) -> str:
    return f"%{byte:02X}"
