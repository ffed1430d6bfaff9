"""APIs that give only so many rows of one question (`pagination.max_rows`): whether that many have come.

Such a question has no known end: what is behind its last row may be nothing, an error, or a page without records that looks like
the end. So a read that reaches the cap is never taken for complete. `halves.Halves` asks for shorter windows then, and
`Following` goes on by the replication key; any other read ends with an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tap_rest.answers.answer import RefusingAnswer, TooManyRowsError
from tap_rest.pages.ends import MANY
from tap_rest.pages.likely import total_count_of
from tap_rest.records.cutting import ReadPage
from tap_rest.settings.pagination import Pagination
from tap_rest.settings.stream import StreamSettings

__all__ = ["Cap", "tells_too_many", "up_to_cap"]


class Cap:
    """What one question has given, held against what the API gives of one."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._most, self._size = settings.pagination.max_rows, settings.pagination.size
        self._rows = 0

    def is_reached(self, page: ReadPage) -> bool:
        """Take the next page; tell whether no more can be asked for behind it."""
        self._rows += len(page.came)
        return self._most is not None and self._rows >= self._most

    def is_near(self, page: ReadPage) -> bool:
        """Tell whether another page like this one would go beyond the cap, so that the API may refuse it."""
        size = self._size or len(page.came)
        return self._most is not None and self._rows + size > self._most

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Say of an answer that is refused behind many rows that they may be all the API gives."""
        try:
            yield
        except RefusingAnswer as error:
            if self._most is None and self._rows >= MANY:
                error.args = (
                    f"{error} {self._rows} rows had come: if the API gives no more of one question, set `pagination.max_rows` to that.",
                )
            raise

    def error(self) -> TooManyRowsError:
        """Return what is to be said where nobody can ask for less."""
        settings = self._settings
        of_one_value = f" with one value of `{settings.replication_key}`" if settings.follows_key else ""
        parts = (
            ""
            if settings.follows_key
            else "by both ends (`incremental.until_param`), by its key in ascending order (`is_sorted`), "
        )
        return TooManyRowsError(
            f"{self._rows} rows of stream {settings.name}{of_one_value} have come in answer to one question, and by `pagination.max_rows` the API "
            f"gives no more than {self._most}: others may be missing. What was confirmed by the target is safe; let the stream be asked in parts: "
            f"{parts}for each of several values (`for_each`), or by `keyset`."
        )


def tells_too_many(settings: Pagination, page: ReadPage) -> bool:
    """Tell whether the total on a page is above what the API gives, so that no more of this question need be asked for."""
    total = total_count_of(settings, page)
    return settings.max_rows is not None and total is not None and total > settings.max_rows


def up_to_cap(pages: Iterator[ReadPage]) -> Iterator[ReadPage]:
    """Yield pages of which only some are wanted, for as long as there are any."""
    try:
        yield from pages
    except TooManyRowsError:
        return
