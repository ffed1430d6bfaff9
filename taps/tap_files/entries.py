"""What stands in the state of each file that was read, and the positions of former shards made into one; the shape is in `known.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from singerkit_state.shards import Shard, is_of

__all__ = ["Entry", "Position", "has_rows", "position_of"]


_ROWS = 2
"""The place of `rows` in an entry."""


class Entry(msgspec.Struct, array_like=True):
    """What is known of one file."""

    version: str
    appeared: int | None
    rows: int
    size: int | None = None
    whole: str = ""
    byte: int | None = None
    line: int = 0
    context: int = -1
    head: str = ""
    tail: str = ""
    cut: int = -1
    """-1: nobody has noted it."""


class Position(msgspec.Struct, omit_defaults=True):
    """What is known of all."""

    done: dict[str, Entry] = {}
    open: dict[str, Entry] = {}
    contexts: list[Any] = []
    cuts: list[str] = []
    floor: int | None = None
    at_floor: list[str] = []


def position_of(said: Any, is_mine: Callable[[str], bool]) -> Position:
    """Return what the state says of the files of this shard; ``said``: None on a first run.

    Raises:
        msgspec.ValidationError: it is nothing of the kind.
    """
    if said is not None and "trails" in said:
        raise msgspec.ValidationError("it is that of logs that rotate")
    if said is None or "shards" not in said:
        return _without(msgspec.convert({} if said is None else said, Position), is_mine)
    found = {
        shard: position_of(one, _of_both(Shard.parse(shard), is_mine))
        for shard, one in msgspec.convert(said["shards"], dict[str, dict[str, Any]]).items()
    }
    return _joined(found)


def has_rows(said: Any) -> bool:
    """Tell whether rows were sent by what a state says, of files that rotate or not; what cannot be understood is no row."""
    if not isinstance(said, Mapping):
        return False
    parts = {name: part for name, part in said.items() if isinstance(part, Mapping)}
    if "shards" in parts:
        return any(map(has_rows, parts["shards"].values()))
    entries = [*parts.get("done", {}).values(), *parts.get("open", {}).values()]
    sent = any(isinstance(entry, list) and len(entry) > _ROWS and entry[_ROWS] for entry in entries)
    return sent or any(parts.get("rows", {}).values()) or said.get("floor") is not None


def _of_both(shard: Shard, is_mine: Callable[[str], bool]) -> Callable[[str], bool]:
    """A shard may still have what an earlier division gave to all of them."""
    return lambda file: is_of(shard, file) and is_mine(file)


def _without(position: Position, is_mine: Callable[[str], bool]) -> Position:
    for entries in (position.done, position.open):
        for file in [file for file in entries if not is_mine(file)]:
            del entries[file]
    return position


def _joined(positions: Mapping[str, Position]) -> Position:
    """Return one for all. What one of them has forgotten counts as that of none: whether such a file is new is not sure, and it is read again."""
    whole = Position()
    for one in positions.values():
        for entry in (*one.done.values(), *one.open.values()):
            entry.context = _taken_over(whole.contexts, one.contexts, entry.context)
            entry.cut = _taken_over(whole.cuts, one.cuts, entry.cut)
        whole.done |= one.done
        whole.open |= one.open
    floors = [one.floor for one in positions.values()]
    if any(floor is not None for floor in floors):
        whole.floor = min(floor or 0 for floor in floors)
    return whole


def _taken_over(values: list[Any], former: list[Any], number: int) -> int:
    """Return the number of a value, among ``values`` from now on, that it had among the ``former`` ones."""
    if number not in range(len(former)):
        return -1
    if former[number] not in values:
        values.append(former[number])
    return values.index(former[number])
