"""From a `path` of the config to the place where its files lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.places.choosing import place_of, taken_apart
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
    apart = taken_apart(path)
    if apart is not None:
        root, pattern = apart
        _check_parts(pattern)
        return Address(root, pattern)
    path = path.removeprefix(_FILE)
    root = "/" if path.startswith("/") else ""
    pattern = path.removeprefix("/").removeprefix("./")
    _check_parts(pattern)
    return Address(root, pattern, root)


def _check_parts(pattern: str) -> None:
    parts = pattern.split("/")
    if ".." in parts or "." in parts:
        raise ValueError(
            "Expected a path without `.` and `..` parts, since it names the files in the state; write the absolute path"
        )
    if len(parts) > 1 and parts[-1] == "" and "" not in parts[:-1]:
        raise ValueError(
            f"Expected a path that names files, got a folder: say which files of it, like `{pattern}*.csv`"
        )
    if "" in parts:
        raise ValueError("Expected a path that names files, without an empty part")


def opened_place(address: Address, storage: Mapping[str, Any]) -> Place:
    """Return the place of an address, not connected yet; ``storage``: the section of the config.

    Raises:
        ConfigurationError: it cannot be such a place, or a package of it is not installed.
        NotAuthorisedError: there are no credentials for it.
    """
    if "://" in address.root:
        return place_of(address.root, storage)
    return LocalPlace(address.root or os.getcwd())
