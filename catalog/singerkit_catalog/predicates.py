"""A JSON Schema as a function that tells whether a value is valid: what jsonschema says, at a fiftieth of its time.

Values are as JSON is read here: text, int, `Decimal`, bool, None, lists and dicts. Only what is the same in all drafts from
Draft 7 on is known; where a schema says more, jsonschema has to judge. A property test holds both against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from singerkit_catalog.compiled import Inexpressible
from singerkit_catalog.schema import draft_of

__all__ = ["Predicate", "Unsure", "predicate"]

Predicate = Callable[[Any], bool]

_DRAFTS = frozenset({"Draft7Validator", "Draft201909Validator", "Draft202012Validator"})


class Unsure(Exception):
    """Whether this value is valid is for jsonschema to say."""


def predicate(schema: Mapping[str, Any], draft: type | None = None) -> Predicate:
    """Return what tells whether a value is valid; ``draft``: that of the schema around this one.

    The function raises `Unsure`, or an ArithmeticError, where jsonschema has to say. It compares with all digits in whatever
    context of decimals; `multipleOf` divides in that of the caller.

    Raises:
        Inexpressible: the schema says something that is not known here.
    """
    found: type = draft or draft_of(schema)
    if found.__name__ not in _DRAFTS:
        raise Inexpressible(found)
    return _Compiler(frozenset(found.VALIDATORS)).compiled(schema)  # type: ignore[attr-defined]  # each has them


def _always(_value: Any) -> bool:
    return True


def _never(_value: Any) -> bool:
    return False


def _all_of(predicates: Sequence[Predicate]) -> Predicate:
    telling = [one for one in predicates if one is not _always]
    match telling:
        case []:
            return _always
        case [one]:
            return one
        case [one, other]:
            return lambda value: one(value) and other(value)
    return lambda value: all(one(value) for one in telling)


class _Compiler:
    """``judged``: the keywords that the draft knows; all others say nothing."""

    def __init__(self, judged: frozenset[str]) -> None:
        self._judged = judged

    def compiled(self, schema: Any) -> Predicate:
        if schema is True:
            return _always
        if schema is False:
            return _never
        if not isinstance(schema, Mapping):
            raise Inexpressible(schema)
        keywords = [key for key in schema if key in self._judged and key != "format"]
        unknown = [key for key in keywords if key not in _KEYWORDS and key not in _BESIDE]
        if unknown:
            raise Inexpressible(unknown)
        return _all_of([_KEYWORDS[key](self, schema[key], schema) for key in keywords if key not in _BESIDE])

    def each(self, schemas: Any) -> list[Predicate]:
        if not isinstance(schemas, list):
            raise Inexpressible(schemas)
        return [self.compiled(one) for one in schemas]


# --- what any value is asked ----------------------------------------------------------------------------------

_TYPES: Mapping[str, type] = {
    "null": type(None),
    "boolean": bool,
    "string": str,
    "array": list,
    "object": dict,
    "integer": int,
}


def _is_number(value: Any) -> bool:
    kind = type(value)
    return kind is int or kind is Decimal


def _is_integer(value: Any) -> bool:
    kind = type(value)
    return kind is int or (kind is Decimal and value == value.to_integral_value())


def _type(_: _Compiler, names: Any, _schema: Any) -> Predicate:
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not set(names) <= {*_TYPES, "number"}:
        raise Inexpressible(names)
    kinds = {_TYPES[name] for name in names if name != "number"}
    if "number" in names:
        kinds |= {int, Decimal}
    if len(kinds) == 1 and "integer" not in names:
        (only,) = kinds
        return lambda value: type(value) is only
    if "integer" in names and "number" not in names:
        return lambda value: type(value) in kinds or _is_integer(value)
    return lambda value: type(value) in kinds


def _equal(one: Any, other: Any) -> bool:
    """Tell whether two values are one to JSON: 1 is 1.0, and not true."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    return bool(one == other)


def _enum(_: _Compiler, values: Any, _schema: Any) -> Predicate:
    if not isinstance(values, list):
        raise Inexpressible(values)
    texts = frozenset(value for value in values if isinstance(value, str))
    others = [value for value in values if not isinstance(value, str)]

    def is_one(value: Any) -> bool:
        return value in texts if isinstance(value, str) else any(_equal(value, other) for other in others)

    return is_one


def _const(compiler: _Compiler, value: Any, schema: Any) -> Predicate:
    return _enum(compiler, [value], schema)


def _any_of(compiler: _Compiler, schemas: Any, _schema: Any) -> Predicate:
    branches = compiler.each(schemas)
    match branches:
        case [one, other]:
            return lambda value: one(value) or other(value)
    return lambda value: any(one(value) for one in branches)


def _one_of(compiler: _Compiler, schemas: Any, _schema: Any) -> Predicate:
    branches = compiler.each(schemas)
    return lambda value: sum(one(value) for one in branches) == 1


def _each_of(compiler: _Compiler, schemas: Any, _schema: Any) -> Predicate:
    return _all_of(compiler.each(schemas))


def _not(compiler: _Compiler, schema: Any, _schema: Any) -> Predicate:
    refused = compiler.compiled(schema)
    return lambda value: not refused(value)


