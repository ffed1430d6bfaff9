"""Stream and field names as identifiers of a store: exact and quoted, refused where two would be one."""

from __future__ import annotations

from collections.abc import Iterable

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.dialect import ORDER, Dialect
from singerkit_target.abilities import NameCase

__all__ = ["check_stream_name", "fold", "identifiers", "lower_ascii"]


def fold(name: str, dialect: Dialect) -> str:
    """Return what two names have in common that are one to the store."""
    if dialect.abilities.name_case is NameCase.KEPT:
        return name
    return lower_ascii(name)


def lower_ascii(name: str) -> str:
    """Return a name with small letters for those of ASCII, and all others as they are."""
    return "".join(chr(ord(one) + 32) if "A" <= one <= "Z" else one for one in name)


def identifiers(names: Iterable[str], where: str, dialect: Dialect) -> dict[str, str]:
    """Return the column of each name, in order.

    Raises:
        BadDataError: two names come to one column, or one is none.
    """
    taken: dict[str, str] = {}
    for name in names:
        _check(name, dialect)
        folded = fold(name, dialect)
        if folded == ORDER:
            raise BadDataError(
                f"Expected another name than `{ORDER}` in {where}, which this target keeps for itself; leave the field out "
                "with `select`, then run again."
            )
        if folded in taken:
            raise BadDataError(
                f"Expected different names in {where}, got `{taken[folded]}` and `{name}`, which are one column to "
                f"{dialect.name}; leave one out with `select`, or rename it in the tap, then run again."
            )
        taken[folded] = name
    return {name: name for name in taken.values()}


def check_stream_name(stream: str, others: Iterable[str], ours: Iterable[str], dialect: Dialect) -> None:
    """See that a stream's table is no table of ours and no other stream's (FAULTS M15).

    Raises:
        BadDataError: it is, or cannot be a table.
    """
    _check(stream, dialect)
    folded = fold(stream, dialect)
    if folded in ours:
        raise BadDataError(
            f"Expected a stream of another name, got `{stream}`, which is the name of a table that this target keeps for "
            "itself; rename the stream in the tap, then run again."
        )
    other = next((name for name in others if name != stream and fold(name, dialect) == folded), None)
    if other is not None:
        raise BadDataError(
            f"Expected streams with tables of their own, got `{other}` and `{stream}`, which are one table to {dialect.name}; "
            "leave one out with `select`, then run again."
        )


def _check(name: str, dialect: Dialect) -> None:
    problem = dialect.problem_of_name(name)
    if problem is None:
        return
    shown = name.encode("ascii", "backslashreplace").decode()[:80].replace("\x00", "\\x00")
    raise BadDataError(
        f"Expected a name that {dialect.name} can store, got `{shown}`, which {problem}; rename it in the source or leave it "
        "out with `select`, then run again."
    )
