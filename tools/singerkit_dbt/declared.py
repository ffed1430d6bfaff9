"""The streams that a catalog selects, as SCHEMA messages: of a file, or of what a tap says at `--discover`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from singerkit_catalog.selection import apply_rules, normalised_catalog
from singerkit_state.value import encode

__all__ = ["schemas_of", "unmarked_logs"]

_DELETED_AT = "_sdc_deleted_at"


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
        root = _root(entry)
        said = root.get("table-key-properties") or root.get("view-key-properties")
    return [str(name) for name in said] if isinstance(said, list) else []


def _root(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((one["metadata"] for one in entry["metadata"] if not one["breadcrumb"]), {})


def unmarked_logs(catalog: Mapping[str, Any], where: str) -> list[str]:
    """Return the streams that are read from a log, and whose catalog does not say that rows which are gone are marked."""
    return [
        entry["tap_stream_id"]
        for entry in normalised_catalog(catalog, where)["streams"]
        if "LOG_BASED" in (entry.get("replication_method"), _root(entry).get("replication-method"))
        and _DELETED_AT not in (entry["schema"].get("properties") or {})
    ]
