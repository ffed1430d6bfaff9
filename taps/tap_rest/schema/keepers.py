"""Who keeps the schema of a stream: declared in the config, or inferred, beside a document or without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from singerkit_state.readas import ReadAs
from tap_rest.config import ApiSettings
from tap_rest.schema.contract import COPIED, SchemaKeeper
from tap_rest.schema.declared import DeclaredSchema
from tap_rest.schema.documented import documented_schema
from tap_rest.schema.inferred import InferredSchema
from tap_rest.schema.kept import KeptSchema
from tap_rest.settings.schema import openapi_of
from tap_rest.settings.stream import StreamSettings

__all__ = ["keeper_of"]


def keeper_of(
    settings: StreamSettings,
    api: ApiSettings,
    from_catalog: Mapping[str, Any],
    former: ReadAs,
    parent: SchemaKeeper | None,
) -> SchemaKeeper:
    """Return what keeps the schema of a stream.

    ``from_catalog`` is its entry in the user's catalog; ``former`` says how it was read before; ``parent`` keeps that of its parent.

    Raises:
        ConfigurationError: the declared schema, or its file, is no JSON Schema of an object; a document says nothing of the records.
    """
    keys = {*settings.primary_keys, *filter(None, [settings.replication_key])}
    now = settings.added_fields | keys
    of_records = former.fields.keys() - former.added
    withdrawn = (former.added | (set(_marked_as_copied(from_catalog)) - of_records)) - now
    by_document = openapi_of(settings.declared_schema)
    if settings.declared_schema is not None and by_document is None:
        return DeclaredSchema(settings, settings.declared_schema, withdrawn)
    documented = documented_schema(settings, by_document, api.base_url) if by_document is not None else None
    kept = KeptSchema(settings, api, former)
    keeper = InferredSchema(
        settings, kept, from_catalog, withdrawn, api.infer, parent, former.fields, documented=documented
    )
    keeper.doubt({*keys, *(from_catalog.get("key_properties") or ())})
    return keeper


def _marked_as_copied(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields that were copied from a parent when an entry of a catalog was made."""
    for item in entry.get("metadata") or ():
        if item["metadata"].get(COPIED) and len(item["breadcrumb"]) == 2:
            yield item["breadcrumb"][1]
