"""singer-sdk's `stream_maps` as operations: every expression there reads the record as it came, ours read what those before them left."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from singerkit_map.conversion.converted import CannotSay, Converted, Operation
from singerkit_map.conversion.expressions import Around, Value, literal, parsed, value_of
from singerkit_map.conversion.filters import filters_of
from singerkit_map.conversion.hashes import Hashing

__all__ = ["take_stream_maps"]

_EACH = "{stream}"
"""What stands for the name of a stream in `rename_stream`."""
_REMOVED = (None, "__NULL__")
_ELSE, _FILTER, _SOURCE, _ALIAS, _KEYS = (
    "__else__",
    "__filter__",
    "__source__",
    "__alias__",
    "__key_properties__",
)


def take_stream_maps(config: Mapping[str, Any], hashing: Hashing, made: Converted) -> None:
    """Add what `stream_maps` says, with `stream_map_config`."""
    maps, settings = config.get("stream_maps"), config.get("stream_map_config") or {}
    if maps in (None, {}):
        return
    if not isinstance(maps, Mapping) or not isinstance(settings, Mapping):
        made.refuse("stream_maps", "is no object of streams; singer-sdk takes nothing else")
        return
    for name, said in maps.items():
        place = f"stream_maps.{name}"
        if name == _ELSE:
            _take_else(said, place, made)
        elif name.startswith("__"):
            made.refuse(place, "is no name of a stream, and singer-sdk refuses it")
        elif said in _REMOVED:
            made.streams[name] = [{"op": "drop_stream"}]
        elif not isinstance(said, Mapping):
            made.refuse(place, "is neither null nor an object, and singer-sdk refuses it")
        else:
            made.streams[name] = _Stream(name, said, settings, hashing, made).operations()
    _take_later_ones(list(maps), made)
    _tell_of_overlaps(list(maps), made)


def _take_else(said: Any, place: str, made: Converted) -> None:
    if said in _REMOVED:
        made.streams["*"] = [{"op": "drop_stream"}]
    else:
        made.refuse(place, "is something else than null, and singer-sdk refuses it")


def _take_later_ones(names: Sequence[str], made: Converted) -> None:
    """Of several entries that match a stream singer-sdk takes the last, and we the most exact one."""
    for at, name in enumerate(names):
        later = next((one for one in names[at + 1 :] if one != _ELSE and fnmatchcase(name, one)), None)
        if later is None or name not in made.streams:
            continue
        del made.streams[name]
        made.note(
            f"`stream_maps.{name}` has no effect there, since `{later}` stands behind it and matches it; it is left out"
        )


def _tell_of_overlaps(names: Sequence[str], made: Converted) -> None:
    """Of two patterns that may match one stream singer-sdk takes the last, and we the one with more letters."""
    patterns = [name for name in names if _is_pattern(name) and name in made.streams]
    for at, name in enumerate(patterns):
        for later in patterns[at + 1 :]:
            is_inside = fnmatchcase(later, name) or fnmatchcase(name, later)
            if not is_inside and _may_overlap(name, later):
                made.note(
                    f"`stream_maps.{name}` and `{later}`: of a stream that both match the last one counts there, and the one with more letters here"
                )


def _may_overlap(one: str, other: str) -> bool:
    """Tell whether what two patterns begin and end with allows a name that both match."""
    ends = [re.split(r"[*?\[].*[*?\]]|[*?\[\]]", name, maxsplit=1) for name in (one, other)]
    (first, last), (begin, end) = ((parts[0], parts[-1]) for parts in ends)
    return (first.startswith(begin) or begin.startswith(first)) and (last.endswith(end) or end.endswith(last))


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


class _Stream:
    """One entry of `stream_maps` that is an object."""

    def __init__(
        self,
        name: str,
        said: Mapping[str, Any],
        settings: Mapping[str, Any],
        hashing: Hashing,
        made: Converted,
    ) -> None:
        self._place, self._said, self._made = f"stream_maps.{name}", said, made
        stream = None if _is_pattern(name) else name
        self._around = Around(stream, stream or _EACH, settings, hashing)
        self._alias = self._alias_of(said.get(_ALIAS))
        self._around = Around(stream, (self._alias or stream) if stream else None, settings, hashing)
        self._is_else_removed = self._else()

    def operations(self) -> list[Operation]:
        """Return what stands for the entry; what cannot be said is told."""
        if _SOURCE in self._said:
            self._made.refuse(
                f"{self._place}.{_SOURCE}",
                "makes a second stream of one: run the mapper twice, or make a view of the table",
            )
            return []
        made = self._filters()
        values, removed = self._fields()
        self._check_keys(values)
        made += self._in_order(values, removed)
        made += self._end(values, removed)
        return made

    def _place_of(self, field: str) -> str:
        return f"{self._place}.{field}"

    def _alias_of(self, said: Any) -> str | None:
        if said is None:
            return None
        if isinstance(said, str):
            try:
                found = literal(parsed(said), self._around)
            except CannotSay:
                found = None
            if found is None and said.isidentifier() and not said.startswith("__"):
                return said  # what is no expression that it knows is a name there
            found = found or _joined_text(said, self._around)
            if found is not None and isinstance(found[0], str):
                return found[0]
        self._made.refuse(self._place_of(_ALIAS), "is no name: write the name that it makes")
        return None

    def _else(self) -> bool:
        if _ELSE not in self._said:
            return False
        if self._said[_ELSE] not in _REMOVED:
            self._made.refuse(self._place_of(_ELSE), "is something else than null, and singer-sdk refuses it")
        return True

    def _filters(self) -> list[Operation]:
        said, place = self._said.get(_FILTER), self._place_of(_FILTER)
        if said is None:
            return []
        try:
            if not isinstance(said, str):
                raise CannotSay("is no text, and singer-sdk refuses it")
            filters, notes = filters_of(said, self._around)
        except CannotSay as error:
            self._made.refuse(place, error)
            return []
        for note in notes:
            self._made.note(note(place))
        return filters

    def _fields(self) -> tuple[dict[str, Value], list[str]]:
        values: dict[str, Value] = {}
        removed: list[str] = []
        for field, said in self._said.items():
            if field in (_ELSE, _FILTER, _SOURCE, _ALIAS, _KEYS):
                continue
            if said in _REMOVED:
                removed.append(field)
                continue
            try:
                if not isinstance(said, str):
                    raise CannotSay("is no text, and singer-sdk refuses it")
                values[field] = value_of(said, field, self._around)
            except CannotSay as error:
                self._made.refuse(self._place_of(field), error)
                continue
            for note in values[field].notes:
                self._made.note(note(self._place_of(field)))
        return values, removed

    def _check_keys(self, values: Mapping[str, Value]) -> None:
        keys = self._said.get(_KEYS, ())
        if _KEYS not in self._said:
            return
        if not keys:
            self._made.refuse(
                self._place_of(_KEYS),
                "takes a stream's key away, and rows would be doubled: keep it, under `hmac` if it is personal",
            )
            return
        strange = [key for key in keys if key not in values or values[key].path is None]
        if strange:
            self._made.refuse(
                self._place_of(_KEYS),
                f"makes a key of `{strange[0]}`, which no operation does: keys follow `rename`, `hmac` and `cast` by themselves, and "
                "another key belongs to the tap",
            )
        else:
            self._made.note(
                f"`{self._place_of(_KEYS)}` is not needed: where the fields of the key are renamed or put under `hmac`, the key follows"
            )

    def _in_order(self, values: Mapping[str, Value], removed: Sequence[str]) -> list[Operation]:
        """Put what reads a field before what changes it."""
        left, made = dict(values), list[Operation]()
        while left:
            ready = next((one for one in left if not _readers(one, left)), None)
            if ready is None:
                fields = "`, `".join(left)
                self._made.refuse(
                    self._place,
                    f"takes `{fields}` from each other, which operations one after the other cannot: `rename` one of them first",
                )
                return made
            made += self._assigned(ready, left.pop(ready), values, removed)
        return made

    def _assigned(
        self, field: str, value: Value, values: Mapping[str, Value], removed: Sequence[str]
    ) -> list[Operation]:
        if value.path is None:
            return [{"op": "constant", "field": field, "value": value.constant, "over": True}]
        made: list[Operation] = []
        if value.path != field:
            if any(
                _reads(one, field) for one in values.values()
            ):  # so it is there, and what reads it stands before
                made.append({"op": "drop", "fields": [field]})
            is_moved = value.path in removed and sum(one.path == value.path for one in values.values()) == 1
            made.append({"op": "rename" if is_moved else "copy", "from": value.path, "to": field})
        return [*made, *(step(field) for step in value.steps)]

    def _end(self, values: Mapping[str, Value], removed: Sequence[str]) -> list[Operation]:
        made: list[Operation] = []
        readers = [one.path for one in values.values()]
        gone = [one for one in removed if one not in values and readers.count(one) != 1]
        if self._is_else_removed:
            made.append({"op": "keep", "fields": [*values]})
            self._made.note(
                f"`{self._place_of(_ELSE)}`: keys of the stream stay there without being named, and `keep` has to name them: add those that it lacks"
            )
        elif gone:
            made.append({"op": "drop", "fields": gone})
        if self._alias is not None and self._alias != self._around.stream:
            made.append({"op": "rename_stream", "to": self._alias})
        return made


def _readers(field: str, left: Mapping[str, Value]) -> list[str]:
    """Return the other fields that are still to be made of this one."""
    return [name for name, value in left.items() if name != field and _reads(value, field)]


def _reads(value: Value, field: str) -> bool:
    return value.path is not None and value.path.split(".")[0] == field


def _joined_text(said: str, around: Around) -> tuple[str] | None:
    """An alias like ``__stream_name__ + '_v2'``, whose parts are texts."""
    import ast

    def text(node: ast.expr) -> str:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return text(node.left) + text(node.right)
        found = literal(node, around)
        if found is None or not isinstance(found[0], str):
            raise CannotSay("is no text")
        return found[0]

    try:
        return (text(parsed(said)),)
    except CannotSay:
        return None
