"""XML as JSON: an element is an object of its attributes (`@id`), the elements in it, and its text (`#text`).

An element that has nothing but text is that text, one that has nothing at all, or `xsi:nil`, is null. Elements of one name are
an array; so is the one that is alone where the config says that there may be more: the records, and `xml.lists`. All else would be
an array in one answer and none in the next.

expat reads it. What a document declares of its own (entities) is refused: a few lines of it grow to gigabytes, or bring files in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.parsers import expat

import msgspec

from singerkit_catalog.admitted import types_of
from singerkit_catalog.schema import properties_of
from singerkit_shell.errors import BadDataError
from tap_rest.formats.looks import look_of
from tap_rest.formats.texts import TextReader, readers_of
from tap_rest.settings.body import XmlSettings

__all__ = ["Tree", "XmlReader", "as_json"]

_SHORT = 64 * 1024
_DEPTH = 200
_COST, _MOST = 200, 256 * 1024 * 1024
"""Bytes of memory that an element takes, and that all may take that are held at once."""
_SEPARATOR = "\f"
"""Between the namespace of a name and the name: no XML has this character."""
_SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_NIL = f"{_SCHEMA_INSTANCE}{_SEPARATOR}nil"
Keep = Callable[[Any], object]


class XmlReader:
    """Reads the bodies of one stream. ``at``: the elements down to a record, if they are known; ``types``: the schema of a record."""

    def __init__(
        self, settings: XmlSettings, stream: str, at: Sequence[str] | None, types: Mapping[str, Any]
    ) -> None:
        self._settings, self._stream = settings, stream
        self._at = at or ()
        self._shape = _Shape(types)

    def document(self, body: bytes, charset: str | None) -> dict[str, Any]:
        """Return a whole body; ``charset``: None: that of its declaration.

        Raises:
            BadDataError: see `Tree.feed`.
        """
        records: list[Any] = []
        tree = self.tree(records.append)
        tree.feed(body.lstrip(), charset, is_last=True)
        return tree.document(records)

    def tree(self, keep: Keep) -> Tree:
        """Return what takes a body in; ``keep`` is given each record."""
        return Tree(self._at, self._settings, self._shape, keep, self._stream)


class _Shape:
    """What the schema of a record says of the texts in it, and which elements are arrays."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._readers: dict[str, TextReader] = {}
        self._inside: dict[str, _Shape] = {}
        self._lists: set[str] = set()
        for name, prop in properties_of(schema).items():
            kinds = types_of(prop)
            items = prop.get("items") if "array" in kinds and isinstance(prop.get("items"), Mapping) else None
            if "array" in kinds and "string" not in kinds:
                self._lists.add(name)
            self._readers |= readers_of({"properties": {name: prop if items is None else items}})
            if properties_of(items or prop):
                self._inside[name] = _Shape(items or prop)
        self.says_something = bool(self._readers or self._inside or self._lists)

    def typed(self, value: Any) -> Any:
        """Return an element with values in the place of texts, where the schema says so."""
        if isinstance(value, list):
            return [self.typed(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {name: self._of(name, one) for name, one in value.items()}

    def _of(self, name: str, value: Any) -> Any:
        if name in self._lists and value is not None and not isinstance(value, list):
            value = [value]
        if name in self._inside:
            return self._inside[name].typed(value)
        reader = self._readers.get(name)
        if reader is None:
            return value
        if isinstance(value, list):
            return [reader(item) if isinstance(item, str) else item for item in value]
        return reader(value) if isinstance(value, str) else value


class _Element:
    """An element that is open: what has come of it."""

    __slots__ = ("attributes", "children", "is_nil", "text")

    def __init__(self) -> None:
        self.attributes: dict[str, Any] | None = None
        self.children: dict[str, Any] | None = None
        self.text = ""
        self.is_nil = False

    def take_attributes(self, attributes: Mapping[str, str], name_of: Callable[[str], str]) -> None:
        for key, value in attributes.items():
            if key.startswith(_NIL):
                self.is_nil = value in ("true", "1")
            else:
                self.attributes = self.attributes or {}
                self.attributes[f"@{name_of(key)}"] = value

    def add(self, name: str, value: Any, *, is_list: bool) -> None:
        if self.children is None:
            self.children = {}
        before = self.children.get(name, self)
        if before is self:
            self.children[name] = [value] if is_list else value
        elif isinstance(before, list):
            before.append(value)
        else:
            self.children[name] = [before, value]

    def value(self) -> Any:
        """Return the whole element; blanks between the elements in it are for the eye."""
        if self.children is None and self.attributes is None:
            return None if self.is_nil else self.text or None
        found = {**(self.attributes or {}), **(self.children or {})}
        if self.text and not (self.children and self.text.isspace()):
            found["#text"] = self.text
        return found


class Tree:
    """The tree of one document, as it comes, without its records, which go to ``keep``.

    ``at``: the names down to a record; none: no element is one.
    """

    def __init__(
        self, at: Sequence[str], settings: XmlSettings, shape: _Shape, keep: Keep, stream: str
    ) -> None:
        self._at, self._keep, self._stream = tuple(at), keep, stream
        self._shape = shape if shape.says_something else None
        self._lists = frozenset(settings.lists)
        self._prefixes = {url: prefix for prefix, url in settings.namespaces.items()}
        self._chosen = frozenset(settings.namespaces)
        self._names: dict[str, str] = {}
        self._open = [_Element()]
        self._on_way = 0
        """So many of the elements that are open lead to the records."""
        self._held = self._held_before = 0
        """About how many bytes of memory there are of what has come, and were before the record that is open."""
        self._parser: Any = None

    def feed(self, data: bytes, charset: str | None = None, *, is_last: bool) -> None:
        """Take a piece of the document.

        Raises:
            BadDataError: it is no XML, is nested too deeply, or declares entities.
        """
        if self._parser is None:
            self._parser = self._new_parser(charset)
        try:
            self._parser.Parse(data, is_last)
        except expat.ExpatError as error:
            look = look_of(data)
            is_other = (
                look.words not in ("XML", "an empty body") and self._parser.CurrentByteIndex <= len(data) // 2
            )
            got = (
                f"{look.words}{look.advice}"
                if is_other and len(self._open) == 1
                else f"text that is not ({error})"
            )
            raise BadDataError(f"Expected XML (`format` of stream {self._stream}), got {got}.") from None

    def document(self, records: Sequence[Any] | None = None) -> dict[str, Any]:
        """Return what has come around the records, and ``records`` in their place, if there is such a place."""
        found: dict[str, Any] = self._open[0].children or {}
        if not self._at:
            return found
        place = found
        for name in self._at[:-1]:
            if name not in place:
                return found
            if not isinstance(place[name], dict):
                place[name] = {} if place[name] is None else {"#text": place[name]}
            place = place[name]
        if len(self._at) > 1 or records:
            place[self._at[-1]] = records
        return found

    def _new_parser(self, charset: str | None) -> Any:
        parser = expat.ParserCreate(charset, _SEPARATOR)
        parser.namespace_prefixes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = self._refuse_entities
        parser.ExternalEntityRefHandler = parser.SkippedEntityHandler = self._refuse_entities
        return parser

    def _refuse_entities(self, *_: Any) -> bool:
        raise BadDataError(
            f"The XML of stream {self._stream} declares entities of its own, or takes in what stands elsewhere; neither is read, since a few "
            "lines of it can grow without end. Ask the makers of the API for XML without."
        )

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        depth = len(self._open)
        self._held += _COST
        if depth > _DEPTH or self._held > _MOST:
            raise self._too_much(depth)
        element = _Element()
        if attributes:
            element.take_attributes(attributes, self._name)
        self._open.append(element)
        if self._on_way == depth - 1 < len(self._at) and self._name(name) == self._at[depth - 1]:
            self._on_way = depth
            self._held_before = self._held

    def _text(self, text: str) -> None:
        self._open[-1].text += text
        self._held += len(text)

    def _end(self, name: str) -> None:
        element = self._open.pop()
        depth = len(self._open)
        if self._on_way < depth:
            own = self._names.get(name) or self._name(name)
            self._open[-1].add(own, element.value(), is_list=own in self._lists)
            return
        self._on_way = depth - 1
        value = element.value()
        if depth == len(self._at):
            self._keep(value if self._shape is None else self._shape.typed(value))
            self._held = self._held_before
        else:
            outer = self._open[-1]
            outer.children = outer.children or {}
            outer.children.setdefault(self._name(name), value)

    def _too_much(self, depth: int) -> BadDataError:
        if depth > _DEPTH:
            return BadDataError(
                f"Expected XML of a sane depth (stream {self._stream}), got more than {_DEPTH} elements in each other."
            )
        return BadDataError(
            f"Expected less XML beside and in one record (stream {self._stream}), got more than memory is to bear; check `records`."
        )

    def _name(self, name: str) -> str:
        """Return a name as it is written, or with the prefix that the config has for its namespace."""
        known = self._names.get(name)
        if known is None:
            known = self._names[name] = self._told(name.split(_SEPARATOR))
        return known

    def _told(self, parts: list[str]) -> str:
        if len(parts) == 1:
            return parts[0]
        url, name = parts[:2]
        prefix = self._prefixes.get(url, parts[2] if len(parts) > 2 else "")
        if prefix in self._chosen and url not in self._prefixes:
            return f"{{{url}}}{name}"  # a prefix that means another thing in the config
        return f"{prefix}:{name}" if prefix else name


def as_json(body: bytes) -> bytes:
    """Return XML, which an error may be whatever the API answers otherwise, as JSON; all else as it is."""
    if len(body) > _SHORT or not body.lstrip().startswith(b"<"):
        return body
    try:
        return msgspec.json.encode(XmlReader(XmlSettings(), "", (), {}).document(body, None))
    except BadDataError:
        return body
