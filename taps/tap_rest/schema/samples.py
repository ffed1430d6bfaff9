"""The first pages of a stream, from which its schema is inferred."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from singerkit_shell.errors import BadDataError
from singerkit_tap.contract import Context
from tap_rest.failing import REFUSALS
from tap_rest.records.cutting import ReadPage
from tap_rest.schema.contract import Sample
from tap_rest.schema.firstpages import Look
from tap_rest.settings.limits import InferSettings

__all__ = ["limited", "pages_without_bookmark"]


def pages_without_bookmark(
    look: Look,
    context: Context | None,
    start: Callable[[], Mapping[str, Any]],
    hint_at_start: Callable[[BadDataError], None],
) -> Iterator[ReadPage]:
    """Yield pages without a bookmark; where the API gives none so, from ``start`` on, what asks for rows from `start_date` on."""
    pages = look(context, {})
    try:
        first = next(pages, None)
    except REFUSALS as error:
        params = start()
        if not params:
            if isinstance(error, BadDataError):
                hint_at_start(error)
            raise
        yield from look(context, params)
        return
    if first is not None:
        yield first
        yield from pages


def limited(samples: Iterable[Sample], limits: InferSettings) -> Iterator[Sample]:
    """Yield as many as `infer` says."""
    records = 0
    for pages, sample in enumerate(samples, start=1):
        yield sample
        records += len(sample[0])
        if pages >= limits.pages or records >= limits.records:
            return
