"""An expression of singer-sdk's stream maps: which field it reads, and the operations that make of that what it says."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_map.conversion.converted import CannotSay, Operation
from singerkit_map.conversion.hashes import Hashing

__all__ = ["Around", "Value", "literal", "path_of", "value_of"]

_CASTS = {"int": "integer", "float": "number", "str": "text", "bool": "boolean"}
_CASES: Mapping[str, Operation] = {
    "lower": {"case": "lower"},
    "upper": {"case": "upper"},
    "strip": {"trim": True},
}
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_RECORDS = ("record", "_")
_ELSE = "is an expression that no operation stands for: write a `python` operation, which calls a function of a module of yours"
Steps = tuple[Callable[[str], Operation], ...]


@dataclass(frozen=True)
class Around:
    """What an expression may name besides fields.

    ``stream`` and ``alias`` are None where a pattern stands for several streams; ``settings`` is `stream_map_config`.
    """

    stream: str | None
    alias: str | None
    settings: Mapping[str, Any]
    hashing: Hashing


@dataclass(frozen=True)
class Value:
    """What a field becomes: a constant where ``path`` is None, else what ``steps`` make of the field there, in their order.

    ``notes`` tell, for the place where it stands, what is otherwise.
    """

    path: str | None
    constant: Any = None
    steps: Steps = ()
    notes: tuple[Callable[[str], str], ...] = ()

    def then(self, step: Callable[[str], Operation], *notes: Callable[[str], str]) -> Value:
        """Return the value with one step more."""
        return Value(self.path, self.constant, (*self.steps, step), (*self.notes, *notes))


def value_of(text: str, target: str, around: Around) -> Value:
    """Return what an expression makes of a record for the field ``target``.

    Raises:
        CannotSay: it is more than our operations say.
    """
    return _value(parsed(text), target, around)


def parsed(text: str) -> ast.expr:
    """Return an expression; of several statements singer-sdk evaluates the first one alone.

    Raises:
        CannotSay: it is none.
    """
    try:
        first = ast.parse(text.strip()).body[0]
    except (SyntaxError, ValueError, IndexError, RecursionError, MemoryError):
        raise CannotSay("is no expression of Python") from None
    if not isinstance(first, ast.Expr):
        raise CannotSay("is no expression of Python")
    return first.value


def _value(node: ast.expr, target: str, around: Around) -> Value:
    found = literal(node, around)
    if found is not None:
        return Value(None, found[0])
    path = path_of(node, target)
    if path is not None:
        return Value(path)
    match node:
        case ast.IfExp():
            return _guarded(node, target, around)
        case ast.Call(func=ast.Name(id="md5" | "sha256" as function), args=[one], keywords=[]):
            return _hashed(one, function, target, around)
        case ast.Call(func=ast.Name(id=function), args=[one], keywords=[]) if function in _CASTS:
            return _cast(_field(one, target, around), function)
        case ast.Call(func=ast.Attribute(attr=method, value=one), args=[], keywords=[]) if method in _CASES:
            return _field(one, target, around).then(
                lambda field: {"op": "normalise", "field": field, **_CASES[method]}
            )
        case ast.Call(func=ast.Attribute(attr="loads", value=ast.Name(id="json")), args=[one], keywords=[]):
            return _field(one, target, around).then(lambda field: {"op": "json", "field": field})
        case ast.Subscript(
            value=one, slice=ast.Slice(lower=None, upper=ast.Constant(value=int(length)), step=None)
        ) if length > 0:
            return _field(one, target, around).then(
                lambda field: {"op": "truncate", "field": field, "length": length}
            )
    raise CannotSay(_fake(node) or _ELSE)


def _fake(node: ast.expr) -> str | None:
    named = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    if "fake" in named:
        return "makes up values by Faker, other ones in each run: `mask`, `hmac` and `tokenise` give the same for the same"
    return None


def _field(node: ast.expr, target: str, around: Around) -> Value:
    value = _value(node, target, around)
    if value.path is None:
        raise CannotSay(_ELSE)
    return value


def _cast(value: Value, function: str) -> Value:
    notes = {
        "int": "cut off what stands behind the point, and `cast` takes whole numbers alone",
        "str": "made the text `None` of null where nothing kept it out, and null stays null",
        "bool": "made true of every text that is not empty, and `cast` takes the words for true and false alone",
    }
    note = notes.get(function)
    told = [lambda place: f"`{place}`: `{function}()` {note}"] if note else []
    return value.then(lambda field: {"op": "cast", "field": field, "to": _CASTS[function]}, *told)


def _hashed(node: ast.expr, function: str, target: str, around: Around) -> Value:
    """A hash of a field, or of one behind or before a salt, which a key takes the place of."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [one for one in (node.left, node.right) if literal(one, around) is None]
        if len(sides) != 1:
            raise CannotSay(f"hashes more than one field; {_ELSE.removeprefix('is an expression that ')}")
        node = sides[0]
    hashing = around.hashing
    hashing.operation(target, function)  # tells first that there is no key
    return _field(node, target, around).then(
        lambda field: hashing.operation(field, function), lambda place: hashing.note(place, function)
    )


