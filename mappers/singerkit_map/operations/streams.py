"""`rename_stream` and `drop_stream`: a stream goes on under another name, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from singerkit_map.block import Block
from singerkit_map.contract import Operation, Shape
from singerkit_shell.errors import ConfigurationError

__all__ = ["DROP_SETTINGS", "RENAME_SETTINGS", "dropped", "renamed"]

RENAME_SETTINGS: Mapping[str, Any] = {
    "description": "The stream goes on under another name, with its versions and all that is said of it; bookmarks in the state keep the tap's name.",
    "required": ["to"],
    "properties": {
        "to": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The name; `{stream}` in it is the one that it has: `raw_{stream}`.",
        },
    },
}
DROP_SETTINGS: Mapping[str, Any] = {
    "description": "Nothing of the stream goes on; its bookmarks stay in the state, so that it is not read again when it is wanted later.",
    "properties": {},
}


@dataclass(frozen=True)
class _Renamed:
    place: str
    to: str
    is_of_streams = True

    def outcome(self, shape: Shape) -> Shape:
        return replace(shape, stream=self.called(shape.stream))

    def called(self, stream: str) -> str:
        """Return the name that a stream gets."""
        return self.to.replace("{stream}", stream)

    def apply(self, block: Block, before: Shape, /) -> None:
        """Records do not know what their stream is called."""


@dataclass(frozen=True)
class _Dropped:
    place: str
    is_of_streams = True
    hides = True

    def outcome(self, shape: Shape) -> Shape:
        return replace(shape, stream="")

    def apply(self, block: Block, before: Shape, /) -> None:
        """No record comes here."""


def renamed(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says.

    Raises:
        ConfigurationError: the name would be empty, or has other braces.
    """
    if "{" in said["to"].replace("{stream}", "") or "}" in said["to"].replace("{stream}", ""):
        raise ConfigurationError(f"Expected no braces but `{{stream}}` at `{place}.to`. Nothing was read.")
    return _Renamed(place, said["to"])


def dropped(_said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    return _Dropped(place)
