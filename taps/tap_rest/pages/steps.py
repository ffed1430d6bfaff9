"""What a request says of its page, whatever its stream asks for: a `Step`; by number, by offset, behind a value.

Where that travels, as a parameter, a header or a member of the body, stands in `placing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tap_rest.asking.placeholders import as_text
from tap_rest.settings.pagination import Pagination

__all__ = [
    "Step",
    "first_step",
    "position_behind",
    "role_of",
    "step_after_page",
    "step_at",
    "step_behind",
    "step_behind_key",
    "step_with",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a series: ``url`` stands in place of all that the stream asks for when it is set.

    ``sent`` has, by the names of their placeholders, `size`, and `page`, `offset` or `cursor`.
    """

    url: str | None = None
    sent: Mapping[str, Any] = field(default_factory=dict)
    position: int = 0  # page number or offset, where there is one


def role_of(settings: Pagination) -> str:
    """Return the name of what tells pages apart: that of its placeholder."""
    return settings.type if settings.type in ("page", "offset") else "cursor"


def first_step(settings: Pagination) -> Step:
    size = {"size": settings.size} if settings.size is not None else {}
    match settings.type:
        case "page":
            return step_at(Step(sent=size), settings, 1 if settings.start is None else settings.start)
        case "offset":
            return step_at(Step(sent=size), settings, settings.start or 0)
        case _:
            return Step(sent=size)


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
    return Step(step.url, {**step.sent, role_of(settings): position}, position)


def step_with(step: Step, settings: Pagination, value: Any) -> Step:
    """Return the step that differs from ``step`` in what tells pages apart."""
    return Step(step.url, {**step.sent, role_of(settings): value}, step.position)


def step_behind_key(step: Step, settings: Pagination, value: Any) -> Step:
    template = settings.template
    return step_with(
        step,
        settings,
        value if template is None else template.replace("{value}", as_text(value, "value", template)),
    )
