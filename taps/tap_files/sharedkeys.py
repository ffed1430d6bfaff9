"""What is told where the key of a stream goes over its files, so that a row of one may take the place of a row of another."""

from __future__ import annotations

from collections.abc import Collection

from singerkit_shell.words import counted
from singerkit_tap.changes import reset_of
from singerkit_tap.stream import BlockStream
from tap_files.listing import Pattern
from tap_files.packed.packing import archive_kind

__all__ = ["are_shared", "late_sentence", "shards_sentence", "taken_sentence"]


def are_shared(keys: Collection[str], pattern: Pattern) -> bool:
    """Tell whether rows of several files may have the same key."""
    is_one = pattern.is_one_file and archive_kind(pattern.text) is None
    return bool(keys) and "_file" not in keys and not is_one


def taken_sentence(stream: BlockStream) -> str:
    """Return what is told where rows of a file go: a row of another one whose place one of them had taken does not come back."""
    return (
        f"Rows of files of stream `{stream.name}` are taken from the target, and its key ({_key(stream)}) goes over files: where another file has a row of the same key, that one does not come back by itself. "
        f"If files share keys, read them all again: run {reset_of(stream)}. With `_file` in `primary_keys` nothing is shared."
    )


def late_sentence(stream: BlockStream, late: int, first: str) -> str:
    """Return what is told where files were read though they are older than such as were read before."""
    return (
        f"{counted(late, 'file')} of stream `{stream.name}` came behind newer ones that were read before (`{first}`{', ...' * (late > 1)}), and its key ({_key(stream)}) goes over files: of rows with one key "
        f"theirs are in the target now. If files share keys, read them all again, in one run: {reset_of(stream)}."
    )


def shards_sentence(stream: BlockStream) -> str:
    """Return what is told where several shards read the files, each in an order of its own."""
    return (
        f"The key of stream `{stream.name}` ({_key(stream)}) goes over files, and several shards read them: of rows with one key that of any file may stay, and not that of the newest. "
        "If files share keys, read them without `--shard`."
    )


def _key(stream: BlockStream) -> str:
    return ", ".join(f"`{name}`" for name in stream.primary_keys)
