"""Stream and field names as PostgreSQL identifiers: the name itself, shortened only when it must be."""

from __future__ import annotations

import hashlib

from singerkit_state.postgres.url import LONGEST_NAME as LONGEST

__all__ = ["LONGEST", "column_identifier", "identifier"]

_HASH_DIGITS = 8
_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


def identifier(name: str) -> str:
    """Return ``name`` itself, or, when it is longer than 63 bytes of UTF-8, its beginning and a hash of all of it."""
    encoded = name.encode()
    return name if len(encoded) <= LONGEST else _with_hash(encoded)


def column_identifier(name: str) -> str:
    """Return what `identifier` does, and another name for the six that every table has already (``ctid``, ``xmin``, ...)."""
    return _with_hash(name.encode()) if name in _SYSTEM_COLUMNS else identifier(name)


def _with_hash(encoded: bytes) -> str:
    digest = hashlib.sha256(encoded).hexdigest()[:_HASH_DIGITS]
    beginning = encoded[: LONGEST - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{beginning}_{digest}"
