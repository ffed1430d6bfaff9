"""The tables that are read from the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["LoggedTable"]


@dataclass(frozen=True)
class LoggedTable:
    """A stream, its table or partitioned table, and what of it is sent. ``key``: by which rows are told apart; (): nothing does.

    ``columns``: those that are selected, the key among them, each with the number of its type.
    """

    stream: str
    schema: str
    name: str
    key: tuple[str, ...]
    columns: Mapping[str, int]
    is_partitioned: bool = False
