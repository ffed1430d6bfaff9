"""What waits of a table that foreign keys tie to others, in the order in which it came."""

from __future__ import annotations

from dataclasses import dataclass

from singerkit_sql_target.versions import Others, Version

__all__ = ["LINE", "RECORD", "Overwrite", "Part", "Removal", "Rows"]

LINE, RECORD = "singerkit line", "singerkit record"
"""Columns of a stage that tell where a row stood in the input, and how it came: rows that are refused are to be set aside."""


_NOBODY = Others((), str)


@dataclass(frozen=True)
class Rows:
    """Rows of ``columns`` in a stage; ``has_marks``: some of them are to be deleted."""

    stage: str
    columns: tuple[str, ...]
    lines: tuple[int, int] | None = None
    has_marks: bool = False


@dataclass(frozen=True)
class Removal:
    """Rows are to go: those of other versions (`Versions.apply`), or those for which a condition holds (`Replacing.apply`)."""

    asked: Version | str
    others: Others = _NOBODY


@dataclass(frozen=True)
class Overwrite:
    """All rows of a load have come, and take the place of what the table has; ``removes``: those that did not come go."""

    removes: bool


Part = Rows | Removal
