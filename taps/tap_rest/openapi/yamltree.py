"""A large YAML document as the tree that JSON would have, read in C where that is there.

Keys are texts (`200`, `on`), so are dates; a part that an alias names is there once, however often it is named. Made of events, since
what PyYAML composes in C is composed by recursion, which ends the process where a document is nested deeply.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["tree_of"]

_DEEPEST = 500
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


def tree_of(text: str) -> Any:
    """Return what a text says.

    Raises:
        ValueError: it is no YAML, or nested too deeply; the message says where.
    """
    # Imported here: most documents are JSON, and it takes a while.
    import yaml  # type: ignore[import-untyped]  # it has no types

    tree = _Tree()
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.ScalarEvent):
                tree.add(_Scalar(str(event.value), bool(event.style)), event.anchor, line)
            elif isinstance(event, yaml.AliasEvent):
                tree.add_alias(event.anchor, line)
            elif isinstance(event, yaml.MappingStartEvent):
                tree.begin({}, event.anchor, line)
            elif isinstance(event, yaml.SequenceStartEvent):
                tree.begin([], event.anchor, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                tree.end()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'it cannot be read'}{where}") from None
    return tree.root


class _Scalar:
    """A text that is a value, or a key."""

    def __init__(self, text: str, is_quoted: bool) -> None:
        self.text, self._is_quoted = text, is_quoted

    @property
    def value(self) -> Any:
        if self._is_quoted or (self.text not in _WORDS and not _NUMBER.fullmatch(self.text)):
            return self.text
        if self.text in _WORDS:
            return _WORDS[self.text]
        return int(self.text) if _INTEGER.fullmatch(self.text) else float(self.text)


class _Tree:
    """What was built so far; of each part that is open the key that waits for its value."""

    def __init__(self) -> None:
        self.root: Any = None
        self._open: list[Any] = []
        self._keys: list[str | None] = []
        self._anchors: dict[str, Any] = {}

    def begin(self, part: Any, anchor: str | None, line: int) -> None:
        if len(self._open) >= _DEEPEST:
            raise ValueError(f"it is nested too deeply at line {line}")
        self.add(part, anchor, line)
        self._open.append(part)
        self._keys.append(None)

    def end(self) -> None:
        self._open.pop()
        self._keys.pop()

    def add_alias(self, anchor: str, line: int) -> None:
        if anchor not in self._anchors:
            raise ValueError(f"nothing is called `{anchor[:40]}` at line {line}")
        self.add(self._anchors[anchor], None, line)

    def add(self, part: Any, anchor: str | None, line: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = part
        value = part.value if isinstance(part, _Scalar) else part
        if not self._open:
            self.root = value
        elif isinstance(self._open[-1], list):
            self._open[-1].append(value)
        elif self._keys[-1] is not None:
            self._open[-1][self._keys[-1]] = value
            self._keys[-1] = None
        elif isinstance(part, _Scalar):
            self._keys[-1] = part.text
        else:
            raise ValueError(f"a key at line {line} is no text")
