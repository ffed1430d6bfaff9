"""Fields that stand inside others, copied to the top of their record: keys have to be there for every target.

The record itself stays as it is, to the last byte; what is copied stands behind its own fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw

from singerkit_shell.errors import BadDataError, ConfigurationError
from tap_rest.paths import Path, column_of
from tap_rest.records.withmembers import with_copies
from tap_rest.settings.fields import text_of
from tap_rest.settings.stream import StreamSettings

__all__ = ["Lifting", "declared_at", "with_copied"]


class Lifting:
    """Adds the copied fields of one stream to its records; one that a record does not have is not added."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._columns = {name: column_of(Path("", names, False)) for name, names in settings.copied.items()}

    def lifted(self, records: Sequence[Raw], where: str) -> Sequence[Raw]:
        """Return the records with what is copied.

        Raises:
            BadDataError: a record has a field of that name with another value.
        """
        if not self._columns or not records:
            return records
        copies = {name: column(records, where) for name, column in self._columns.items()}
        return with_copies(records, copies, where, self._clash)

    def _clash(self, name: str) -> BadDataError:
        path = text_of(self._settings.copied[name])
        return BadDataError(
            f"Stream {self._settings.name} copies `{path}` to the top of each record as `{name}`, and one of its records has a field "
            f'`{name}` of its own with another value; copy it under another name, `"copy": {{{json.dumps("inner_" + name)}: '
            f"{json.dumps(path)}}}` of the stream."
        )


def with_copied(stream: str, schema: dict[str, Any], copied: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return a declared schema with what is copied to the top, of the type that it says of the field inside.

    Raises:
        ConfigurationError: it says nothing of it.
    """
    known = schema.get("properties")
    if not known:
        return schema  # records are sent whole
    added = {}
    for name, names in copied.items():
        if name not in known:
            found = declared_at(schema, names)
            if found is None:
                raise ConfigurationError(
                    f"Stream `{stream}` has `{text_of(names)}` of its records copied to the top as `{name}`, and its `schema` does not say "
                    f"what that is; add `{name}` to the properties of `schema`."
                )
            added[name] = found
    return {**schema, "properties": {**known, **added}} if added else schema


def declared_at(schema: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the schema of what stands at ``names`` inside; None: it is not declared."""
    if not names:
        return schema
    for branch in (schema, *schema.get("anyOf", ())):
        inside = branch.get("properties", {}).get(names[0])
        if isinstance(inside, Mapping):
            return declared_at(inside, names[1:])
    return None
