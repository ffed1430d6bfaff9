"""From a `path` of the config to the place where its files lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.places.contract import Place
from tap_files.places.local import LocalPlace

__all__ = ["Address", "address_of", "opened_place"]

_FILE = "file://"


@dataclass(frozen=True, slots=True)
class Address:
    """Where files lie. ``root``: what tells one place from another; ``pattern``: what their names look like there.

    ``shown``: what stands before a name where rows and the state name a file.
    """

    root: str
    pattern: str
    shown: str = ""


def address_of(path: str) -> Address:
    """Return where the files of a `path` lie; a relative one is of the folder in which the run began.

    Raises:
        ValueError: it is none; the text says why.
    """
    scheme, separator, _ = path.partition("://")
    if separator and path.startswith(_FILE):
        path = path.removeprefix(_FILE)
    elif separator:
        raise ValueError(f"Expected a path, or a URL of a place that is known (`file://`), got `{scheme}://`")
    root = "/" if path.startswith("/") else ""
    pattern = path.removeprefix("/").removeprefix("./")
    parts = pattern.split("/")
    if ".." in parts or "." in parts:
        raise ValueError("Expected a path without `.` and `..` parts, since it names the files in the state")
    if "" in parts:
        raise ValueError("Expected a path that names files, without an empty part")
    return Address(root, pattern, root)


def opened_place(address: Address, storage: Mapping[str, Any]) -> Place:  # noqa: ARG001  of the places that need one
    """Return the place of an address, not connected yet; ``storage``: the section of the config."""
    return LocalPlace(address.root or os.getcwd())
