"""Former values of a state: what an entry is, and the file of entries beside a state file or a manifest.

``<path>.history`` holds one JSON object a line, oldest first, never more than `LIMIT`; it is replaced as a whole, so
a reader sees all of a change or nothing. The entry is written before the change that it announces: a process killed
in between leaves an entry that says what is still the value, which the next one replaces.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from singerkit_shell.configfile import read_text
from singerkit_shell.errors import ConfigurationError
from singerkit_state import statefile
from singerkit_state.value import MARK_KEY, decode, encode, is_utf8

__all__ = [
    "BY_HAND",
    "LIMIT",
    "Entry",
    "append",
    "by_hand",
    "kept_now",
    "path_of",
    "read",
    "same_text",
    "user",
]

LIMIT = 100
"""Entries that are kept for a pipeline, or a file; the oldest ones go."""

BY_HAND = "singerkit-state "
"""What the id of a run begins with where a person was at work."""

_LONGEST = 4 * statefile.LONGEST  # bytes
_MARK = re.compile(r',?\s*"' + re.escape(MARK_KEY) + r'"\s*:\s*\{[^{}]*\}')


@dataclass(frozen=True)
class Entry:
    """A value that was replaced, or that a run began with.

    ``why`` is `set`, `reset`, `restore`, `unlock` or `run`; ``by`` is ``user@host``; ``text`` is the value as it was
    stored, None when there was none. ``epoch`` and ``sequence`` are those it was stored under.
    """

    number: int
    at: datetime
    why: str
    by: str | None
    pid: int | None
    run_id: str | None
    epoch: int | None
    sequence: int | None
    text: str | None


def user() -> str:
    """Return who we are, as ``user@host``."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        name = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    return f"{name}@{platform.node()}"


def by_hand(why: str) -> str:
    """Return what stands in the place of a run's id after a change by hand."""
    return f"{BY_HAND}{why} by {user()}"


def kept_now(
    text: str | None, why: str, run_id: str | None, epoch: int | None = None, sequence: int | None = None
) -> Entry:
    """Return an entry that this process makes now; its number comes with `append`."""
    return Entry(0, datetime.now(UTC), why, user(), os.getpid(), run_id, epoch, sequence, text)


def path_of(path: str | os.PathLike[str]) -> Path:
    """Return where the history of a file is; links are followed, as its lock does."""
    return Path(os.path.realpath(path) + ".history")


def read(path: str | os.PathLike[str]) -> list[Entry]:
    """Return the history of the file ``path``, newest first; none when there is no history.

    Raises:
        ConfigurationError: it cannot be read, or is not a history.
        RetryableError: its disk does not answer.
    """
    history = path_of(path)
    try:
        lines = read_text(str(history), _LONGEST).split("\n")  # JSON may hold other ends of lines
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise statefile.cannot_read(f"history {history}", error, "move it away and try again.") from None
    return [_entry(line, history, number) for number, line in enumerate(lines, 1) if line][::-1]


def _entry(line: str, history: Path, number: int) -> Entry:
    try:
        fields = decode(line)
        state, torn = fields.pop("state"), fields.pop("torn", None)
        text = torn if torn is not None else None if state is None else encode(state)
        return Entry(**{**fields, "at": datetime.fromisoformat(fields["at"]), "text": text})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigurationError(
            f"The history {history} holds no entry at line {number}; move it away and try again."
        ) from None


def append(path: str | os.PathLike[str], entry: Entry) -> int:
    """Put ``entry`` into the history of the file ``path``, whose lock the caller holds; return its number.

    ``entry.number`` does not count. An entry of the same value at the top is replaced: what it announced never
    happened, or brought the value back.

    Raises:
        ConfigurationError: as `read`.
        CannotWriteError: it cannot be written; it is as before.
    """
    kept: Sequence[Entry] = read(path)
    number = kept[0].number + 1 if kept else 1
    if kept and state_of(kept[0]) == state_of(entry):
        number, kept = kept[0].number, kept[1:]
    newest = [replace(entry, number=number), *kept][:LIMIT]
    lines = "".join(_line(item) + "\n" for item in reversed(newest))
    statefile.replace_file(path_of(path), lines.encode("utf-8"), "history", follow=False)
    return number


def _line(entry: Entry) -> str:
    fields: dict[str, Any] = {
        "number": entry.number,
        "at": entry.at.astimezone(UTC).isoformat(timespec="seconds"),
        "why": entry.why,
        "by": entry.by,
        "pid": entry.pid,
        "run_id": entry.run_id,
        "epoch": entry.epoch,
        "sequence": entry.sequence,
    }
    return encode({**fields, **state_of(entry)})


def state_of(entry: Entry) -> dict[str, Any]:
    """Return ``{"state": value}``, with the text under ``torn`` beside it when that is no JSON."""
    if entry.text is None:
        return {"state": None}
    with contextlib.suppress(ValueError):
        if is_utf8(entry.text):
            return {"state": decode(entry.text)}
    return {"state": None, "torn": entry.text}  # what cannot be read is kept as it is


def same_text(left: str | None, right: str | None) -> bool:
    """Tell whether two stored values are the same but for the mark of the run that wrote them."""
    if left is None or right is None:
        return left is right
    return _MARK.sub("", left) == _MARK.sub("", right)
