"""The steps that are likely to be asked next: the one that follows, and by number those behind it."""

from __future__ import annotations

from singerkit_shell.errors import BadDataError
from tap_rest.pages.fitting import whole_number
from tap_rest.pages.here import IN_HEADER
from tap_rest.pages.steps import Step, step_after_page
from tap_rest.paths import scalar_text
from tap_rest.records.cutting import ReadPage
from tap_rest.settings.pagination import Pagination

__all__ = ["likely_steps", "total_count_of"]


def likely_steps(
    settings: Pagination, step: Step, page: ReadPage, pages: int, rows: int, most: int
) -> list[Step]:
    """Return ``step``, which follows ``page``, and up to ``most`` steps in all.

    ``pages`` and ``rows`` have come so far. Where no total says how many there are, twice as many are returned behind each page, so that
    few are asked for beyond the end.
    """
    steps = [step]
    if settings.type not in ("page", "offset") or step.url is not None or not page.came:
        return steps[:most]
    left = _pages_left(settings, page, pages, rows)
    count = min(most, 2 ** min(pages - 1, 16) if left is None else max(left, 1))
    while len(steps) < count:
        steps.append(step_after_page(settings, steps[-1], len(page.came)))
    return steps[:most]


def _pages_left(settings: Pagination, page: ReadPage, pages: int, rows: int) -> int | None:
    if (total := _number(settings.total_pages, page)) is not None:
        return total - pages
    if (total := total_count_of(settings, page)) is not None:
        return -(-(total - rows) // len(page.came))
    return None


def total_count_of(settings: Pagination, page: ReadPage) -> int | None:
    """Return how many records there are, as far as an answer tells."""
    return _number(settings.total_count, page)


def _number(path: str | None, page: ReadPage) -> int | None:
    if path is None:
        return None
    if path.startswith(IN_HEADER):
        return whole_number(page.answer.headers.get(path.removeprefix(IN_HEADER), "").rpartition("/")[2])
    try:
        return whole_number(scalar_text(page.fields[path], path))
    except BadDataError:
        return None
