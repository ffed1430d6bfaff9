"""What differs between two STATE values: per stream, by paths. The marks of the runs that wrote them do not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from singerkit_state.edit import others_of, streams_of
from singerkit_state.value import encode

__all__ = ["Difference", "Differences", "compare", "in_words", "reads_again"]

_WIDEST = 60  # characters of a value or a path in a sentence
_RESERVED = "_singerkit_"  # how keys begin that only our taps understand
_MOST = 3  # streams, and differences of one, that a sentence names


@dataclass(frozen=True)
class Difference:
    """One path that was added, removed or changed; ``old`` and ``new`` are JSON values."""

    path: str
    what: str
    old: Any = None
    new: Any = None


@dataclass(frozen=True)
class Differences:
    """By stream; ``others`` are those outside of `bookmarks`."""

    streams: Mapping[str, list[Difference]]
    others: list[Difference]

    def __bool__(self) -> bool:
        return bool(self.streams or self.others)


def compare(old: dict[str, Any] | None, new: dict[str, Any] | None) -> Differences:
    """Return what leads from ``old`` to ``new``; None is no state."""
    before, after = streams_of(old), streams_of(new)
    streams = {}
    for name in {**before, **after}:
        if found := list(_compare(before.get(name, _NOTHING), after.get(name, _NOTHING), "")):
            streams[name] = found
    return Differences(streams, list(_compare(others_of(old), others_of(new), "")))


def reads_again(found: Differences) -> bool:
    """Tell whether the next run may read rows again: something of a stream is gone, or is not known to be further on."""
    return any(
        (item.what == "removed" and _is_place(item.path))
        or (item.what == "changed" and _is_place(item.path) and not _is_further(item.old, item.new))
        for items in found.streams.values()
        for item in items
    )


def _is_place(path: str) -> bool:
    """Tell whether a path says how far a stream is; of what only our taps understand, which rows are remembered."""
    return _RESERVED not in path or "_singerkit_seen" in path


def _is_further(old: Any, new: Any) -> bool:
    if isinstance(old, str) and isinstance(new, str):
        return new > old
    numbers = (int, float, Decimal)
    return isinstance(old, numbers) and isinstance(new, numbers) and new > old


def in_words(old: Any, new: Any, old_has: str, new_has: str) -> str:
    """Say in a part of a sentence where two states differ; ``old_has`` and ``new_has`` say who has which.

    Streams that one alone has come first, then bookmarks. What only our taps understand says nothing to people: it is told
    in words, and only where nothing else differs.
    """
    if not isinstance(old, dict) or not isinstance(new, dict):  # no state: whoever set it knows what it is
        return f"`{_cut(old)}` for {old_has}, `{_cut(new)}` for {new_has}"
    found = compare(old, new)
    ranked = sorted(found.streams.items(), key=lambda stream: _rank(stream[1]))
    told = [(name, items) for name, items in ranked if _rank(items) < _OURS] or ranked
    parts = [f"`{name}`: {_worded(items, old_has, new_has)}" for name, items in told]
    if found.others:
        parts.append(f"outside of bookmarks {_worded(found.others, old_has, new_has)}")
    more = f"; and {len(parts) - _MOST} others" if len(parts) > _MOST else ""
    return "; ".join(parts[:_MOST]) + more


_OURS = 2


def _rank(items: list[Difference]) -> int:
    """0 for a stream that one state alone has, 1 for bookmarks that differ, _OURS where only reserved keys do."""
    if any(not item.path and item.what != "changed" for item in items):
        return 0
    return _OURS if all(_RESERVED in item.path for item in items) else 1


def _worded(items: list[Difference], old_has: str, new_has: str) -> str:
    told = [item for item in items if _RESERVED not in item.path]
    if not told:
        remembered = any("_singerkit_seen" in item.path for item in items)
        return "other rows are remembered at the bookmark" if remembered else "it was read in another way"
    return ", ".join(_one_worded(item, old_has, new_has) for item in told[:_MOST])


def _one_worded(item: Difference, old_has: str, new_has: str) -> str:
    if not item.path and item.what != "changed":
        return f"{new_has if item.what == 'added' else old_has} alone has it"
    sides = [(old_has, item.old)] * (item.what != "added") + [(new_has, item.new)] * (item.what != "removed")
    shown = ", ".join(f"`{_cut(value)}` for {who}" for who, value in sides)
    return f"{item.path[:_WIDEST]} is {shown}" if item.path else shown


def _cut(value: Any) -> str:
    text = _short(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


class _Nothing:
    """Stands for a value that is not there, which is not null."""


_NOTHING = _Nothing()


def _compare(old: Any, new: Any, path: str) -> Iterator[Difference]:
    old_parts, new_parts = _partitions(old), _partitions(new)
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _in_objects(old, new, path)
    elif old_parts is not None and new_parts is not None:
        yield from _in_objects(old_parts, new_parts, path, joint="")
    elif isinstance(old, _Nothing):
        yield Difference(path, "added", new=new)
    elif isinstance(new, _Nothing):
        yield Difference(path, "removed", old=old)
    elif not _same(old, new):
        yield Difference(path, "changed", old, new)


def _in_objects(
    old: Mapping[str, Any], new: Mapping[str, Any], path: str, joint: str = "."
) -> Iterator[Difference]:
    for key in {**old, **new}:
        below = f"{path}{joint}{key}" if path else key
        yield from _compare(old.get(key, _NOTHING), new.get(key, _NOTHING), below)


def _partitions(value: Any) -> dict[str, Any] | None:
    """Return a list of partitions by their contexts, whose order says nothing; None for anything else."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(item, dict) and isinstance(item.get("context"), dict) for item in value):
        return None
    named = {_context(item["context"]): item for item in value}
    return named if len(named) == len(value) else None


def _context(context: Mapping[str, Any]) -> str:
    return "[" + ",".join(f"{key}={_short(item)}" for key, item in sorted(context.items())) + "]"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else encode(value)


def _same(old: Any, new: Any) -> bool:
    """Tell whether two JSON values are equal; for Python `true` is 1, for JSON it is not."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(old == new)