def _guarded(node: ast.IfExp, target: str, around: Around) -> Value:
    """``f(x) if x else None``, by which others keep null out of functions; ours never see it."""
    tested, if_there, if_not = _test(node, target)
    if tested is None or not _is_none(if_not, around):
        default = literal(if_not, around)
        if tested is None or default is None or path_of(if_there, target) != tested[0] or not tested[1]:
            raise CannotSay(_ELSE)
        return Value(tested[0]).then(lambda field: {"op": "default", "field": field, "value": default[0]})
    value = _value(if_there, target, around)
    if value.path is None or not f"{value.path}.".startswith(f"{tested[0]}."):
        raise CannotSay(_ELSE)
    if tested[1] or value.path != tested[0]:  # of an object that is there or not
        return value
    note = "what is empty, 0 or false became null there, and stays what it is"
    return Value(value.path, None, value.steps, (*value.notes, lambda place: f"`{place}`: {note}"))


def _test(node: ast.IfExp, target: str) -> tuple[tuple[str, bool] | None, ast.expr, ast.expr]:
    """Return the field that is asked for, and whether for null alone; what follows if it is there, and if not."""
    test, there, gone = node.test, node.body, node.orelse
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, there, gone = test.operand, gone, there
    exact = False
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.comparators[0], ast.Constant):
        if test.comparators[0].value is not None:
            return None, there, gone
        if isinstance(test.ops[0], (ast.Is, ast.Eq)):
            there, gone = gone, there
        elif not isinstance(test.ops[0], (ast.IsNot, ast.NotEq)):
            return None, there, gone
        test, exact = test.left, True
    path = path_of(test, target)
    return (None if path is None else (path, exact)), there, gone


def _is_none(node: ast.expr, around: Around) -> bool:
    return literal(node, around) == (None,)


def literal(node: ast.expr, around: Around) -> tuple[Any] | None:
    """Return the value of an expression that no record decides, in a tuple; None: a record does."""
    match node:
        case ast.Name(id="__stream_name__") if around.alias is not None:
            return (around.alias,)
        case ast.Name(id="__original_stream_name__") if around.stream is not None:
            return (around.stream,)
    name = _setting(node)
    if name is not None:
        if name not in around.settings:
            raise CannotSay(f"takes `{name}` of `stream_map_config`, which has none")
        return (_of_settings(name, around.settings[name]),)
    try:
        return (ast.literal_eval(node),)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _of_settings(name: str, value: Any) -> Any:
    """Return a value of `stream_map_config`; a variable of the environment that Meltano fills in is one here, too."""
    if not isinstance(value, str) or _VARIABLE.search(value) is None:
        return value
    found = _VARIABLE.fullmatch(value)
    if found is None:
        raise CannotSay(
            f"takes `{name}` of `stream_map_config`, a text with a variable in it: write the text"
        )
    return {"env": found[1]}


def _setting(node: ast.expr) -> str | None:
    """The name in ``config['name']``, ``config.name`` and ``config.get('name')``."""
    match node:
        case ast.Subscript(value=ast.Name(id="config"), slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="config"), attr="get"), args=[ast.Constant(value=str(name))]
        ):
            return name
        case ast.Attribute(value=ast.Name(id="config"), attr=name):
            return name
    return None


def path_of(node: ast.expr, target: str | None) -> str | None:
    """Return the path of the field that an expression is, as in ``address.city``; None: it is more than a field.

    ``target`` is the field that ``self`` means.
    """
    parts = _parts(node)
    if not parts:
        return None
    if parts[0] in _RECORDS:
        parts = parts[1:]
    elif parts[0] == "self" and target is not None:
        parts = [target, *parts[1:]]
    if not parts or parts[0] in ("config", "fake", "self", "json", "datetime") or parts[0].startswith("__"):
        return None
    return ".".join(parts)


def _parts(node: ast.expr) -> list[str]:
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.Subscript(value=inner, slice=ast.Constant(value=str(name))):
            outer = _parts(inner)
            return [*outer, name] if outer else []
        case ast.Call(
            func=ast.Attribute(value=inner, attr="get"), args=[ast.Constant(value=str(name))], keywords=[]
        ):
            outer = _parts(inner)
            return [*outer, name] if outer else []
        case ast.Attribute(value=inner, attr=name):
            outer = _parts(inner)
            return [*outer, name] if outer else []
    return []
