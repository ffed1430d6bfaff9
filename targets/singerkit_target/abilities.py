"""What a target can do. What it can hold is its `Domain` (`singerkit_wire.domain`)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from singerkit_wire.domain import Domain, Numbers

__all__ = ["Abilities", "Domain", "NameCase", "Numbers", "always", "never"]


def always(_stream: str) -> bool:
    """It is so of each stream."""
    return True


def never(_stream: str) -> bool:
    """It is so of no stream."""
    return False


class NameCase(enum.Enum):
    """What a store makes of a quoted name of table or column."""

    KEPT = "kept: names that differ in case alone are two"
    FOLDED = "compared without it: names that differ in case alone clash"


@dataclass(frozen=True)
class Abilities:
    """What a target can do; shared code asks this, and knows no store.

    ``is_log``: rows are appended as they came, in their order, dates and UUIDs as the text they were, integers of any
    size. ``keys`` are the fields of the key that the config gives a stream in the place of its own, None: nothing. ``appends`` tells of a stream whether every row of it is kept, those with the same key too, ``overwrites``
    whether its complete load takes the place of all that was there, ``newest_by`` which field tells the newer of two versions of a row, ``replaces`` whether a run brings sets of its rows whole, which take the place of those,
    ``lacks_versions`` whether ACTIVATE_VERSION takes no row of it away, since rows carry no version, though nobody has said that they are to stay. ``transactional_ddl``: a table that a transaction
    makes or alters goes back with it. ``savepoints``: a transaction can go back to a point inside it. ``spans_tables``:
    several tables and the state are one transaction. ``merges``: it has one statement that updates the rows whose key is
    there and inserts the others. ``deletes``: a row goes whose record says that it is gone. ``reads_texts``: rows are taken as values, not as they stand on the wire.
    """

    is_log: bool = False
    keys: Callable[[str], tuple[str, ...] | None] = lambda _stream: None
    appends: Callable[[str], bool] = never
    overwrites: Callable[[str], bool] = never
    replaces: Callable[[str], bool] = never
    lacks_versions: Callable[[str], bool] = never
    newest_by: Callable[[str], str | None] = lambda _stream: None
    transactional_ddl: bool = False
    savepoints: bool = False
    spans_tables: bool = False
    merges: bool = False
    deletes: bool = False
    reads_texts: bool = False
    name_case: NameCase = NameCase.KEPT
