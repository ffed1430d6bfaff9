"""The streams that a catalog selects, as the SCHEMA messages with which a tap would begin them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from singerkit_catalog.selection import apply_rules, normalised_catalog
from singerkit_state.value import encode

__all__ = ["root_metadata", "schemas_of"]


def schemas_of(catalog: Mapping[str, Any], where: str, rules: Sequence[str] = ()) -> Iterator[str]:
    """Yield the SCHEMA message of each stream that is selected, with the fields that are; ``rules`` (`select`) have the last word.

    Raises:
        ConfigurationError: it is no catalog, or a rule matches nothing.
    """
    from singer_sdk.singerlib import Metadata, MetadataMapping  # it takes half a second

    entries = normalised_catalog(catalog, where)["streams"]
    metadata = {entry["tap_stream_id"]: MetadataMapping.from_iterable(entry["metadata"]) for entry in entries}
    if rules:
        for entry in entries:
            for name in (
                entry["schema"].get("properties") or {}
            ):  # a rule may name one of which a catalog says no more
                metadata[entry["tap_stream_id"]].setdefault(("properties", name), Metadata())
        apply_rules(rules, metadata)
    for entry in entries:
        mask = metadata[entry["tap_stream_id"]].resolve_selection()
        if not mask[()]:
            continue
        schema = dict(entry["schema"])
        if isinstance(schema.get("properties"), Mapping):
            schema["properties"] = {
                name: one for name, one in schema["properties"].items() if mask["properties", name]
            }
        key = _key(entry)
        yield encode(
            {"type": "SCHEMA", "stream": entry["tap_stream_id"], "schema": schema, "key_properties": key}
        )


def _key(entry: Mapping[str, Any]) -> list[str]:
    said = entry.get("key_properties")
    if said is None:
        root = root_metadata(entry)
        said = root.get("table-key-properties") or root.get("view-key-properties")
    return [str(name) for name in said] if isinstance(said, list) else []


def root_metadata(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metadata of the stream itself."""
    return next((one["metadata"] for one in entry["metadata"] if not one["breadcrumb"]), {})
