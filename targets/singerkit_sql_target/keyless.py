"""Streams without a key, whose rows are added for want of one: a load that reads all of them adds all of them again."""

from __future__ import annotations

from collections.abc import Mapping

from singerkit_sql_target.methods import Method
from singerkit_sql_target.settings import Settings
from singerkit_state.edit import has_part
from singerkit_state.value import behind_map, decode
from singerkit_wire.declarations import read_declaration
from singerkit_wire.messages import Message
from singerkit_wire.stream import DELETED_AT, Stream

__all__ = ["told_of_keyless"]


def told_of_keyless(settings: Settings, streams: Mapping[str, Stream], began_with: str | None) -> list[str]:
    """Return a sentence for each stream of which nobody has said what its rows are; ``began_with`` is the state before the run.

    One that the state knows was told of before; rows that carry a version go when the next load is complete.
    """
    if settings.with_metadata:
        return []
    state = None if began_with is None else behind_map(decode(began_with))
    return [
        f"Stream `{name}` has no key and is read without a bookmark, so each run sends its rows again, and they are added to those that are "
        "there: they are there once for each run. Say what they are: `load_method` `overwrite`, where each run brings all of them, `key_properties` "
        'with the fields of a key, or with `"*"` for the whole row, or `append`, if each is to be kept. This is said once.'
        for name, stream in streams.items()
        if settings.methods.of(name) is Method.UPSERT
        and not settings.key(stream)
        and not has_part(state, name)
        and not _is_incremental(stream)
    ]


def _is_incremental(stream: Stream) -> bool:
    if not stream.said:
        return True  # nobody has declared it in this run
    declaration = read_declaration(Message("SCHEMA", stream.name, stream.said, 0))
    return (
        bool(declaration.bookmark_properties)
        or declaration.goes_on is True
        or DELETED_AT in stream.column_names
    )
