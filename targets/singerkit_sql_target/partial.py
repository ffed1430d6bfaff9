"""Rows of a log that are new here and leave a field out: it was to keep what is stored, and nothing is (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from singerkit_shell.words import counted
from singerkit_target.outcomes import Outcome
from singerkit_wire.masks import PRESENT
from singerkit_wire.stream import DELETED_AT, Stream

__all__ = ["mark_if_partial", "told_of_partial"]


def mark_if_partial(stream: Stream, columns: Mapping[str, str], sent: Collection[str]) -> str | None:
    """Return the column that says of rows with the columns ``sent`` whether they are gone, if each or some of them leave a field out; None: all are whole.

    ``columns``: the names of the stream's fields in the table. Of other streams than those of a log, a field that is left out may be one that no row has.
    """
    mark = columns.get(DELETED_AT)
    if DELETED_AT not in stream.column_names or mark not in sent:
        return None
    is_whole = all(columns[name] in sent for name in stream.column_names if name in columns)
    return None if is_whole and PRESENT not in sent else mark


def told_of_partial(outcomes: Mapping[str, Outcome], start_over: Callable[[str], str]) -> list[str]:
    """Return a sentence for each stream of which such rows came; ``start_over``: the command that reads it anew."""
    return [
        f"Stream `{stream}`: {counted(outcome.partial, 'row')} that {'is' if outcome.partial == 1 else 'are'} new here came without all fields, which the log leaves out "
        "where they have not changed (a large value of PostgreSQL), and has null there. The row had been set aside, left out by a map, or deleted here before. To have "
        f"each value, run {start_over(stream)}, then the pipeline again."
        for stream, outcome in sorted(outcomes.items())
        if outcome.partial
    ]
