"""What a field of the schema means that a record leaves out (`missing_fields`)."""

from __future__ import annotations

from singerkit_target.abilities import Abilities
from singerkit_wire.batches import Missing

__all__ = ["missing_of"]


def missing_of(wanted: str | None, abilities: Abilities, stream: str, *, is_ours: bool) -> Missing:
    """Return it for a stream: our taps send complete records, and leave out what they do not know; those of others leave out what is null."""
    if abilities.is_log and wanted != "null":
        return Missing.LEAVE
    if abilities.appends(stream):
        return Missing.APPEND
    keeps = wanted == "keep" or (wanted is None and is_ours)
    if not keeps:
        return Missing.NULL
    return Missing.KEEP_WHAT_IS_THERE if abilities.deletes else Missing.KEEP
