"""Stream and field names as identifiers of a store: exact and quoted, refused where two would be one."""

from __future__ import annotations

from collections.abc import Iterable

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.dialect import Words
from singerkit_target.abilities import NameCase

__all__ = ["check_stream_name", "fold", "identifiers", "lower_ascii", "table_name"]


def fold(name: str, words: Words) -> str:
    """Return what two names have in common that are one to the store."""
    if words.abilities.name_case is NameCase.KEPT:
        return name
    return lower_ascii(name)


def lower_ascii(name: str) -> str:
    """Return a name with small letters for those of ASCII, and all others as they are."""
    return "".join(chr(ord(one) + 32) if "A" <= one <= "Z" else one for one in name)


def table_name(stream: str, words: Words) -> str:
    """Return the name of a stream's table.

    Raises:
        BadDataError: there can be none.
    """
    _check(stream, words)
    return words.table_name(stream)


def identifiers(
    names: Iterable[str], where: str, words: Words, reserved: Iterable[str] = ()
) -> dict[str, str]:
    """Return the column of each name, in order; ``reserved`` are columns of ours.

    Raises:
        BadDataError: two names come to one column, or one is none.
    """
    taken: dict[str, str] = {}
    columns: dict[str, str] = {}
    for name in names:
        _check(name, words)
        columns[name] = column = words.column_name(name)
        folded = fold(column, words)
        if folded in reserved:
            raise BadDataError(
                f"Expected another name than `{folded}` in {where}, which this target keeps for itself; leave the field out "
                "with `select`, then run again."
            )
        if folded in taken:
            raise BadDataError(
                f"Expected different names in {where}, got `{taken[folded]}` and `{name}`, {_one('column', column, words)}; leave "
                "one out with `select`, or rename it in the tap, then run again."
            )
        taken[folded] = name
    return columns


def check_stream_name(stream: str, others: Iterable[str], ours: Iterable[str], words: Words) -> None:
    """See that a stream's table is no table of ours and no other stream's (FAULTS M15).

    Raises:
        BadDataError: it is, or cannot be a table.
    """
    table = table_name(stream, words)
    folded = fold(table, words)
    if folded in ours:
        raise BadDataError(
            f"Expected a stream of another name, got `{stream}`, which is the name of a table that this target keeps for "
            "itself; rename the stream in the tap, then run again."
        )
    clashing = (name for name in others if name != stream and fold(table_name(name, words), words) == folded)
    other = next(clashing, None)
    if other is not None:
        raise BadDataError(
            f"Expected streams with tables of their own, got `{other}` and `{stream}`, {_one('table', table, words)}; leave one "
            "out with `select`, then run again."
        )


def _one(what: str, identifier: str, words: Words) -> str:
    """Say why two names are one to the store: it does not tell them apart, or one was shortened to the other."""
    if words.abilities.name_case is NameCase.KEPT:
        return f"which both become `{identifier}`"
    return f"which are one {what} to {words.name}"


def _check(name: str, words: Words) -> None:
    problem = _problem(name)
    if problem is not None:
        shown = name.encode("ascii", "backslashreplace").decode()[:80].replace("\x00", "\\x00")
        raise BadDataError(
            f"Expected a name that {words.name} can store, got `{shown}`, which {problem}; rename it in the source or leave it "
            "out with `select`, then run again."
        )


def _problem(name: str) -> str | None:
    """Say why no store has an identifier of that name; None if one can."""
    if not name:
        return "is empty"
    if "\x00" in name:
        return "has a NUL character"
    if name.encode("utf-8", "replace").decode() != name:
        return "is no text in UTF-8"
    return None
