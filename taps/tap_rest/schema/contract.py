"""What a stream asks about its schema, whoever keeps it: `declared`, `inferred`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from singerkit_shell.secrets import redactor
from singerkit_wire.encode import RawRecord

__all__ = ["COPIED", "Sample", "SchemaKeeper", "listed", "without"]

COPIED = "copied-from-parent"
"""Says in the metadata of a catalog that a field is no field of the records."""
Sample = tuple[Sequence[RawRecord], Mapping[str, Any]]
"""Records of a page, and the constants that are added to each."""


class SchemaKeeper(Protocol):
    """What a stream asks about its schema."""

    @property
    def schema(self) -> dict[str, Any]:
        """The schema as known now."""
        ...

    @property
    def declared(self) -> Mapping[str, Any]:
        """The part of it that somebody has declared."""
        ...

    @property
    def is_known(self) -> bool:
        """Whether the API need not be asked."""
        ...

    @property
    def placeholders(self) -> Collection[str]:
        """The keys that are in ``schema`` though nothing is known of them, since no record has been seen."""
        ...

    @property
    def has_asked(self) -> bool:
        """Whether the API has been asked for first pages in this run, or need never be."""
        ...

    @property
    def records_seen(self) -> int:
        """How many records of this run were looked at."""
        ...

    @property
    def beyond_catalog(self) -> Sequence[str]:
        """The fields that the user's catalog lacks, or has with fewer types than were found before this run."""
        ...

    @property
    def in_state(self) -> Any:
        """What a STATE has to say of it; None: what it said before."""
        ...

    def learn(self, pages: Iterable[Sample]) -> None:
        """Infer from the first pages of the stream."""
        ...

    def widens(
        self, records: Sequence[RawRecord], constants: Mapping[str, Any], *, is_from_start: bool = False
    ) -> bool:
        """Take notice of a page; True when ``schema`` has changed, before any record of it is sent.

        ``is_from_start``: the pages of this read are those that an inference would ask for.
        """
        ...

    def admit(self, fields: Mapping[str, str]) -> bool:
        """Take up fields that were sent before, with their kinds; True when ``schema`` has changed."""
        ...

    def less_withdrawn(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema without the fields that the config added once and that no record is known to have."""
        ...


def listed(names: Sequence[str]) -> str:
    """Return the names as a sentence shows them: ten at most, without secrets."""
    shown = redactor.mask_foreign(", ".join(f"`{name[:60]}`" for name in names[:10]))
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def without(schema: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a schema without these properties."""
    if not names or "properties" not in schema:
        return dict(schema)
    properties = {name: prop for name, prop in schema["properties"].items() if name not in names}
    required = [name for name in schema.get("required", ()) if name not in names]
    return {**schema, "properties": properties} | ({"required": required} if "required" in schema else {})
