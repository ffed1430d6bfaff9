"""Catalog entries with the metadata of SINGER-RULES C01-C11."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["FULL_TABLE", "INCREMENTAL", "LOG_BASED", "catalog_entry", "stream_metadata"]

FULL_TABLE, INCREMENTAL, LOG_BASED = "FULL_TABLE", "INCREMENTAL", "LOG_BASED"


def catalog_entry(
    stream: str,
    schema: Mapping[str, Any],
    *,
    key_properties: Sequence[str] = (),
    replication_key: str | None = None,
    valid_replication_keys: Sequence[str] | None = None,
    replication_method: str | None = None,
    is_method_forced: bool = False,
    selected_by_default: bool = True,
    table_metadata: Mapping[str, Any] | None = None,
    property_metadata: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return one member of a catalog's ``streams``; arguments as in `stream_metadata`."""
    method = replication_method or (INCREMENTAL if replication_key else FULL_TABLE)
    entry: dict[str, Any] = {
        "tap_stream_id": stream,
        "stream": stream,
        "schema": dict(schema),
        "key_properties": list(key_properties),
        "replication_method": method,
        "metadata": stream_metadata(
            schema,
            key_properties=key_properties,
            replication_key=replication_key,
            valid_replication_keys=valid_replication_keys,
            replication_method=method,
            is_method_forced=is_method_forced,
            selected_by_default=selected_by_default,
            table_metadata=table_metadata,
            property_metadata=property_metadata,
        ),
    }
    if replication_key:
        entry["replication_key"] = replication_key
    return entry


def stream_metadata(
    schema: Mapping[str, Any],
    *,
    key_properties: Sequence[str] = (),
    replication_key: str | None = None,
    valid_replication_keys: Sequence[str] | None = None,
    replication_method: str | None = None,
    is_method_forced: bool = False,
    selected_by_default: bool = True,
    table_metadata: Mapping[str, Any] | None = None,
    property_metadata: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Return the metadata of a stream: one entry for it and one per property, nested ones included.

    ``valid_replication_keys`` is ``[replication_key]`` unless given. ``is_method_forced`` says that the source
    allows no other method. ``table_metadata`` holds what databases add: ``schema-name``, ``is-view``,
    ``row-count``; of a view (``is-view``) the key stands under ``view-key-properties``. ``property_metadata`` holds what
    they add to a property: ``sql-datatype``. A property schema may carry ``x-inclusion: unsupported``, which becomes its inclusion.
    """
    method = replication_method or (INCREMENTAL if replication_key else FULL_TABLE)
    is_view = bool((table_metadata or {}).get("is-view"))
    root: dict[str, Any] = {
        "inclusion": "available",
        "selected-by-default": selected_by_default,
        "view-key-properties" if is_view else "table-key-properties": list(key_properties),
        "forced-replication-method" if is_method_forced else "replication-method": method,
        **(table_metadata or {}),
    }
    if replication_key:
        root["replication-key"] = replication_key
    own_keys = [replication_key] if replication_key else []
    valid = own_keys if valid_replication_keys is None else list(valid_replication_keys)
    if valid:
        root["valid-replication-keys"] = valid
    always = {*key_properties, *own_keys}
    return [
        {"breadcrumb": [], "metadata": root},
        *(
            {
                "breadcrumb": list(path),
                "metadata": _property_metadata(prop, path, always)
                | dict((property_metadata or {}).get(path[1], {}) if len(path) == 2 else {}),
            }
            for path, prop in _properties(schema, ())
        ),
    ]


def _property_metadata(prop: Any, path: tuple[str, ...], always: set[str]) -> dict[str, Any]:
    if len(path) == 2 and path[1] in always:
        return {"inclusion": "automatic"}
    if isinstance(prop, Mapping) and prop.get("x-inclusion") == "unsupported":
        return {"inclusion": "unsupported"}
    return {"inclusion": "available", "selected-by-default": True}


def _properties(
    schema: Mapping[str, Any], breadcrumb: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    properties = schema.get("properties")
    for name, prop in properties.items() if isinstance(properties, Mapping) else ():
        path = (*breadcrumb, "properties", name)
        yield path, prop
        if isinstance(prop, Mapping):
            yield from _properties(prop, path)
