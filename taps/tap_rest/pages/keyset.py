"""Whether `pagination.field` of `keyset` tells every record from the next: if it does not, rows are lost unseen.

The next page is asked for by the last record's value. A record with the same value that does not fit on the page is
then never sent, nor is one that stands out of order.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import Raw

from singerkit_shell.errors import BadDataError
from tap_rest.paths import Found, Path, column_of, scalar_of, scalar_text
from tap_rest.settings.fields import names_of
from tap_rest.settings.pagination import Pagination

__all__ = ["Keyset"]

_COMPARES = re.compile(r"(?i)(?:^|[^a-z])(?:gte?|lte?|greater|less|above|below|min|max)(?:[^a-z]|$)|[<>]")
"""Looks of `param` and `template` that compare values; after others, a server may look the record itself up."""

_RECENT = 64
_BACK = (1, 2, 4, 8)
"""So many records ahead of the last one is asked where a page behind it has none."""
_NUMERIC = tuple(b"-0123456789"[at : at + 1] for at in range(11))
_Value = Decimal | str


class Keyset:
    """The values of the field through one read; ``name`` is the stream's, for errors."""

    def __init__(self, settings: Pagination, name: str, warn: Callable[[str], None]) -> None:
        self._field = settings.field or ""
        self._name = name
        self._warn = warn
        self._column = column_of(Path("", names_of(self._field), False))
        asked = f"{settings.param} {settings.template or ''}"
        self.compares = _COMPARES.search(asked) is not None
        """Whether the server compares the value, so that it need not have the record any more."""
        self._recent: deque[tuple[_Value, Any]] = deque(maxlen=_RECENT)
        """The last values, as they compare and as they came."""
        self._last: _Value | None = None
        self._ascends: bool | None = None

    def take(self, records: Sequence[Raw], page: int) -> Any:
        """Look at a page and return its last value, None where it has none.

        Raises:
            BadDataError: a value comes twice, or in no order though the server is asked to compare.
        """
        where = f"page {page} of stream {self._name}"
        place = f"`{self._field}` on {where}"
        found = [_value(one, place) for one in self._column(records, where)]
        values = [value for value in found if value is not None]
        if self._last is not None and self._last in values:
            raise BadDataError(
                f"The value of `{self._field}` that ends page {page - 1} of stream {self._name} comes again on page {page}: "
                "the server answers with rows from that value on, not after it, or the field is not unique. Ask for rows "
                f'after it (as in `"template": "gt.{{value}}"`), or take a field that is unique as `pagination.field`.'
            )
        if len(set(values)) < len(values):
            raise BadDataError(
                f"Two records on {where} have the same value of `{self._field}`, the field of its `keyset` pagination: where "
                "such records stand at the end of a page, the next page passes over the rest of them. Take a field that is "
                "unique as `pagination.field` (and sort by it), or another type of pagination."
            )
        self._look_at_order(values, where)
        self._last = values[-1] if values else self._last
        sent = [scalar_of(one, place) for one in self._column(records[-_RECENT:], where)]
        pairs = zip(found[-_RECENT:], sent, strict=True)
        self._recent.extend((value, one) for value, one in pairs if value is not None and one is not None)
        return sent[-1] if sent else None

    def before_last(self) -> list[Any]:
        """Return values of records ahead of the last one, to ask by where that may be gone; None: ask for the first page."""
        sent = [None, *(one for _, one in self._recent)]
        return [sent[-1 - back] for back in _BACK if back < len(sent)]

    def beyond(self, records: Sequence[Raw]) -> tuple[list[Raw], list[Raw]]:
        """Return those of ``records``, of a page that begins ahead of the last record, that follow it and have not come, and those that stand ahead of it.

        The latter have come to be there meanwhile: to go on from them would lead to where the read has been.
        """
        where = f"a page of stream {self._name} that is asked for by another record"
        known = {value for value, _ in self._recent}
        values = [_value(one, f"`{self._field}` on {where}") for one in self._column(records, where)]
        last_known = max((place for place, value in enumerate(values) if value in known), default=-1)
        new = [place for place, value in enumerate(values) if value not in known]
        follow = [place for place in new if place > last_known and not self._is_ahead(values[place])]
        ahead = [place for place in new if place not in follow]
        return [records[place] for place in follow], [records[place] for place in ahead]

    def _is_ahead(self, value: _Value | None) -> bool:
        """Tell whether a value certainly stands ahead of the last one; only numbers have an order that is known."""
        last = self._last
        if self._ascends is None or not isinstance(value, Decimal) or not isinstance(last, Decimal):
            return False
        return value < last if self._ascends else value > last

    def _look_at_order(self, values: Sequence[_Value], where: str) -> None:
        """Numbers have one order; that of texts is the server's own."""
        line = [value for value in (self._last, *values) if value is not None]
        if not all(isinstance(value, Decimal) for value in line) or len(line) < 2:
            return
        if self._ascends is None:
            self._ascends = line[0] < line[-1]  # type: ignore[operator]  # all of them are numbers
        ordered = sorted(line, reverse=not self._ascends)
        if ordered == line:
            return
        sentence = (
            f"The records on {where} do not come in the order of `{self._field}`, the field of its `keyset` pagination: a "
            "record that stands before a smaller one is passed over by the next page. Ask the server to sort by it (in "
            "`params`), or take another type of pagination."
        )
        if self.compares:
            raise BadDataError(sentence)
        self._warn(sentence)


def _value(found: Found, place: str) -> _Value | None:
    """Return a number of the JSON as such; numbers in text are compared by the server as text, it may be."""
    raw = bytes(found) if isinstance(found, Raw) else b""
    if raw[:1] in _NUMERIC:
        with contextlib.suppress(InvalidOperation):  # beyond all exponents
            return Decimal(raw.decode())
    return scalar_text(found, place)
