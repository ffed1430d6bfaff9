"""Records as a JMESPath makes them: some left out, fields renamed, taken from inside, put together.

The expression is given an array of one record, and its result is what is read in the place of it: so it means the same whatever
page a record stands on. Numbers stay what they are, to the last digit: those that no float holds are decimals, here as in the body.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_wire import jsonexact as exact
from singerkit_wire.jsonexact import ExactNumber
from tap_rest.extras import imported
from tap_rest.records.bodies import kind_of

__all__ = ["Reshaping", "jmespath_problems"]

_EXACT = decimal.Context(prec=10_000)
_MODULE = "jmespath"
Search = Callable[[Any, str, str], Any]
"""Applies an expression to a value; the other arguments name its place and the stream."""


class Reshaping:
    """Makes the rows of one stream, ``name``, of its records by ``expression``; None: they are its records.

    ``tell`` is given a sentence when nothing is left of the first records that come.
    """

    def __init__(self, name: str, expression: str | None, tell: Callable[[str], None]) -> None:
        self._name, self._tell = name, tell
        self._search = None if expression is None else _search_of(expression)
        self._is_met = False

    def rows(self, records: Sequence[Raw], where: str) -> Sequence[Raw]:
        """Return the rows.

        Raises:
            BadDataError: the expression cannot be applied to a record, or makes something else than objects of it.
            ConfigurationError: a function in it has too few or too many arguments.
        """
        search = self._search
        if search is None or not records:
            return records
        rows = [row for record in records for row in self._rows_of(search, record, where)]
        if not rows and not self._is_met:
            self._tell(
                f"`jmespath` of stream {self._name} leaves none of the {len(records)} records of {where}; if they are wanted, check it: a name "
                "that no record has is null in it, and no error."
            )
        self._is_met = True
        return rows

    def _rows_of(self, search: Search, record: Raw, where: str) -> Iterator[Raw]:
        found = search([exact.loads(bytes(record))], f"a record of {where}", self._name)
        if not isinstance(found, list):
            raise self._problem(found, where, "an array of objects, as `[?active].{id: id}` gives")
        for row in found:
            if not isinstance(row, dict):
                raise self._problem(row, where, "objects in the array that it gives")
            yield _as_raw(row, where, self._name)

    def _problem(self, got: Any, where: str, wanted: str) -> BadDataError:
        kind = kind_of(exact.dumps(got)[:1])
        return BadDataError(
            f"Expected {wanted}, got `{kind}` from `jmespath` of stream {self._name} for a record of {where}: it is applied to an array that "
            "holds one record."
        )


def jmespath_problems(stream: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what is wrong with `jmespath` of a stream.

    Raises:
        ConfigurationError: the package for it is not installed.
    """
    expression = stream.get("jmespath")
    if expression is None:
        return
    jmespath = imported(_MODULE, f"`{place}.jmespath`", "jmespath")
    try:
        parsed = jmespath.compile(expression).parsed
    except jmespath.exceptions.JMESPathError as error:
        at = getattr(error, "lex_position", None)
        yield f"Expected a JMESPath at `{place}.jmespath`, got `{expression}`" + (
            "" if at is None else f" (character {at + 1})"
        )
        return
    known = _functions().FUNCTION_TABLE
    for name in _functions_in(parsed):
        if name not in known:
            yield f"There is no function `{name}` in JMESPath (`{place}.jmespath`); there are {', '.join(sorted(known))}"
    if stream.get("pagination", {}).get("continue_by") == "bookmark":
        yield f"`{place}.pagination.continue_by` `bookmark` does not go with `{place}.jmespath`, whose rows are not those of a page"


def _search_of(expression: str) -> Search:
    """Return the function that applies an expression."""
    jmespath = imported(_MODULE, "`jmespath`", "jmespath")
    errors = jmespath.exceptions
    parsed = jmespath.compile(expression)
    _make_exact(parsed.parsed)
    options = jmespath.Options(custom_functions=_functions())

    def search(value: Any, where: str, stream: str) -> Any:
        try:
            with decimal.localcontext(_EXACT):
                return parsed.search(value, options)
        except (errors.ArityError, errors.UnknownFunctionError) as error:
            raise ConfigurationError(f"`jmespath` of stream {stream}: {error}.") from None
        except (errors.JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            function = getattr(error, "function_name", None)
            got = f", its function `{function}` got another kind of value" if function else ""
            raise BadDataError(
                f"`jmespath` of stream {stream} cannot be applied to {where}{got}; leave such records out in it, or say what is to stand for "
                "such a value (`not_null(a, b)`)."
            ) from None

    return search


def _as_raw(row: Mapping[str, Any], where: str, stream: str) -> Raw:
    text = exact.dumps(row)
    try:
        return Raw(msgspec.json.decode(text, type=Raw))
    except msgspec.DecodeError:
        raise BadDataError(
            f"`jmespath` of stream {stream} makes something of a record of {where} that JSON cannot hold."
        ) from None


def _make_exact(node: Any) -> None:
    """Make decimals of the floats that are written in an expression: `0.1` is one tenth."""
    if node["type"] == "literal":
        node["value"] = _exactly(node["value"])
    for child in node["children"]:
        _make_exact(child)


def _exactly(value: Any) -> Any:
    if isinstance(value, float):
        return ExactNumber(repr(value))
    if isinstance(value, list):
        return [_exactly(one) for one in value]
    return {name: _exactly(one) for name, one in value.items()} if isinstance(value, dict) else value


def _functions_in(node: Any) -> Iterator[str]:
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node["children"]:
        yield from _functions_in(child)


@lru_cache(1)
def _functions() -> Any:
    """Return the functions of JMESPath, with decimals as numbers."""
    functions = imported("jmespath.functions", "`jmespath`", "jmespath")

    class Functions(functions.Functions):  # type: ignore[misc, name-defined]  # the package has no types
        def _type_check_single(self, current: Any, types: Any, function_name: str) -> None:
            super()._type_check_single(_stand_in(current), types, function_name)

        def _convert_to_jmespath_type(self, pyobject: str) -> Any:
            known = "float" if pyobject in ("ExactNumber", "Decimal") else pyobject
            return super()._convert_to_jmespath_type(known)

        @functions.signature({"types": ["array-number"]})  # type: ignore[untyped-decorator]
        def _func_avg(self, arg: Any) -> Any:
            with decimal.localcontext(prec=28):
                return sum(arg, decimal.Decimal()) / len(arg) if arg else None

        @functions.signature({"types": []})  # type: ignore[untyped-decorator]
        def _func_to_string(self, arg: Any) -> str:
            return arg if isinstance(arg, str) else exact.dumps(arg).decode()

        @functions.signature({"types": []})  # type: ignore[untyped-decorator]
        def _func_to_number(self, arg: Any) -> Any:
            if isinstance(arg, str):
                return _number_in(arg)
            return arg if isinstance(arg, int | decimal.Decimal) and not isinstance(arg, bool) else None

        @functions.signature({"types": []})  # type: ignore[untyped-decorator]
        def _func_type(self, arg: Any) -> Any:
            return "number" if isinstance(arg, decimal.Decimal) else super()._func_type(arg)

    return Functions()


def _stand_in(value: Any) -> Any:
    """Return what JMESPath takes for a number in the place of a decimal, also inside an array."""
    if isinstance(value, decimal.Decimal):
        return 0
    return (
        [0 if isinstance(one, decimal.Decimal) else one for one in value]
        if isinstance(value, list)
        else value
    )


def _number_in(text: str) -> Any:
    try:
        found = exact.loads(text.strip().encode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, int | decimal.Decimal) and not isinstance(found, bool) else None
