"""Functions of values at work on a block: each is called once for each distinct text of a column, never for what is missing or null."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import UNSET, Raw

from singerkit_map.block import HIDDEN, NULL, Bad, Block, Column, texts_of
from singerkit_map.jsontexts import Unreadable, text_of, texts, values
from singerkit_map.paths import BadValue, Path, change_at, value_at
from singerkit_shell.encoding import check_utf8
from singerkit_shell.errors import BadDataError

__all__ = ["change_inside", "is_kind", "spread", "work_on"]

_OfTexts: TypeAlias = Callable[[Sequence[bytes]], Sequence[bytes | None]]
_SAMPLE = 200  # texts, of which it shows whether most differ
_MISSING = object()
_KINDS: Mapping[type, str] = {
    Unreadable: "unreadable",
    str: "string",
    bool: "boolean",
    int: "integer",
    list: "array",
    dict: "object",
}
_WORDS = {
    "unreadable": "bytes that are not UTF-8",
    "string": "a text",
    "boolean": "a boolean",
    "integer": "an integer",
    "number": "a number",
    "array": "a list",
    "object": "an object",
}


class _Told(Protocol):
    @property
    def place(self) -> str: ...
    @property
    def protects(self) -> bool: ...


class Work(_Told, Protocol):
    """What `work_on` needs to know of an operation: `singerkit_map.contract.OfValue`."""

    @property
    def value(self) -> Callable[[Any], Any]: ...
    @property
    def takes(self) -> Collection[str]: ...
    @property
    def into(self) -> str | None: ...
    @property
    def null(self) -> Any: ...
    @property
    def missing(self) -> Any: ...
    @property
    def of_texts(self) -> _OfTexts | None: ...


class Parting(_Told, Protocol):
    """What `spread` needs to know of an operation: `singerkit_map.contract.OfParts`."""

    @property
    def value(self) -> Callable[[Any], tuple[Any, ...]]: ...
    @property
    def takes(self) -> Collection[str]: ...
    @property
    def parts(self) -> Mapping[str, Any]: ...


def is_kind(value: Any, takes: Collection[str]) -> bool:
    """Tell whether a value, not null, is of one of these JSON types."""
    return _is_kind(_kind(type(value)), takes)


def _kind(of: type) -> str:
    return _KINDS.get(of, "number")


def _is_kind(kind: str, takes: Collection[str]) -> bool:
    return kind in takes or (kind == "integer" and "number" in takes)


def _check_kind(value: Any, takes: Collection[str]) -> None:
    if not is_kind(value, takes):
        expected = " or ".join(_WORDS[kind] for kind in sorted(takes))
        raise BadValue(f"expected {expected}, got {_WORDS[_kind(type(value))]}")


def work_on(block: Block, path: Path, work: Work, never_null: Collection[str] = ()) -> None:
    """Put what an operation makes of a field in its place, or with ``into`` beside it."""
    column = block.columns[path.top]
    keys = texts_of(column)
    one = _Inside(block, path, _changing(work), never_null, work.into) if path.is_nested else _of_top(work)
    found = None if path.is_nested else _found_at_once(keys, work.of_texts)
    rest = keys if found is None else [key for key, new in zip(keys, found, strict=True) if new is None]
    all_of = None if path.is_nested else _all_of_top(work, one)
    made, failed = _made_of(rest, one, all_of, None if path.is_nested or found is not None else work.of_texts)
    if not path.is_nested:
        made[None] = UNSET if work.missing is ... else _raw(work.missing)
        made[b"null"] = NULL if work.null is ... else _raw(work.null)
    into = path.top if path.is_nested or work.into is None else work.into
    if isinstance(one, _Inside):
        _note_nulls(block, work.place, one, keys)
    if failed:
        _deal_with(block, path, work, keys, failed, never_null)
        block.columns[into] = _with_failed(
            block, block.columns[path.top], work, _column_of(keys, found, made.get)
        )
    else:
        block.columns[into] = _column_of(keys, found, made.__getitem__)


def _found_at_once(keys: Sequence[bytes | None], of_texts: _OfTexts | None) -> Sequence[bytes | None] | None:
    """Return what becomes of each text without a look at its value; None where it is better made of each distinct one, or cannot be."""
    sample = keys[:_SAMPLE]
    if of_texts is None or len(set(sample)) * 4 < len(sample) * 3 or None in keys:
        return None
    every: Sequence[bytes] = keys  # type: ignore[assignment]
    return of_texts(every) if _is_utf8(every) else None


def _column_of(
    keys: Sequence[bytes | None], found: Sequence[bytes | None] | None, made: Callable[[bytes | None], Any]
) -> list[Any]:
    if found is None:
        return list(map(made, keys))
    if None not in found:
        return list(map(Raw, found))  # type: ignore[arg-type]
    return [made(key) if new is None else Raw(new) for key, new in zip(keys, found, strict=True)]


def _with_failed(block: Block, given: Column, work: Work, made: Sequence[Any]) -> list[Any]:
    """Return a column of what was made; where nothing was, null where that is wanted, and else what is left of the value to be shown."""
    if block.place.on_error == "null":
        return [NULL if new is None else new for new in made]
    in_place = work.into is None or work.protects
    return [
        new if new is not None else old if in_place else NULL for old, new in zip(given, made, strict=True)
    ]


def _of_top(work: Work) -> Callable[[Any], Any]:
    value_of, takes = work.value, work.takes

    def one(value: Any) -> Any:
        _check_kind(value, takes)
        return value_of(value)

    return one


def _all_of_top(work: Work, one: Callable[[Any], Any]) -> Callable[[Sequence[Any]], list[Any]]:
    """Return what ``one`` makes of many values; their kinds are looked at all at once."""
    value_of, takes = work.value, work.takes

    def all_of(found: Sequence[Any]) -> list[Any]:
        fit = all(_is_kind(_kind(kind), takes) for kind in set(map(type, found)))
        return list(map(value_of if fit else one, found))

    return all_of


class _Inside:
    """What makes of a whole field the one with what is inside it changed; ``nulls``: how many bad values became null on the way, by their paths.

    ``change`` is given each object and the name in it; ``into``: which field it writes, if not that one.
    """

    def __init__(
        self,
        block: Block,
        path: Path,
        change: Callable[[dict[str, Any], str], None],
        never_null: Collection[str],
        into: str | None = None,
    ) -> None:
        self._path, self._change, self._into = path, change, into
        self._makes_null = block.place.on_error == "null" and path.top not in never_null
        self.nulls: Counter[str] = Counter()

    def __call__(self, value: Any) -> Any:
        return change_at(value, self._path.steps, self._changed, self._wrong if self._makes_null else None)

    def _changed(self, within: dict[str, Any], name: str) -> None:
        try:
            self._change(within, name)
        except BadValue:
            if not self._makes_null:
                raise
            within[self._into or name] = None
            self.nulls[str(self._path)] += 1

    def _wrong(self, value: Any, left: tuple[str | None, ...]) -> Any:
        """Put null in the place of what is no object or list; it stays where nothing of it was to be changed."""
        if self._into is not None:
            self.nulls[str(self._path)] += 1
            return value
        steps = self._path.steps
        self.nulls[str(Path(self._path.top, steps[: len(steps) - len(left)]))] += 1
        return None

    def nulls_in(self, keys: Sequence[bytes | None]) -> Counter[str]:
        """Return how many they are in all records of a column, each of its distinct texts looked at once more."""
        total: Counter[str] = Counter()
        for key, times in Counter(keys).items():
            self.nulls.clear()
            if key is not None:
                with suppress(BadValue):
                    self(*values([key]))
            total.update({path: count * times for path, count in self.nulls.items()})
        return total


def _changing(work: Work) -> Callable[[dict[str, Any], str], None]:
    """Return what puts what an operation makes of a field in an object in its place, or with ``into`` beside it."""
    one = _of_top(work)

    def change(within: dict[str, Any], name: str) -> None:
        target = work.into or name
        value = within.get(name, _MISSING)
        if value is _MISSING or value is None:
            put = work.missing if value is _MISSING else work.null
            if put is not ...:
                within[target] = put
            elif value is None:
                within[target] = None
            return
        within[target] = one(value)

    return change


def _note_nulls(block: Block, place: str, inside: _Inside, keys: Sequence[bytes | None]) -> None:
    if inside.nulls:
        for path, count in inside.nulls_in(keys).items():
            block.place.nulled[block.place.stream, place, path] += count


def _made_of(
    keys: Sequence[bytes | None],
    one: Callable[[Any], Any],
    all_of: Callable[[Sequence[Any]], list[Any]] | None = None,
    of_texts: _OfTexts | None = None,
) -> tuple[dict[bytes | None, Any], dict[bytes | None, str]]:
    """Return what becomes of each distinct text, and why nothing becomes of some; null and what is missing stay.

    ``all_of`` makes the same of many values as ``one`` of each, and ``of_texts`` of their texts, where it does not leave them to that.
    """
    distinct = dict.fromkeys(keys)
    distinct.pop(None, None)
    distinct.pop(b"null", None)
    given: list[bytes] = list(distinct)  # type: ignore[arg-type]
    made: dict[bytes | None, Any] = {None: UNSET, b"null": NULL}
    if of_texts is not None:
        given = _made_of_texts(given, of_texts, made)
    found = values(given)
    try:
        results = all_of(found) if all_of else [one(value) for value in found]
        written = texts(results)
    except BadValue:
        return made, _made_one_by_one(given, found, one, made)
    made.update(zip(given, _raws_of(given, found, results, written), strict=True))
    return made, {}


def _made_of_texts(given: list[bytes], of_texts: _OfTexts, made: dict[bytes | None, Any]) -> list[bytes]:
    """Put into ``made`` what becomes of texts without a look at their values; return those of which that is not known."""
    if not _is_utf8(given):
        return given
    written = dict(zip(given, of_texts(given), strict=True))
    made.update({text: Raw(new) for text, new in written.items() if new is not None})
    return [text for text, new in written.items() if new is None]


def _is_utf8(keys: Sequence[bytes]) -> bool:
    try:
        check_utf8(b"".join(keys))
    except UnicodeDecodeError:
        return False
    return True


def _raws_of(
    given: Sequence[bytes], found: Sequence[Any], results: Sequence[Any], written: Sequence[bytes]
) -> list[Raw]:
    """Return the JSON texts of what was made of values; what is as it was given keeps its text."""
    return [
        Raw(text if result is value else new)
        for text, value, result, new in zip(given, found, results, written, strict=True)
    ]


def _made_one_by_one(
    given: Sequence[bytes], found: Sequence[Any], one: Callable[[Any], Any], made: dict[bytes | None, Any]
) -> dict[bytes | None, str]:
    """Put into ``made`` what becomes of each value; return why nothing becomes of the others."""
    failed: dict[bytes | None, str] = {}
    for text, value in zip(given, found, strict=True):
        try:
            result = one(value)
            made[text] = Raw(text if result is value else text_of(result))
        except BadValue as bad:
            failed[text] = str(bad)
    return failed


def _raw(value: Any) -> Raw:
    return Raw(text_of(value))


def _deal_with(
    block: Block,
    path: Path,
    work: _Told,
    keys: Sequence[bytes | None],
    failed: Mapping[bytes | None, str],
    never_null: Collection[str] = (),
) -> None:
    """See to the records whose value is bad: what they hold is not shown where the operation was to hide it."""
    place = block.place
    column = list(block.columns[path.top])
    for row, key in enumerate(keys):
        if key not in failed:
            continue
        bad = Bad(str(path), failed[key], work.place)
        if place.on_error == "null":
            if path.top in never_null:
                raise BadDataError(block.sentence(row, bad))
            place.nulled[place.stream, work.place, str(path)] += 1
            continue
        block.refuse(row, bad)
        if work.protects:
            column[row] = HIDDEN
    block.columns[path.top] = column


def change_inside(
    block: Block,
    path: Path,
    change: Callable[[dict[str, Any], str], None],
    place: str,
    never_null: Collection[str],
    *,
    hides: bool = False,
) -> None:
    """Call ``change`` with each object that a nested path leads to and its last name; ``hides``: what cannot be changed is not shown."""
    keys = texts_of(block.columns[path.top])
    inside = _Inside(block, path, change, never_null)
    made, failed = _made_of(keys, inside)
    _note_nulls(block, place, inside, keys)
    if failed:
        _deal_with(block, path, _Change(place, hides), keys, failed, never_null)
    is_null = block.place.on_error == "null"
    block.columns[path.top] = [
        made[key] if key not in failed else NULL if is_null else left
        for key, left in zip(keys, block.columns[path.top], strict=True)
    ]


class _Change(NamedTuple):
    place: str
    protects: bool


def spread(block: Block, path: Path, work: Parting) -> None:
    """Put the parts that an operation makes of a field in fields of their own."""
    keys = texts_of(block.columns[path.top])
    count = len(work.parts)

    def one(value: Any) -> list[Any]:
        inner = value_at(value, path.steps, _MISSING)
        if inner is _MISSING or inner is None:
            return [inner is None, *[None] * count]
        _check_kind(inner, work.takes)
        return [True, *work.value(inner)]

    made, failed = _made_of(keys, one)
    rows: dict[bytes | None, list[Any]] = {None: [UNSET] * count, b"null": [NULL] * count}
    for key, raw in made.items():
        if key not in rows and key not in failed:
            is_there, *parts = _raws.decode(raw)
            rows[key] = parts if bytes(is_there) == b"true" else [UNSET] * count
    rows |= {key: [HIDDEN if work.protects else NULL] * count for key in failed}
    for number, name in enumerate(work.parts):
        block.columns[name] = [rows[key][number] for key in keys]
    if failed:
        _deal_with(block, path, work, keys, failed)


_raws = msgspec.json.Decoder(list[Raw])
