"""Conditional requests: what an answer says of its version is sent with the same question by the next run, and 304 means nothing new.

That is right where one answer is the whole read. Of several pages the first may be what it was while another has changed or is new: so
nothing is kept of an answer that may be the first of several, and 304 with a link to another page is not believed. The state keeps the version
beside a digest of what was asked for, and of what was sent of it: whoever selects another field, or asks for something else, is
answered in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from tap_rest.answers.answer import Response
from tap_rest.asking.first import AS_CONFIGURED, NOT_MODIFIED, Beginning
from tap_rest.http.heads import by_name
from tap_rest.pages.lastpage import LastPage
from tap_rest.pages.unread import signs_of_more
from tap_rest.records.cutting import ReadPage

__all__ = ["Conditional"]

_SETTLED = 60.0
"""Seconds that an answer has to be younger than the change it tells, since a second change may have the same time."""


class Conditional:
    """The conditional requests of one stream, ``name``; ``warn`` takes a sentence, ``is_in_doubt`` tells whether one was said of its answers."""

    def __init__(self, name: str, warn: Callable[[str], None], is_in_doubt: Callable[[], bool]) -> None:
        self._name, self._warn, self._is_in_doubt = name, warn, is_in_doubt

    def pages(
        self, left: Any, question: Callable[[], str], ask: Callable[[Beginning], Iterator[ReadPage]]
    ) -> Iterator[ReadPage]:
        """Yield the pages of a read, or one that says that nothing has changed since the last one has ``left`` something.

        ``question`` returns a text of what is asked for, and of what is sent of it.
        """
        for page in ask(self._beginning(left, question())):
            if page.is_unchanged and _shows_more(page.answer, (), left.get("rows", 0)):
                yield from self.pages(None, question, ask)
                return
            if not page.is_unchanged and not page.is_absent:
                page.left = partial(self._left_by, page, question)
            yield page

    def _beginning(self, left: Any, question: str) -> Beginning:
        """Return how a read begins whose last answer has ``left`` something, if that answered the same ``question``."""
        if not isinstance(left, Mapping) or left.get("of") != question:
            return AS_CONFIGURED
        etag, modified = left.get("etag"), left.get("modified")
        name, value = ("If-None-Match", etag) if etag else ("If-Modified-Since", modified)
        if not isinstance(value, str):
            return AS_CONFIGURED
        return Beginning(headers={name: value}, ends_with=(NOT_MODIFIED,))

    def _left_by(self, page: ReadPage, question: Callable[[], str]) -> dict[str, Any]:
        """Return what a page says of its version; nothing, where it may not be all there is, or says nothing that counts."""
        headers = by_name(page.answer.headers)
        etag, modified = headers.get("ETag"), headers.get("Last-Modified")
        if self._is_in_doubt() or _shows_more(page.answer, page.records_at, len(page.came)):
            return {}  # what speaks for another page is told of, or too little to tell
        if not etag and not modified:
            self._warn(
                f"The answers of stream {self._name} have neither `ETag` nor `Last-Modified`, so that `conditional` has no effect; take it out."
            )
            return {}
        if modified and not _is_settled(headers, needs_date=not etag):
            return {}
        version = {"etag": etag} if etag else {"modified": str(modified)}
        return {**version, "of": question(), "rows": len(page.came)}


def _shows_more(answer: Response, records_at: Sequence[str] | None, rows: int) -> bool:
    """Tell whether anything speaks for another page behind one with so many ``rows``, be it no more than a round number of them."""
    return bool(signs_of_more(LastPage(answer, records_at, rows, rows, 1)))


def _is_settled(headers: Mapping[str, str], *, needs_date: bool) -> bool:
    """Tell whether what changes from now on has another time; ETags are made of it, too."""
    try:
        now, then = (parsedate_to_datetime(headers[name]) for name in ("Date", "Last-Modified"))
        return (now - then).total_seconds() >= _SETTLED
    except (KeyError, TypeError, ValueError):
        return not needs_date
