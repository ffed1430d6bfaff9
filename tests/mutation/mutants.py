"""Make the mutants of one source file: mutmut's operators, and five of ours for what those leave out.

Run with the Python of an environment that has mutmut; prints a JSON line for each mutant::

    {"where": "Class.function", "diff": ["- old line", "+ new line"], "code": "the whole file"}

Mutmut's own runner is not used: it takes one source root on the path, and leaves out module level code (here
regular expressions and decoders), decorated functions and properties, and statements without a value.

Left out, because nobody promises it: annotations, docstrings, ``__all__``, decorators, assertions for the type
checker, and the wording of errors and log lines (that they come, and of which class, is mutated).
"""

from __future__ import annotations

import ast
import difflib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ByteSpanPositionProvider, CodeSpan, MetadataWrapper, ParentNodeProvider
from mutmut.mutation import mutators

_LOGGER = m.Name(m.MatchRegex(r"logger|_?log"))
LOG = m.Call(func=m.Attribute(value=_LOGGER | m.Attribute(attr=_LOGGER)))
TEXT = m.SimpleString() | m.FormattedString() | m.ConcatenatedString()
LEFT_OUT = (
    m.Annotation()
    | m.Decorator()
    | m.Import()
    | m.ImportFrom()
    | m.Assert()
    | m.Assign(targets=[m.AssignTarget(target=m.Name("__all__") | m.Name("logger"))])
    | m.AnnAssign(annotation=m.Annotation(annotation=m.Name("TypeAlias")))
    | m.Assign(value=m.Call(func=m.Name("TypeVar")))
    | m.Call(func=m.Name("cast"))
)


def drop_statement(node: cst.SimpleStatementLine) -> Iterator[cst.SimpleStatementLine]:
    """A call for its effect, a raise, or a del: not made."""
    if m.matches(node, m.SimpleStatementLine(body=[m.Expr(value=m.Call()) | m.Raise() | m.Del()])):
        yield node.with_changes(body=[cst.Pass()])


def return_nothing(node: cst.Return) -> Iterator[cst.Return]:
    """The value of a return: None. (A False becomes True by mutmut's operators.)"""
    if node.value is not None and not m.matches(node.value, m.Name("None") | m.Name("False")):
        yield node.with_changes(value=cst.Name("None"))


def turn_condition(node: cst.If | cst.While | cst.CompIf) -> Iterator[cst.CSTNode]:
    """A condition: its opposite. (What mutmut itself changes in comparisons comes on top.)"""
    negated = cst.UnaryOperation(
        cst.Not(), node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    )
    yield node.with_changes(test=negated)


