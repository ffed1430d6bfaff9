"""A large YAML document as the tree that JSON would have, read in C where that is there.

Keys are texts (`200`, `on`), so are dates; a part that an alias names is there once, however often it is named.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["tree_of"]

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


def tree_of(text: str) -> Any:
    """Return what a text says.

    Raises:
        ValueError: it is no YAML; the message says where.
    """
    # Imported here: most documents are JSON, and it takes a while.
    import yaml  # type: ignore[import-untyped]  # it has no types

    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'it cannot be read'}{where}") from None
    return _value(node, {})


def _value(node: Any, known: dict[int, Any]) -> Any:
    if id(node) in known:
        return known[id(node)]
    if node is None or isinstance(node.value, str):
        return None if node is None else _scalar(node)
    made: Any = {} if node.id == "mapping" else []
    known[id(node)] = made  # before what is inside, which may name it
    if node.id == "mapping":
        made.update({str(key.value): _value(item, known) for key, item in node.value})
    else:
        made.extend(_value(item, known) for item in node.value)
    return made


def _scalar(node: Any) -> Any:
    text = str(node.value)
    if node.style:  # quoted, or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
