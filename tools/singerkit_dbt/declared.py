"""Which streams of a catalog are read from a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_catalog.selection import normalised_catalog
from singerkit_wire.catalogued import root_metadata

__all__ = ["unmarked_logs"]

_DELETED_AT = "_sdc_deleted_at"


def unmarked_logs(catalog: Mapping[str, Any], where: str) -> list[str]:
    """Return the streams that are read from a log, and whose catalog does not say that rows which are gone are marked."""
    return [
        entry["tap_stream_id"]
        for entry in normalised_catalog(catalog, where)["streams"]
        if "LOG_BASED" in (entry.get("replication_method"), root_metadata(entry).get("replication-method"))
        and _DELETED_AT not in (entry["schema"].get("properties") or {})
    ]
