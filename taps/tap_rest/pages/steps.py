"""What a request has beyond its stream's path and parameters: a `Step`; by number, by offset, behind a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tap_rest.settings.pagination import Pagination

__all__ = [
    "Step",
    "first_step",
    "param_of",
    "position_behind",
    "step_after_page",
    "step_at",
    "step_behind",
    "step_behind_key",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a series: ``url`` stands in place of the stream's URL and parameters when it is set."""

    url: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    position: int = 0  # page number or offset, where there is one


def first_step(settings: Pagination) -> Step:
    size = {_size_param(settings): str(settings.size)} if settings.size is not None else {}
    match settings.type:
        case "page":
            return step_at(Step(params=size), settings, 1 if settings.start is None else settings.start)
        case "offset":
            return step_at(Step(params=size), settings, settings.start or 0)
        case _:
            return Step(params=size)


def step_behind(settings: Pagination, rows: int, size: int) -> Step:
    """Return the step of `page` or `offset` that asks for the row behind ``rows``, and for some before it, in pages of ``size``."""
    first = first_step(settings)
    counts_rows = settings.type == "offset"
    return step_at(first, settings, position_behind(first.position, rows, size, counts_rows=counts_rows))


def position_behind(first: int, rows: int, size: int, *, counts_rows: bool) -> int:
    """Return the number of the page that holds the row behind ``rows``, or of a row of it, counted from ``first``."""
    return first + max(rows - size + 1 if counts_rows else (rows - 1) // size, 0)


def step_after_page(settings: Pagination, step: Step, rows: int) -> Step:
    """Return the step behind a page of ``rows``, by `page` or `offset`."""
    return step_at(step, settings, step.position + (1 if settings.type == "page" else rows))


def step_at(step: Step, settings: Pagination, position: int) -> Step:
    return replace(step, params={**step.params, param_of(settings): str(position)}, position=position)


def param_of(settings: Pagination) -> str:
    return settings.param or {"page": "page", "offset": "offset"}.get(settings.type, "cursor")


def _size_param(settings: Pagination) -> str:
    return settings.size_param or ("per_page" if settings.type == "page" else "limit")


def step_behind_key(step: Step, settings: Pagination, value: str) -> Step:
    text = (settings.template or "{value}").replace("{value}", value)
    return replace(step, params={**step.params, param_of(settings): text})
