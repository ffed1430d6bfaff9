"""Searches by POST: operations that are named so, and what their bodies may hold, as parameters are described."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tap_rest.names import plain_name
from tap_rest.openapi.document import Document, Node, node_at
from tap_rest.openapi.types import merged_node

__all__ = ["is_search", "members_of", "path_of_things", "sent_in_body"]

_WORDS = ("search", "query", "list", "find", "filter", "lookup")
_NAMED = re.compile(rf"(?i)({'|'.join(_WORDS)})(?![a-z])|^({'|'.join(_WORDS)})(?=[A-Z_-])")
_GROUPS = ("page", "paging", "pagination", "options", "pageinfo", "pagerequest", "cursor")
_MEMBER = re.compile(r"\w[\w-]*")
_INSIDE = re.compile(r"\[(\w+)\]$")


def is_search(path: str, operation: Node) -> bool:
    """Tell whether a POST only reads, by the end of its path or by its name: one that creates would create with each run."""
    last = [part for part in re.split(r"[/:]", path) if part][-1:] or [""]
    return plain_name(last[0]) in _WORDS or _NAMED.match(str(operation.get("operationId", ""))) is not None


def path_of_things(path: str) -> str:
    """Return a path without the word at its end that only says how it is asked."""
    found = re.split(r"(?=[/:])", path)
    is_word = len(found) > 1 and plain_name(found[-1].lstrip("/:")) in _WORDS
    return "".join(found[:-1]) if is_word else path


def members_of(document: Document, operation: Node) -> dict[str, Node]:
    """Return what the body of an operation may hold by its paths, each as a parameter of the query would be described."""
    schema = _schema(document, operation)
    found = dict(_members(document, schema, ""))
    for group, said in list(found.items()):
        if plain_name(group) in _GROUPS:
            found |= _members(document, said, f"{group}.")
    return found


def _schema(document: Document, operation: Node) -> Node:
    if document.is_swagger:
        parameters = operation.get("parameters")
        bodies = map(document.resolved, parameters if isinstance(parameters, list) else ())
        said: Any = next((one.get("schema") for one in bodies if one.get("in") == "body"), None)
    else:
        content = node_at(document.resolved(operation.get("requestBody")), "content")
        said = next(
            (node_at(content, kind).get("schema") for kind in content if "json" in str(kind).lower()), None
        )
    return {} if said is None else merged_node(document, said)


def _members(document: Document, schema: Node, above: str) -> Iterator[tuple[str, Node]]:
    needed = schema.get("required")
    for name, value in node_at(schema, "properties").items():
        if not isinstance(name, str) or not _MEMBER.fullmatch(name):
            continue  # a path could not name it
        said = merged_node(document, value)
        is_needed = not above and isinstance(needed, list) and name in needed
        yield above + name, {**said, "required": is_needed, "of": said}


def sent_in_body(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return `pagination` or `incremental` whose parameters travel in the body."""
    param = {"param": _INSIDE.sub(r".\1", group["param"])} if "param" in group else {}
    return {**group, **param, "in": "body"}
