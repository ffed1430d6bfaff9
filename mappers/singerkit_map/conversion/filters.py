"""`__filter__` of singer-sdk's stream maps: comparisons of one field each, that all have to hold."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from singerkit_map.conversion.converted import CannotSay, Operation
from singerkit_map.conversion.expressions import Around, literal, parsed, path_of

__all__ = ["filters_of"]

_COMPARATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.Gt: "greater",
    ast.GtE: "at_least",
    ast.Lt: "less",
    ast.LtE: "at_most",
    ast.In: "in",
    ast.NotIn: "not_in",
}
_METHODS = {"startswith": "starts_with", "endswith": "ends_with"}
_TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.Eq,
    ast.NotEq: ast.NotEq,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
}
_ORDERED = (ast.Gt, ast.GtE, ast.Lt, ast.LtE)
_NOT: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_MORE = (
    "is more than comparisons of one field each with a constant, joined by `and`: write a `python` operation, which calls a function of "
    "a module of yours"
)
Note = Callable[[str], str]


def filters_of(text: str, around: Around) -> tuple[list[Operation], list[Note]]:
    """Return the `filter` operations that keep the same records, and what they do otherwise.

    Raises:
        CannotSay: it is more than comparisons of one field.
    """
    notes: list[Note] = []
    return [_filter(one, around, notes) for one in _joined(parsed(text))], notes


def _joined(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return [one for side in node.values for one in _joined(side)]
    return [node]


def _filter(node: ast.expr, around: Around, notes: list[Note]) -> Operation:
    is_not = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    if isinstance(node, ast.UnaryOp) and is_not:
        node = node.operand
    found = None if is_not else _of_texts(node, around)
    if found is not None:
        return found
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        raise CannotSay(_MORE)
    left, comparator, right = node.left, type(node.ops[0]), node.comparators[0]
    if path_of(left, None) is None and comparator in _TURNED:
        left, comparator, right = right, _TURNED[comparator], left
    if is_not:
        if comparator not in _NOT:
            raise CannotSay(_MORE)
        comparator = _NOT[comparator]
    field, value = path_of(left, None), literal(right, around)
    if field is None or value is None:
        raise CannotSay(_MORE)
    if comparator in _ORDERED:
        notes.append(
            lambda place: f"`{place}`: null in `{field}` ended the run there; such a record is left out"
        )
    return {"op": "filter", "field": field, **_compared(comparator, value[0])}


def _of_texts(node: ast.expr, around: Around) -> Operation | None:
    """``x.startswith('a')``, ``x.endswith('a')``, ``'a' in x``."""
    match node:
        case ast.Call(func=ast.Attribute(attr=method, value=inner), args=[one], keywords=[]) if (
            method in _METHODS
        ):
            how = _METHODS[method]
        case ast.Compare(left=one, ops=[ast.In()], comparators=[inner]):
            how = "contains"
        case _:
            return None
    field, value = path_of(inner, None), literal(one, around)
    if field is None or value is None or not isinstance(value[0], str):
        return None
    return {"op": "filter", "field": field, "is": how, "value": value[0]}


def _compared(comparator: type[ast.cmpop], value: Any) -> Operation:
    if value is None and comparator in (ast.Is, ast.Eq):
        return {"is": "null"}
    if value is None and comparator in (ast.IsNot, ast.NotEq):
        return {"is": "not_null"}
    if comparator not in _COMPARATORS or value is None:
        raise CannotSay(_MORE)
    if comparator in (ast.In, ast.NotIn):
        if not isinstance(value, (list, tuple, set)) or not value or None in value:
            raise CannotSay(_MORE)
        value = sorted(value, key=repr) if isinstance(value, set) else list(value)
    elif not isinstance(value, (str, int, float, bool)):
        raise CannotSay(_MORE)
    return {"is": _COMPARATORS[comparator], "value": value}
