"""How rows stand in a body, where they are no objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Raw

from tap_rest.answers.answer import Response
from tap_rest.formats.arrays import Arrays
from tap_rest.formats.columns import Columns
from tap_rest.paths import Path
from tap_rest.settings.stream import StreamSettings

__all__ = ["Layout", "layout_of"]


class Layout(Protocol):
    """Makes objects of the rows of one stream."""

    def place(self, response: Response, where: str) -> Path | None:
        """Return where rows are in an answer, if the config does not say it; None: as objects would be.

        Raises:
            ConfigurationError: they may be at several places, or at none.
        """
        ...

    def objects(self, found: Sequence[Raw], response: Response, where: str) -> Sequence[Raw]:
        """Return what `records` has found in a body as objects; ``where`` names the page.

        Raises:
            BadDataError: it has another layout, names are missing or come twice, or lengths differ.
        """
        ...


def layout_of(settings: StreamSettings, types: Mapping[str, Any]) -> Layout | None:
    """Return the layout of a stream, None for objects; ``types``: the schema that says which texts are none."""
    if settings.layout == "columns":
        return Columns(settings.name, is_missing_empty=settings.missing_records == "empty")
    return Arrays(settings.name, settings.arrays, types) if settings.layout == "arrays" else None
