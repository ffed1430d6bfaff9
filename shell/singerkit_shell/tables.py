"""Rows as a table for people: as many columns as the terminal has room for, each with its type below its name."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from singerkit_shell.words import counted

__all__ = ["table"]

_WIDEST = 28
_GAP = "  "


def table(types: Mapping[str, str], rows: Sequence[Mapping[str, str]], width: int) -> str:
    """Return the table, and below it the names and types of the columns that had no room."""
    columns = {
        name: [name, word, *(_cell(row.get(name, "")) for row in rows)] for name, word in types.items()
    }
    widths = {name: min(_WIDEST, max(map(len, cells))) for name, cells in columns.items()}
    shown = _fitting(widths, width)
    lines = [
        _GAP.join(columns[name][line][: widths[name]].ljust(widths[name]) for name in shown).rstrip()
        for line in range(2 + len(rows))
    ]
    if lines:
        lines.insert(2, _GAP.join("-" * widths[name] for name in shown))
    left = [f"{name} ({word})" for name, word in types.items() if name not in shown]
    if left:
        text = f"and {counted(len(left), 'more field')}: {', '.join(left)}"
        lines += textwrap.wrap(text, width, break_on_hyphens=False)
    return "\n".join(lines)


def _fitting(widths: Mapping[str, int], width: int) -> list[str]:
    shown: list[str] = []
    used = 0
    for name, wide in widths.items():
        used += wide + len(_GAP)
        if shown and used - len(_GAP) > width:
            break
        shown.append(name)
    return shown


def _cell(text: str) -> str:
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain if len(plain) <= _WIDEST else plain[: _WIDEST - 1] + "…"
