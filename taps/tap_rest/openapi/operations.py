"""Operations of a document: the one that a stream asks for, what it answers, and where in that answer the records are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tap_rest.openapi.document import Document, Node, node_at
from tap_rest.openapi.types import merged_node
from tap_rest.records.detecting import DULL

__all__ = ["Place", "answer_of", "nearest_paths", "operation_at", "path_to", "place_at", "place_of_rows"]

_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
_PARTS_OF_PATH = re.compile(r"/+")


@dataclass(frozen=True)
class Place:
    """Where rows are in an answer: the names down to them, whether a list of them is there, and what one of them is."""

    names: tuple[str, ...]
    is_list: bool
    node: Any


def operation_at(document: Document, url: str, method: str) -> Node | None:
    """Return the operation that is asked for at a URL; its path may have values where the document has names in braces.

    The document may begin below a base path that nobody tells, so that the end of the URL counts; the longest path, and of these the
    one with the most words in common, is it.
    """
    asked = _parts(urlsplit(url).path)
    best: tuple[int, int] = (0, 0)
    found: Node | None = None
    for path, of_method, operation in document.operations():
        parts = _parts(path)
        if of_method != method.lower() or not parts or len(parts) > len(asked):
            continue
        pairs = list(zip(parts, asked[len(asked) - len(parts) :], strict=True))
        same = sum(one == other for one, other in pairs)
        if all(one == other or "{" in one for one, other in pairs) and same and (len(parts), same) > best:
            best, found = (len(parts), same), operation
    return found


def nearest_paths(document: Document, path: str) -> list[str]:
    """Return the paths of a document that share words with one, the most likely first."""
    wanted = set(_parts(path))
    ranked = sorted((-len(wanted & set(_parts(known))), known) for known, _, _ in document.operations())
    return list(dict.fromkeys(known for shared, known in ranked if shared))


def _parts(path: str) -> list[str]:
    return [part for part in _PARTS_OF_PATH.split(path) if part]


def answer_of(document: Document, operation: Node) -> Any:
    """Return the schema of what an operation answers if all went well; None: the document does not say."""
    answers = node_at(operation, "responses")
    codes = sorted(answers, key=lambda code: (str(code) != "200", str(code)))
    for code in codes:
        if re.fullmatch("2[0-9Xx]{2}|default", str(code)):
            answer = document.resolved(answers[code])
            schema = answer.get("schema") if document.is_swagger else _of_content(answer)
            if schema is not None:
                return schema
    return None


def _of_content(answer: Node) -> Any:
    content = node_at(answer, "content")
    kinds = sorted(
        content, key=lambda kind: ("json" not in str(kind).lower(), str(kind) != "application/json")
    )
    return next((content[kind]["schema"] for kind in kinds if "schema" in node_at(content, kind)), None)


def path_to(names: Sequence[str]) -> str:
    """Return the JSONPath of a member."""
    return "$" + "".join(f".{name}" if _PLAIN.fullmatch(name) else f"['{name}']" for name in names)


def place_at(document: Document, schema: Any, names: Sequence[str], *, is_list: bool) -> Any:
    """Return what stands at ``names`` in a value, or the items of the list there; None: the document does not say."""
    node = schema
    for name in names:
        node = next(
            (one["properties"][name] for one in _forms(document, node) if name in node_at(one, "properties")),
            None,
        )
        if node is None:
            return None
    if not is_list:
        return node
    return next(
        (one["items"] for one in _forms(document, node) if isinstance(one.get("items"), Mapping)), None
    )


def place_of_rows(document: Document, schema: Any) -> Place | None:
    """Return where rows are in an answer, as a run finds them: the array, or the one list of objects in the object, else its items."""
    node = merged_node(document, schema)
    items = place_at(document, schema, (), is_list=True)
    if items is not None:
        return Place((), True, items)
    lists = list(_lists_in(document, node, ()))
    if not lists:
        lists = [
            found
            for name, value in node_at(node, "properties").items()
            for found in _lists_in(document, merged_node(document, value), (name,))
        ]
    of_objects = [one for one in lists if node_at(merged_node(document, one.node), "properties")]
    if len(of_objects or lists) == 1:
        return (of_objects or lists)[0]
    return None


def _lists_in(document: Document, node: Node, above: tuple[str, ...]) -> Iterator[Place]:
    for name, value in node_at(node, "properties").items():
        items = place_at(document, value, (), is_list=True)
        if items is not None and name not in DULL:
            yield Place((*above, str(name)), True, items)


def _forms(document: Document, node: Any) -> Iterator[Node]:
    """Yield a schema, and what it may be besides by `oneOf` and `anyOf`, one level deep."""
    merged = merged_node(document, node)
    yield merged
    for branch in [*merged.get("oneOf", ()), *merged.get("anyOf", ())]:
        yield merged_node(document, branch)
