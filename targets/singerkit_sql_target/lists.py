"""The tables of a stream's lists, those that its SCHEMA does not name among them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from singerkit_catalog.unnesting import POSITION, root_key
from singerkit_sql_target.dialect import Existing, InTheWay, Runs, Words
from singerkit_sql_target.listmarks import Marked, marked
from singerkit_sql_target.names import fold, place_of
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.tables import holds_values
from singerkit_wire.stream import DELETED_AT

__all__ = ["Lists"]


class Lists:
    """What a run has found when it asked first; the tables that it makes itself are known without."""

    def __init__(self, words: Words, settings: Settings, log: logging.Logger) -> None:
        self._words, self._settings, self._log = words, settings, log
        self._found: Sequence[Marked] | None = None

    def of(self, session: Runs, stream: str, keys: Sequence[str], named: Sequence[str]) -> dict[str, bool]:
        """Return the streams of the elements of a stream's lists, but those ``named``, where this config has them in the tables that say so.

        And of each whether any element is marked as deleted.
        """
        if self._found is None:
            self._found = marked(session, self._words)
        own = [one for one in self._found if one.owner == stream and one.stream not in named]
        return {
            one.stream: self._has_marks(session, one)
            for one in own
            if self._is_in_place(one) and self._is_known_by(session, one, keys)
        }

    def _has_marks(self, session: Runs, one: Marked) -> bool:
        mark = self._words.column_name(self._settings.naming.column(one.stream, DELETED_AT))
        return holds_values(session, self._words.quote(*one.place), self._words.quote(mark))

    def _is_in_place(self, one: Marked) -> bool:
        here = place_of(one.stream, self._settings, self._words)
        return [fold(name, self._words) for name in one.place] == [fold(name, self._words) for name in here]

    def _is_known_by(self, session: Runs, one: Marked, keys: Sequence[str]) -> bool:
        try:
            existing = session.inspect(*one.place)
        except InTheWay:  # the comment is that of a view in its place
            return False
        wanted = {self._column(one.stream, name) for name in (*map(root_key, keys), POSITION)}
        if existing is not None and self._has_key(existing, wanted):
            return True
        self._log.warning(
            "The table %s has elements of lists of stream `%s` under another key than its records have now, and the SCHEMA does not "
            "name the list: they stay where a row of the stream goes. Drop or rename that table.",
            ".".join(one.place),
            one.owner,
        )
        return False

    def _column(self, stream: str, field: str) -> str:
        return fold(self._words.column_name(self._settings.naming.column(stream, field)), self._words)

    def _has_key(self, existing: Existing, wanted: set[str]) -> bool:
        there = {fold(name, self._words) for name in existing.columns}
        known = {fold(name, self._words) for name in existing.key or ()}
        return known == wanted or (not known and wanted <= there)
