"""`end_date`: rows whose replication key is at or after it are left out, whatever the API gives."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from singerkit_shell.errors import ConfigurationError
from singerkit_state.order import (
    UnorderableError,
    Value,
    ValueKind,
    comparable_keys,
    order_key,
    starting_value,
)
from tap_rest.records.cutting import ReadPage
from tap_rest.windows.keycolumn import KeyColumn

__all__ = ["EndDate"]

_encoder = msgspec.json.Encoder(decimal_format="number")


class EndDate:
    """The end of the reads of one stream, ``text`` as the config has it."""

    def __init__(self, stream: str, key: str, text: str, kind: ValueKind, column: KeyColumn) -> None:
        """Raise `ConfigurationError` where the key is no point in time."""
        self._stream, self._key, self._kind, self._column = stream, key, kind, column
        value = starting_value(text, kind)
        if value is None:
            raise self._means_nothing()
        self._value: Value = value
        self._mark = msgspec.Raw(_encoder.encode(value))

    def check(self, start: Value | None) -> None:
        """See that there is something before the end.

        Raises:
            ConfigurationError: there is not.
        """
        try:
            is_past = start is not None and not order_key(start, self._kind) < order_key(
                self._value, self._kind
            )
        except UnorderableError:
            return  # said where it is read
        if is_past:
            raise ConfigurationError(
                f"The bookmark of stream `{self._stream}` is at or after its `end_date`, so there is nothing to read; set a later one, or leave "
                "the stream out."
            )

    def pages(self, pages: Iterator[ReadPage], *, is_sorted: bool) -> Iterator[ReadPage]:
        """Yield pages without the rows that are not wanted, to the first one that has any if they are sorted.

        Raises:
            ConfigurationError: the key is no point in time.
        """
        for page in pages:
            has_end = self._leave_out(page)
            yield page
            if has_end and is_sorted:
                return

    def _leave_out(self, page: ReadPage) -> bool:
        if not page.records:
            return False
        column = self._column.of(page)
        try:
            compared = comparable_keys(column, self._kind, [self._mark])
            end = compared.marks[0]
            kept = [n for n, key in enumerate(compared.keys) if key is None or key < end]
        except UnorderableError:
            self._check_is_time(column)
            return False
        has_end = len(kept) < len(page.records)
        if has_end:
            page.records = [page.records[number] for number in kept]
        return has_end

    def _check_is_time(self, column: list[msgspec.Raw]) -> None:
        try:
            comparable_keys(column, self._kind)
        except UnorderableError:
            return  # the engine says what is wrong with them
        raise self._means_nothing()

    def _means_nothing(self) -> ConfigurationError:
        return ConfigurationError(
            f"`end_date` means nothing to `{self._key}`, the replication key of stream `{self._stream}`, which holds no points in time; say in "
            "`replication_key_format` what its numbers are (`epoch`), or leave `end_date` to streams of their own."
        )
