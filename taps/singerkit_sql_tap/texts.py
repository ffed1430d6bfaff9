"""Text that is not UTF-8, where a database may hold such: the run ends, or what cannot be read is replaced and counted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from singerkit_shell.errors import BadDataError
from singerkit_sql_tap.contract import Row
from singerkit_sql_tap.queries import Query
from singerkit_sql_tap.tables import Table

__all__ = ["INVALID_TEXT", "Texts", "decoded"]

INVALID_TEXT: dict[str, Any] = {
    "invalid_text": {
        "type": "string",
        "enum": ["fail", "replace"],
        "default": "fail",
        "title": "Invalid text",
        "description": "What becomes of text that is not UTF-8: the run ends (65), or U+FFFD stands in the place of what cannot "
        "be read, with a warning that counts the values. In a key the run ends in either case: two keys could become one.",
    },
}
"""The setting, for a config that has it."""


class _Replaced(str):
    """Text in which U+FFFD stands for what could not be read."""

    __slots__ = ()


def decoded(text: bytes) -> str:
    """Return a text as a driver is to give it; of those that are not UTF-8 `Texts.settled` knows."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return _Replaced(text.decode("utf-8", "replace"))


class Texts:
    """What the config says of such texts, and how many were replaced."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._replaces = config.get("invalid_text") == "replace"
        self._replaced = 0

    def settled(self, rows: list[Row], query: Query, table: Table) -> list[Row]:
        """Return rows of texts that were `decoded` as they are to be sent.

        Raises:
            BadDataError: some are not UTF-8 and may not be replaced.
        """
        found = sum(type(value) is _Replaced for row in rows for value in row)
        if found and not self._replaces:
            raise BadDataError(
                f"{found} texts in some {len(rows)} rows of table `{table.name}` are not UTF-8; what was confirmed by the target "
                'is safe: correct them at the source, set `"invalid_text": "replace"`, or do not select the column.'
            )
        if any(type(row[place]) is _Replaced for row in rows for place in query.exact):
            raise BadDataError(
                f"Texts of table `{table.name}` are not UTF-8 in a column of its primary key, or its replication key, where two that are "
                "replaced could be one, whatever `invalid_text` says; what was confirmed by the target is safe: correct them at the "
                "source, or choose another key in `streams`."
            )
        self._replaced += found
        return [tuple(str(value) if type(value) is _Replaced else value for value in row) for row in rows]

    def tell(self, logger: logging.Logger) -> None:
        """Warn of how many were replaced, once."""
        if self._replaced:
            logger.warning(
                "%d texts that are not UTF-8 were sent with U+FFFD in place of what cannot be read (`invalid_text`).",
                self._replaced,
            )
            self._replaced = 0
