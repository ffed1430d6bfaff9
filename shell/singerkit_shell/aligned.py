"""Rows of words under a header, in columns that are as wide as their widest word."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["aligned"]

_GAP = "  "


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> list[str]:
    """Return the lines, the header first; columns named in ``right`` have their words at the right. Columns without a word are left out."""
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    widths = {place: max(len(row[place]) for row in (header, *rows)) for place in kept}

    def line(row: Sequence[str]) -> str:
        words = (
            row[place].rjust(widths[place]) if header[place] in right else row[place].ljust(widths[place])
            for place in kept
        )
        return _GAP.join(words).rstrip()

    return [line(header), *map(line, rows)]
