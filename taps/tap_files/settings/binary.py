"""`binary` of a stream: files as they are, a record each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.settings import setting

__all__ = ["BINARY", "BinarySettings", "binary_settings"]

BINARY = setting.group(
    "Files as they are: a record for each, with what is known of it. Needs `format` `binary`.",
    {
        "content_limit": setting.count(
            "The most bytes of a file whose content is sent, in base64; of longer ones it is null, and `_file` says where it lies. 0: of none.",
            1 << 20,
            most=1 << 26,
            least=0,
        ),
    },
)


@dataclass(frozen=True)
class BinarySettings:
    """`binary` of a stream; ``content_limit`` is in bytes."""

    content_limit: int = 1 << 20


def binary_settings(said: Mapping[str, Any], _path: str = "") -> BinarySettings:
    """Return what the section says, of a config that fits its schema."""
    return BinarySettings(**said)
