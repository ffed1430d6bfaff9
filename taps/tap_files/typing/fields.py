"""Fields as JSON, in UTF-8 as they are written: a whole column at once, where all are written as most are. Others are for `typing.texts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from singerkit_wire.columnlines import JsonColumn, has_any, json_of_texts
from tap_files.typing.joined import are_days, kind_of_numbers, with_moments
from tap_files.typing.texts import WORDS, Misfit

__all__ = ["as_json"]

Fields = Sequence[bytes]
_NULL = b"null"
_JSON_OF_WORDS = {word.encode(): b"true" if value else b"false" for word, value in WORDS.items()}


def as_json(kind: str, fields: Fields, nulls: frozenset[bytes], *, is_escaped: bool) -> JsonColumn:
    """Return the fields of a column of a kind that `typing.texts` has; "": of nulls alone.

    ``nulls``: the fields that are null. ``is_escaped``: what JSON escapes in them is.

    Raises:
        Misfit: there may be one that is not of this kind, or is to be written otherwise.
    """
    if kind == "string":
        return json_of_texts(fields, nulls, is_escaped=is_escaped)
    nulls |= {b""}
    if not has_any(fields, nulls):
        return _made(kind, fields)
    there = _without(fields, nulls)
    if not there:
        return JsonColumn([_NULL] * len(fields))
    made = _made(kind, there)
    if made.values is there and not made.quote:
        return JsonColumn(_with_nulls(fields, nulls))
    texts, quote = iter(made.values), made.quote
    return JsonColumn([_NULL if field in nulls else quote + next(texts) + quote for field in fields])


def _without(fields: Fields, nulls: frozenset[bytes]) -> Fields:
    if len(nulls) == 1:
        return list(filter(None, fields))
    return [field for field in fields if field not in nulls]


def _with_nulls(fields: Fields, nulls: frozenset[bytes]) -> Fields:
    if len(nulls) == 1:
        return [field or _NULL for field in fields]
    return [_NULL if field in nulls else field for field in fields]


def _made(kind: str, there: Fields) -> JsonColumn:
    made = _MAKERS[kind](there) if kind in _MAKERS else None
    if made is None:
        raise Misfit
    return made


def _integers(fields: Fields) -> JsonColumn | None:
    return JsonColumn(fields) if kind_of_numbers(_joined(fields), len(fields)) == "integer" else None


def _numbers(fields: Fields) -> JsonColumn | None:
    return JsonColumn(fields) if kind_of_numbers(_joined(fields), len(fields)) else None


def _booleans(fields: Fields) -> JsonColumn | None:
    known = {field: _JSON_OF_WORDS.get(field.lower(), b"") for field in {*fields}}
    if b"" in known.values():
        return None
    return JsonColumn(
        fields if all(field == word for field, word in known.items()) else [known[field] for field in fields]
    )


def _days(fields: Fields) -> JsonColumn | None:
    return JsonColumn(fields, b'"') if are_days(_joined(fields), len(fields)) else None


def _moments(fields: Fields) -> JsonColumn | None:
    data = _joined(fields)
    found = with_moments(data, len(fields))
    if found is None:
        return None
    return JsonColumn(fields if found is data else found[:-1].split(b"\n"), b'"')


_MAKERS: Mapping[str, Callable[[Fields], JsonColumn | None]] = {
    "integer": _integers,
    "number": _numbers,
    "boolean": _booleans,
    "string date": _days,
    "string date-time": _moments,
}


def _joined(fields: Fields) -> bytes:
    return b"\n".join([*fields, b""])