def catch_less(node: cst.ExceptHandler) -> Iterator[cst.ExceptHandler]:
    """The classes of an ``except``: one of them less."""
    if isinstance(node.type, cst.Tuple):
        for index in range(len(node.type.elements)):
            rest = [*node.type.elements[:index], *node.type.elements[index + 1 :]]
            rest[-1] = rest[-1].with_changes(comma=cst.Comma())
            yield node.with_changes(type=node.type.with_changes(elements=rest))
    elif node.type is not None:
        # Nothing is of the class of this tuple: the handler never runs.
        never = cst.Tuple([], lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.with_changes(type=never, whitespace_after_except=cst.SimpleWhitespace(" "))


def drop_operand(node: cst.BooleanOperation) -> Iterator[cst.BaseExpression]:
    """``a and b``: only a, only b."""
    yield node.left
    yield node.right


OURS: list[tuple[type, Callable[[Any], Iterable[cst.CSTNode]]]] = [
    (cst.SimpleStatementLine, drop_statement),
    (cst.Return, return_nothing),
    (cst.If, turn_condition),
    (cst.While, turn_condition),
    (cst.CompIf, turn_condition),
    (cst.ExceptHandler, catch_less),
    (cst.BooleanOperation, drop_operand),
]
OPERATORS = [*mutators.mutation_operators, *OURS]


def mutants(source: str) -> Iterator[dict[str, Any]]:
    """Yield each mutant of ``source`` once; those that compile to the same code are none."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    parents, spans = wrapper.resolve(ParentNodeProvider), wrapper.resolve(ByteSpanPositionProvider)
    original = _compiled(source)
    seen = {source}
    for node in _worth(wrapper.module, is_wording=False):
        for kind, operator in OPERATORS:
            if not isinstance(node, kind):
                continue
            for changed in operator(node):
                if _tells_nothing(node, changed):
                    continue
                code = _replaced(wrapper.module, source, node, changed, spans)
                if code in seen:
                    continue
                seen.add(code)
                compiled = _compiled(code)
                if compiled is not None and not _same(compiled, original):
                    yield {"where": _where(node, parents), "diff": _diff(source, code), "code": code}


def _worth(node: cst.CSTNode, *, is_wording: bool) -> Iterator[cst.CSTNode]:
    """Yield the nodes to mutate; in what makes a sentence for people only the statement as a whole."""
    if m.matches(node, LEFT_OUT) or (is_wording and m.matches(node, TEXT)):
        return
    if m.matches(node, LOG):
        return
    yield node
    is_wording = is_wording or isinstance(node, cst.Raise)
    for child in node.children:
        yield from _worth(child, is_wording=is_wording or _makes_an_error(node))


def _makes_an_error(node: cst.CSTNode) -> bool:
    """An error is made, or a job is told what it does: that completes the sentence of an error."""
    return m.matches(
        node,
        m.Call(func=m.Name(m.MatchRegex(r".*(Error|Lost|Line)|Stopped|InTheWay")))
        | m.Call(func=m.Attribute(attr=m.Name(m.MatchRegex(r"_?(call|submit)")))),
    )


def _is_wording(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """A text argument of an error, dropped or made None."""
    if not (isinstance(node, cst.Call) and _makes_an_error(node) and isinstance(changed, cst.Call)):
        return False
    kept = [arg for arg in changed.args if any(arg is old for old in node.args)]
    lost = [arg for arg in node.args if not any(arg is new for new in kept)]
    return all(m.matches(arg.value, TEXT) for arg in lost)


def _tells_nothing(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    return (
        _only_letters_differ(node, changed)
        or _is_wording(node, changed)
        or _is_no_call(node, changed)
        or _is_false_as_none(node, changed)
    )


def _is_false_as_none(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """Both mean no; False also becomes True, which means yes."""
    if isinstance(node, cst.Assign | cst.AnnAssign):
        return node.value is not None and m.matches(node.value, m.Name("False"))
    if not isinstance(node, cst.Call) or not isinstance(changed, cst.Call):
        return False
    pairs = zip(node.args, changed.args, strict=False)
    return len(node.args) == len(changed.args) and any(
        old is not new and m.matches(old.value, m.Name("False")) for old, new in pairs
    )


def _is_no_call(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """Another class than the one asked for as None, or an argument gone from the middle: a TypeError at once."""
    if not isinstance(node, cst.Call) or not isinstance(changed, cst.Call):
        return False
    if m.matches(node.func, m.Name("isinstance")):
        return changed.args[0] is node.args[0]
    positional = [arg for arg in node.args if arg.keyword is None]
    left = [arg for arg in changed.args if arg.keyword is None]
    return len(left) < len(positional) and any(a is not b for a, b in zip(positional, left, strict=False))


def _replaced(module: cst.Module, source: str, node: cst.CSTNode, changed: cst.CSTNode, spans: Any) -> str:
    """The whole file with ``changed`` in the place of ``node``."""
    if not isinstance(node, cst.BaseExpression) or not isinstance(changed, cst.BaseExpression):
        return module.deep_replace(node, changed).code
    # A hundred times as fast. A span is without the parentheses of its node.
    span: CodeSpan = spans[node]
    if changed.lpar and changed.lpar == node.lpar:
        changed = changed.with_changes(lpar=[], rpar=[])
    data = source.encode()
    text = module.code_for_node(changed).encode()
    return (data[: span.start] + text + data[span.start + span.length :]).decode()


def _only_letters_differ(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """mutmut also writes texts in upper and lower case: what notices XX...XX notices that, and SQL does not mind."""
    return isinstance(node, cst.SimpleString) and "XX" not in changed.value[:5]


def _compiled(code: str) -> CodeType | None:
    try:
        # optimize=2 leaves assertions and docstrings out
        return compile(ast.parse(code), "mutant", "exec", dont_inherit=True, optimize=2)
    except (SyntaxError, ValueError):
        return None


def _same(left: CodeType, right: CodeType | None) -> bool:
    # Without positions: they are no part of what the code does.
    return right is not None and _essence(left) == _essence(right)


def _essence(code: CodeType) -> tuple[Any, ...]:
    consts = tuple(
        _essence(const) if isinstance(const, CodeType) else (type(const), repr(const))
        for const in code.co_consts
    )
    return (code.co_code, code.co_names, code.co_varnames, code.co_exceptiontable, code.co_flags, consts)


def _where(node: cst.CSTNode, parents: Any) -> str:
    names: list[str] = []
    at: cst.CSTNode | None = node
    while at is not None and not isinstance(at, cst.Module):
        if isinstance(at, cst.FunctionDef | cst.ClassDef):
            names.append(at.name.value)
        at = parents.get(at)
    return ".".join(reversed(names)) or "module"


def _diff(old: str, new: str) -> list[str]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [f"{line[0]} {line[1:].strip()}" for line in list(lines)[2:] if line[0] in "+-"]


def main() -> None:
    for mutant in mutants(Path(sys.argv[1]).read_text(encoding="utf-8")):
        print(json.dumps(mutant))


if __name__ == "__main__":
    main()
