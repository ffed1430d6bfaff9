"""An inferred schema in few words, as a state keeps it: a state goes with each STATE, and is stored by whoever stores states.

    {"id": "integer!", "at": "string date-time", "note": "", "address": {"no": "integer"}, "tags": ["string"]}

* a text: types and format of a field, as `singerkit_state.readas` has them; with ``!`` it is never null;
* an object: an object or null, by its fields; a list of one: a list or null of such;
* a list of three: types, fields and items of what may be several of these; a list of two: a schema that no words tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_state.readas import kind_of, may_be_stored, schema_of

__all__ = ["from_words", "in_words"]

_AS_IT_IS = "as it is"
_FIELDS, _ITEMS = "properties", "items"


def in_words(schema: Any) -> Any:
    """Return the words of the schema of a field; what has a name that no database stores is left out."""
    if not isinstance(schema, Mapping):
        return [_AS_IT_IS, schema]
    fields, items = schema.get(_FIELDS), schema.get(_ITEMS)
    kind = _kind({name: part for name, part in schema.items() if name not in (_FIELDS, _ITEMS)})
    if kind is None or not _is_schema(fields) or not _is_schema(items):
        return [_AS_IT_IS, schema]
    inside = (
        None
        if fields is None
        else {name: in_words(prop) for name, prop in fields.items() if may_be_stored(name)}
    )
    each = None if items is None else in_words(items)
    match kind, inside, each:
        case _, None, None:
            return kind
        case "object", dict(), None:
            return inside
        case "array", None, _:
            return [each]
    return [kind, inside, each]


def from_words(words: Any) -> Any:
    """Return the schema of a field.

    Raises:
        ValueError: these are no words of one.
    """
    match words:
        case str():
            return _schema(words)
        case dict():
            return {**_schema("object"), _FIELDS: _fields(words)}
        case [each]:
            return {**_schema("array"), _ITEMS: from_words(each)}
        case [str(said), schema] if said == _AS_IT_IS:
            return schema
        case [str(kind), inside, each]:
            schema = _schema(kind)
            if inside is not None:
                schema[_FIELDS] = _fields(inside)
            return schema if each is None else {**schema, _ITEMS: from_words(each)}
    raise ValueError("no words of a schema")


def _fields(words: Any) -> dict[str, Any]:
    if not isinstance(words, dict):
        raise ValueError("no words of fields")
    return {name: from_words(item) for name, item in words.items()}


def _kind(plain: Mapping[str, Any]) -> str | None:
    """Return types and format in words; None: they say less than the schema does."""
    kind = kind_of(plain)
    return next((text for text in (kind, f"{kind}!") if _schema(text) == plain), None)


def _schema(kind: str) -> dict[str, Any]:
    schema = schema_of(kind.removesuffix("!"))
    if kind.endswith("!"):
        types = [name for name in schema["type"] if name != "null"]
        schema["type"] = types[0] if len(types) == 1 else types
    return schema


def _is_schema(part: Any) -> bool:
    return part is None or isinstance(part, Mapping)
