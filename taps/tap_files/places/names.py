"""Names of files as places give them, held against what the contract allows; and what stands in messages for what is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from singerkit_shell.errors import BadDataError, ConfigurationError
from tap_files.places.contract import FileChanged, FileGone

__all__ = ["changed", "check_name", "folder_of", "gone", "no_folder", "sort_out"]


def check_name(name: str, where: str) -> str:
    """Return ``name``, which ``where`` gave.

    Raises:
        BadDataError: a part of it is empty, `.` or `..`, so that it would be another file elsewhere.
    """
    if {"", ".", ".."}.isdisjoint(name.split("/")):
        return name
    raise BadDataError(
        f"The name `{name}` in {where} has a part that is empty, `.` or `..`, which no other place can have; nothing of it was read: rename "
        "it, or let `path` begin with a folder that does not hold it."
    )


def folder_of(prefix: str) -> str:
    """Return the folder in which all names begin with ``prefix``, without `/` at its end; "" is the root."""
    return prefix.rpartition("/")[0]


def no_folder(where: str, folder: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is no folder `{folder}` in {where}; nothing was read: check `path`, or make the folder if files are still to come."
    )


def gone(name: str, where: str) -> FileGone:
    return FileGone(
        f"The file `{name}` in {where} is not there any more since it was listed; nothing of it that was not committed counts: run again."
    )


def changed(name: str, where: str) -> FileChanged:
    return FileChanged(
        f"The file `{name}` in {where} was written anew while it was being read; nothing of it that was not committed counts: run again when "
        "nobody writes it."
    )


def sort_out(reasons: Sequence[tuple[str, str]], text: str, otherwise: str) -> str:
    """Return the words of the first pair whose sign stands in ``text``, which may hold what is not to be shown."""
    return next((words for sign, words in reasons if sign in text), otherwise)
