"""Columns of a stage. Apart from `dialect.py`, and with little to import, since a process that begins in the middle of a run needs no more."""

from __future__ import annotations

from dataclasses import dataclass

from singerkit_wire.kinds import Column

__all__ = ["ORDER", "Field"]

ORDER = "_singerkit_order"
"""The column of a stage that numbers its rows as they came."""


@dataclass(frozen=True)
class Field:
    """A column of a stage: its name there, its type, and the kind in which its values come."""

    name: str
    type: str
    column: Column
