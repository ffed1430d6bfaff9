"""Stream and field names as PostgreSQL identifiers: exact, quoted, shortened only when they must be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from singerkit_shell.errors import BadDataError
from singerkit_state.postgres.url import LONGEST_NAME as LONGEST

__all__ = ["LONGEST", "column_identifier", "identifier", "identifiers"]

_HASH_DIGITS = 8
_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


def identifier(name: str) -> str:
    """Return ``name`` itself, or, when it is longer than 63 bytes of UTF-8, its beginning and a hash of all of it.

    Raises:
        BadDataError: the name is empty or holds a character PostgreSQL cannot store.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        encoded = b"\x00"
    if not name or b"\x00" in encoded:
        shown = name.encode("ascii", "backslashreplace").decode()
        raise BadDataError(
            f"Expected a name that PostgreSQL can store, got `{shown[:80]}`; rename it in the source or leave it out "
            "with `select`, then run again."
        )
    if len(encoded) <= LONGEST:
        return name
    return _with_hash(encoded)


def column_identifier(name: str) -> str:
    """Return what `identifier` does, and another name for the six that every table has already (``ctid``, ``xmin``, ...).

    Raises:
        BadDataError: as `identifier`.
    """
    return _with_hash(name.encode()) if name in _SYSTEM_COLUMNS else identifier(name)


def _with_hash(encoded: bytes) -> str:
    digest = hashlib.sha256(encoded).hexdigest()[:_HASH_DIGITS]
    beginning = encoded[: LONGEST - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{beginning}_{digest}"


def identifiers(names: Iterable[str], where: str) -> dict[str, str]:
    """Return the column identifier of each name, in order.

    Raises:
        BadDataError: two names come to one identifier.
    """
    taken: dict[str, str] = {}
    for name in names:
        short = column_identifier(name)
        if short in taken:
            raise BadDataError(
                f"Expected different names in {where}, got `{taken[short]}` and `{name}`, which both become "
                f"`{short}`; leave one out with `select`, then run again."
            )
        taken[short] = name
    return {name: short for short, name in taken.items()}