def _if(compiler: _Compiler, schema: Any, around: Mapping[str, Any]) -> Predicate:
    condition = compiler.compiled(schema)
    then, otherwise = (compiler.compiled(around.get(name, True)) for name in ("then", "else"))
    return lambda value: then(value) if condition(value) else otherwise(value)


# --- numbers and text -----------------------------------------------------------------------------------------


def _bound(holds: Callable[[Any, Any], bool]) -> _Maker:
    def made(_: _Compiler, bound: Any, _schema: Any) -> Predicate:
        if not _is_number(bound):
            raise Inexpressible(bound)
        return lambda value: not _is_number(value) or holds(value, bound)

    return made


def _multiple_of(_: _Compiler, divisor: Any, _schema: Any) -> Predicate:
    if not _is_number(divisor) or divisor <= 0:
        raise Inexpressible(divisor)
    return lambda value: not _is_number(value) or not value % divisor


def _length(kind: type[str | list[Any] | dict[str, Any]], holds: Callable[[int, int], bool]) -> _Maker:
    def made(_: _Compiler, bound: Any, _schema: Any) -> Predicate:
        if not _is_number(bound):
            raise Inexpressible(bound)
        return lambda value: not isinstance(value, kind) or holds(len(value), bound)

    return made


def _regular(pattern: Any) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError):
        raise Inexpressible(pattern) from None


def _pattern(_: _Compiler, pattern: Any, _schema: Any) -> Predicate:
    search = _regular(pattern).search
    return lambda value: not isinstance(value, str) or search(value) is not None


# --- arrays and objects ---------------------------------------------------------------------------------------


def _items(compiler: _Compiler, schema: Any, around: Mapping[str, Any]) -> Predicate:
    if "prefixItems" in around or not isinstance(schema, Mapping | bool):
        raise Inexpressible(schema)
    item = compiler.compiled(schema)
    if item is _always:
        return _always
    return lambda value: not isinstance(value, list) or all(map(item, value))


def _unique(_: _Compiler, is_wanted: Any, _schema: Any) -> Predicate:
    if is_wanted is not True:
        return _always

    def are_unique(value: Any) -> bool:
        if not isinstance(value, list):
            return True
        if not all(isinstance(item, str) for item in value):
            raise Unsure
        return len(set(value)) == len(value)

    return are_unique


def _required(_: _Compiler, names: Any, _schema: Any) -> Predicate:
    if not isinstance(names, list):
        raise Inexpressible(names)
    if len(names) == 1:
        (only,) = names
        return lambda value: not isinstance(value, dict) or only in value
    wanted = frozenset(names)
    return lambda value: not isinstance(value, dict) or value.keys() >= wanted


def _properties(compiler: _Compiler, schemas: Any, _schema: Any) -> Predicate:
    if not isinstance(schemas, Mapping):
        raise Inexpressible(schemas)
    found = [(name, compiler.compiled(schema)) for name, schema in schemas.items()]
    telling = [(name, one) for name, one in found if one is not _always]
    if not telling:
        return _always

    def are_valid(value: Any) -> bool:
        if isinstance(value, dict):
            for name, one in telling:
                if name in value and not one(value[name]):
                    return False
        return True

    return are_valid


def _pattern_properties(compiler: _Compiler, schemas: Any, _schema: Any) -> Predicate:
    if not isinstance(schemas, Mapping):
        raise Inexpressible(schemas)
    found = [(_regular(pattern).search, compiler.compiled(schema)) for pattern, schema in schemas.items()]

    def are_valid(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        return all(
            one(item) for search, one in found for name, item in value.items() if search(name) is not None
        )

    return are_valid


def _additional(compiler: _Compiler, schema: Any, around: Mapping[str, Any]) -> Predicate:
    other = compiler.compiled(schema)
    if other is _always:
        return _always
    known = frozenset(around.get("properties", {}))
    patterns = "|".join(around.get("patternProperties", {}))
    search = _regular(patterns).search if patterns else _found_nowhere

    def are_valid(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        return all(other(item) for name, item in value.items() if name not in known and search(name) is None)

    return are_valid


def _found_nowhere(_name: str) -> None:
    return None


def _names(compiler: _Compiler, schema: Any, _schema: Any) -> Predicate:
    name = compiler.compiled(schema)
    return lambda value: not isinstance(value, dict) or all(map(name, value))


_Maker = Callable[[_Compiler, Any, Mapping[str, Any]], Predicate]
_BESIDE = frozenset({"then", "else"})
"""Keywords that another one looks at."""
_KEYWORDS: Mapping[str, _Maker] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "allOf": _each_of,
    "not": _not,
    "if": _if,
    "minimum": _bound(lambda value, bound: value >= bound),
    "maximum": _bound(lambda value, bound: value <= bound),
    "exclusiveMinimum": _bound(lambda value, bound: value > bound),
    "exclusiveMaximum": _bound(lambda value, bound: value < bound),
    "multipleOf": _multiple_of,
    "minLength": _length(str, lambda length, bound: length >= bound),
    "maxLength": _length(str, lambda length, bound: length <= bound),
    "pattern": _pattern,
    "items": _items,
    "minItems": _length(list, lambda length, bound: length >= bound),
    "maxItems": _length(list, lambda length, bound: length <= bound),
    "uniqueItems": _unique,
    "required": _required,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "minProperties": _length(dict, lambda length, bound: length >= bound),
    "maxProperties": _length(dict, lambda length, bound: length <= bound),
}
