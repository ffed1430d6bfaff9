"""What somebody has changed in a catalog that --discover has made, told apart from what was found since.

Beside each property of a catalog stands a digest of what was found of it (`inferred` in its metadata). Where the property is
another by now, a hand has written it, and it is obeyed; where it is the same, whatever is found since joins it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from singerkit_catalog.admitted import types_of
from singerkit_catalog.inference import merge_schemas
from singerkit_catalog.schema import is_nullable

__all__ = ["CatalogEdits", "joined", "mark_as_inferred"]

_INFERRED = "inferred"
Breadcrumb = tuple[str, ...]
_OF_OTHERS = ("properties", "selected", "inclusion")
"""What a property has of others: its fields are told apart by themselves, and tools write the rest."""


def _digest_of(prop: Any) -> str:
    """Return what tells a property from others, less the fields inside."""
    own = (
        {key: value for key, value in prop.items() if key not in _OF_OTHERS}
        if isinstance(prop, Mapping)
        else prop
    )
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class _Edit:
    """What was changed of one property: all but the fields inside, None where only these were."""

    own: Any
    inside: Mapping[str, _Edit]

    @property
    def said(self) -> Any:
        """The schema that this says."""
        inside = {name: edit.said for name, edit in self.inside.items()}
        own = {} if self.own is None else self.own
        return {**own, "properties": inside} if inside else own

    def over(self, prop: Any) -> Any:
        """Return a property with the changes."""
        known = prop if isinstance(prop, Mapping) else {}
        rest = {key: value for key, value in known.items() if key != "properties"}
        own = rest if self.own is None else self.own
        properties = _with_edits(_properties_of(known), self.inside)
        types = types_of(own)
        return {**own, "properties": properties} if properties and (not types or "object" in types) else own


def mark_as_inferred(entry: Mapping[str, Any]) -> None:
    """Write into the metadata of a catalog's entry what tells each property from what somebody makes of it."""
    for item in entry["metadata"]:
        if item["breadcrumb"]:
            item["metadata"][_INFERRED] = _digest_of(_at(entry["schema"], item["breadcrumb"]))


def _at(schema: Any, breadcrumb: Sequence[str]) -> Any:
    for step in breadcrumb:
        schema = schema[step]
    return schema


class CatalogEdits:
    """The changes in the entry of one stream; none are known of a catalog without digests."""

    def __init__(self, entry: Mapping[str, Any], chosen: Mapping[str, Any]) -> None:
        self._digests = {
            tuple(item["breadcrumb"]): item["metadata"][_INFERRED]
            for item in entry.get("metadata") or ()
            if _INFERRED in item["metadata"]
        }
        self.are_known = bool(self._digests)
        self._edits = self._found(_properties_of(chosen), ()) if self.are_known else {}

    @property
    def properties(self) -> dict[str, Any]:
        """The properties that were changed, or hold others that were, as somebody wants them."""
        return {name: edit.said for name, edit in self._edits.items()}

    def over(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema with the changes."""
        if not self._edits:
            return dict(schema)
        return {**schema, "properties": _with_edits(_properties_of(schema), self._edits)}

    def _found(self, properties: Mapping[str, Any], above: Breadcrumb) -> dict[str, _Edit]:
        found = {}
        for name, prop in properties.items():
            at = (*above, "properties", name)
            inside = self._found(_properties_of(prop), at)
            is_own = self._digests.get(at) != _digest_of(prop)
            own = (
                {key: part for key, part in prop.items() if key not in _OF_OTHERS}
                if is_own and isinstance(prop, Mapping)
                else None
            )
            if is_own or inside:
                found[name] = _Edit(own, inside)
        return found


def _with_edits(properties: Mapping[str, Any], edits: Mapping[str, _Edit]) -> dict[str, Any]:
    return {**properties, **{name: edit.over(properties.get(name)) for name, edit in edits.items()}}


def joined(chosen: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property that nobody has edited with what is found: the types of both, and null as it was found."""
    merged = merge_schemas(found, chosen)
    if not is_nullable(found) and isinstance(merged.get("type"), list):
        types = [name for name in merged["type"] if name != "null"]
        merged["type"] = types[0] if len(types) == 1 else types
    return merged


def _properties_of(prop: Any) -> Mapping[str, Any]:
    properties = prop.get("properties") if isinstance(prop, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}
