"""Dead letters for people: counted by stream, field and reason, without a word of what the records say unless that is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from singerkit_shell.aligned import aligned
from singerkit_shell.words import counted
from singerkit_sql_target.letters import Letter, Since

__all__ = ["listed"]

_SHOWN = re.compile(r"`(?:[\"\[{]|-?[0-9])[^`]*`?")
"""A value in a reason: what was expected is a word or a type."""
_HEADER = ("stream", "field", "reason", "count", "first", "last", "since then")


def listed(
    letters: Sequence[Letter], since: Callable[[Letter], Since], *, with_records: bool
) -> Iterator[str]:
    """Yield the lines; ``since`` tells what the table has had of a letter's key since."""
    told = [(letter, since(letter)) for letter in letters]
    if with_records:
        for letter, then in told:
            yield f"{_when(letter)} {letter.stream} {letter.path}: {letter.reason} (line {letter.line} of run {letter.run_id}; since then: {then.value})"
            yield "    " + letter.record.decode("utf-8", "backslashreplace").rstrip()
        return
    rows = []
    by_reason = sorted(told, key=lambda one: _group(one[0]))
    for (stream, path, reason), group in groupby(by_reason, key=lambda one: _group(one[0])):
        found = list(group)
        whens = sorted(_when(letter) for letter, _ in found)
        rows.append((stream, path, reason, f"{len(found):,}", whens[0], whens[-1], _since(found)))
    yield from aligned(_HEADER, rows, ("count",))


def _group(letter: Letter) -> tuple[str, str, str]:
    return letter.stream, letter.path, _SHOWN.sub("`...`", letter.reason)


def _when(letter: Letter) -> str:
    return letter.rejected_at.isoformat(sep=" ", timespec="seconds")


def _since(found: Sequence[tuple[Letter, Since]]) -> str:
    newer = sum(then is Since.NEWER for _, then in found)
    unknown = sum(then is Since.UNKNOWN for _, then in found)
    parts = [f"{counted(newer, 'newer row')}"] if newer else []
    parts += [f"{counted(unknown, 'row')} that may be newer"] if unknown else []
    return ", ".join(parts) or "-"
