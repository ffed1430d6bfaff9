"""`pagination` of a stream from the parameters of its operation and from what its answer holds around the records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from tap_rest.names import plain_name
from tap_rest.openapi.document import Document, Node, node_at
from tap_rest.openapi.operations import path_to
from tap_rest.openapi.types import merged_node
from tap_rest.pages.membernames import LATE_TOKENS, NEXT_URLS, TOKENS

__all__ = ["pagination_of", "parameters_of"]

_SIZES = (
    *(
        "perpage",
        "pagesize",
        "limit",
        "maxresults",
        "size",
        "itemsperpage",
        "resultsperpage",
        "page[size]",
        "page[limit]",
        "count",
    ),
    *("first", "top", "rows", "pagelimit", "maxitems", "take", "num"),
)
_PAGES = ("page", "pagenumber", "pagenum", "page[number]", "pageno", "pageindex", "currentpage")
_OFFSETS = ("offset", "skip", "startat", "startindex", "page[offset]", "start", "from", "first_result")
_TOKENS = (
    *(
        "cursor",
        "pagetoken",
        "nexttoken",
        "after",
        "nextcursor",
        "continuationtoken",
        "pagecursor",
        "page[after]",
        "page[cursor]",
    ),
    *("startcursor", "nextpagetoken", "marker", "continue", "next", "bookmark", "scrollid"),
)
_SAYS_MOST = re.compile(r"(?i)\bmax(?:imum)?\b[\w \t:=]{0,30}?(\d{1,6})")
_MOST = 1000
_DEPTH = 3


def parameters_of(document: Document, operation: Node, path_item: Node) -> dict[str, Node]:
    """Return the query parameters of an operation by name, with their schemas in one form for all versions."""
    found: dict[str, Node] = {}
    for group in (path_item.get("parameters"), operation.get("parameters")):
        for item in group if isinstance(group, list) else ():
            said = document.resolved(item)
            if said.get("in") == "query" and isinstance(said.get("name"), str):
                found[said["name"]] = {
                    **merged_node(document, said.get("schema", said)),
                    "required": said.get("required") is True,
                    "of": said,
                }
    return found


def pagination_of(
    document: Document, parameters: Mapping[str, Node], answer: Any, operation: Node, key: str | None
) -> dict[str, Any] | None:
    """Return what reads the next page; None: the document does not show any."""
    around = list(_around(document, answer, (), 0))
    size = _size(parameters)
    token = _named(parameters, _TOKENS)
    places = [
        at
        for at in around
        if plain_name(at[-1]) in {*TOKENS, *LATE_TOKENS} and not _is_url(document, answer, at)
    ]
    more = next(
        (
            path_to(at)
            for at in around
            if plain_name(at[-1]) in ("hasmore", "hasnext", "hasnextpage", "moreresults")
        ),
        None,
    )
    if token is not None and places:
        at = sorted(places, key=lambda at: (plain_name(at[-1]) not in TOKENS, len(at)))[0]
        return {
            "type": "cursor",
            "cursor": path_to(at),
            "param": token,
            **({"has_more": more} if more and plain_name(at[-1]) in LATE_TOKENS else {}),
            **size,
        }
    after = _named(parameters, ("startingafter", "afterid", "sinceid", "startafter"))
    if after is not None and key is not None and more is not None:
        return {"type": "keyset", "field": key, "param": after, "has_more": more, **size}
    url = next(
        (at for at in around if plain_name(at[-1]) in NEXT_URLS and _is_url(document, answer, at)), None
    )
    if url is not None:
        return {"type": "next_url", "next": path_to(url), **size}
    if _has_link_header(document, operation):
        return {"type": "link_header", **size}
    page, offset = _named(parameters, _PAGES), _named(parameters, _OFFSETS)
    if page is not None:
        start = parameters[page].get("default", parameters[page].get("minimum"))
        return {"type": "page", "param": page, **({"start": 0} if start == 0 else {}), **size}
    return {"type": "offset", "param": offset, **size} if offset is not None and size else None


def _size(parameters: Mapping[str, Node]) -> dict[str, Any]:
    name = _named(parameters, _SIZES)
    if name is None:
        return {}
    said = parameters[name]
    words = _SAYS_MOST.search(f"{said.get('description', '')} {said['of'].get('description', '')}")
    counts = [said.get("maximum"), int(words[1]) if words else None, said.get("default"), 100]
    return {"size": min(next(int(one) for one in counts if _is_count(one)), _MOST), "size_param": name}


def _is_count(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1


def _named(parameters: Mapping[str, Node], names: Sequence[str]) -> str | None:
    """Return the parameter of the first of these names."""
    plain = {_plain(name.rpartition(".")[2]): name for name in parameters}  # `page.after` of a body
    plain |= {_plain(name): name for name in parameters}
    return next((plain[name] for name in names if name in plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[$_\- .]", "", name.lower()) if "[" in name else plain_name(name)


def _around(document: Document, node: Any, above: tuple[str, ...], depth: int) -> Iterator[tuple[str, ...]]:
    for name, value in node_at(merged_node(document, node), "properties").items():
        said = merged_node(document, value)
        if "items" not in said:
            yield (*above, str(name))
        if depth < _DEPTH and "properties" in said:
            yield from _around(document, said, (*above, str(name)), depth + 1)


def _is_url(document: Document, answer: Any, at: Sequence[str]) -> bool:
    node = merged_node(document, answer)
    for name in at:
        node = merged_node(document, node_at(node, "properties").get(name))
    words = f"{node.get('format', '')} {node.get('example', '')} {at[-1]}".lower()
    said = f"{node.get('description', '')}".lower()
    return (
        any(word in words for word in ("uri", "url", "http", "link", "href"))
        or "url" in said
        or "link" in said
    )


def _has_link_header(document: Document, operation: Node) -> bool:
    return any(
        str(name).lower() == "link"
        for code, answer in node_at(operation, "responses").items()
        if str(code).startswith("2")
        for name in node_at(document.resolved(answer), "headers")
    )
