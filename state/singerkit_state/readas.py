"""How a stream was read: the fields that were sent of it, and what its source was asked for.

Bookmarks say how far a stream was read, not what was left out on the way. This stands beside them in the stream's part of
the state, under one key, which other programs pass on as they do with any other::

    "_singerkit_read": {"fields": {"id": "integer", "at": "string date-time", "note": ""},
                        "source": {"where": "5f0c2e6f0a11", "asks": "44136fa355b3", "records": ["orders"], "keys": ["id"]},
                        "start_date": "2024-01-01T00:00:00Z"}

* ``fields``: what was sent, each with its JSON types but null, and its format; "": none but null was seen;
* ``source``: what the connector says of its requests, by part, where a text may tell a secret, as a digest; and the
  primary key under ``keys``;
* ``start_date``: the earliest that counted; not there: the stream was read from the beginning;
* ``nulls``: true, where a row without a replication key has come;
* ``gone``: those of the fields that no record had when all of them were read last;
* ``left``: what was sent before and is not now, with the types that it had;
* ``added``: fields that the config has added to the records, now or before, and that no record had by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from singerkit_state.value import is_utf8

__all__ = ["FIELD_LIMIT", "READ_AS", "ReadAs", "kind_of", "may_be_stored", "schema_of"]

READ_AS = "_singerkit_read"

FIELD_LIMIT = 1_000
"""Fields of a stream that are kept, the first by name; of more, nobody knows which were sent before."""

_BASE64, _DOUBLE = "base64", "double"
_TYPES = ("boolean", "integer", "number", "string", "array", "object")


@dataclass(frozen=True, slots=True)
class ReadAs:
    """How a stream was read. ``fields``: see above, none: not known. ``is_known``: the state says anything at all."""

    fields: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    start_date: str | None = None
    is_known: bool = True
    has_nulls: bool = False
    gone: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()
    left: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Any) -> ReadAs:
        """Return what the part of a stream in a state says; what is not understood there is not known."""
        said = part.get(READ_AS) if isinstance(part, Mapping) else None
        if not isinstance(said, Mapping):
            return cls(is_known=False)
        fields, source, start_date = said.get("fields"), said.get("source"), said.get("start_date")
        return cls(
            _kinds(fields),
            dict(source) if isinstance(source, Mapping) else {},
            start_date if isinstance(start_date, str) else None,
            has_nulls=said.get("nulls") is True,
            gone=_names(said.get("gone")),
            added=_names(said.get("added")),
            left=_kinds(said.get("left")),
        )

    @property
    def ever_sent(self) -> Mapping[str, str]:
        """The fields that were sent in any run, with the types that they had last."""
        return {**self.left, **self.fields}

    @property
    def knows_all_fields(self) -> bool:
        """Whether a field that is not among `fields` was not sent."""
        return 0 < len(self.fields) < FIELD_LIMIT

    def written(self) -> dict[str, Any]:
        """Return what a state holds of it."""
        names, left = _stored(self.fields), _stored(self.left)
        said = {
            "fields": {name: self.fields[name] for name in names},
            "left": {name: self.left[name] for name in left},
            "source": dict(self.source),
            "start_date": self.start_date,
            "nulls": self.has_nulls,
            "gone": [name for name in names if name in self.gone],
            "added": _stored(self.added),
        }
        return {key: item for key, item in said.items() if item}


def _stored(names: Iterable[str]) -> list[str]:
    return sorted(filter(may_be_stored, names))[:FIELD_LIMIT]


def _kinds(found: Any) -> dict[str, str]:
    return {name: str(kind) for name, kind in found.items()} if isinstance(found, Mapping) else {}


def _names(found: Any) -> frozenset[str]:
    return frozenset(map(str, found)) if isinstance(found, list) else frozenset()


def may_be_stored(name: str) -> bool:
    """Tell whether a database takes the name as part of a state; no table has a column of another one either."""
    return "\0" not in name and is_utf8(name)


def kind_of(schema: Mapping[str, Any]) -> str:
    """Return types and format of a property in words: `string date-time`; `string base64` of bytes; `number double`."""
    declared = schema.get("type", ())
    types = [declared] if isinstance(declared, str) else declared
    words = [name for name in _TYPES if name in types]
    said = (schema.get("format"), _BASE64 if schema.get("contentEncoding") == _BASE64 else None)
    if words == ["number"] and schema.get("format") == _DOUBLE:
        return f"number {_DOUBLE}"
    return " ".join([*words, *(filter(None, said) if "string" in words else ())])


def schema_of(kind: str) -> dict[str, Any]:
    """Return the schema of a property that `kind_of` has put into words; null is always allowed."""
    words = kind.split()
    types = [word for word in words if word in _TYPES]
    formats = [word for word in words if word not in (*_TYPES, _BASE64)]
    if _BASE64 in words and types == ["string"]:
        return {"type": ["null", "string"], "contentEncoding": _BASE64}
    schema: dict[str, Any] = {"type": ["null", *types]}
    return {**schema, "format": formats[0]} if formats and types in (["string"], ["number"]) else schema
