"""Lines of a log that tell of what is done in a transaction: they are said behind its COMMIT, and never where it was rolled back."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence

__all__ = ["AT_ONCE", "SCHEMA_CHANGE", "HeldLog"]

AT_ONCE = {"at_once": True}
"""The ``extra`` of a line that is no use later: that others wait meanwhile."""
SCHEMA_CHANGE = {"schema_change": True}
"""The ``extra`` of a line whose first sentence tells of a table or a column that was made or altered."""


class HeldLog(logging.Logger):
    """Keeps what it is given for another log, until that is to `say` it."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__(log.name)
        self._other = log
        self._held: list[tuple[logging.LogRecord, Hashable]] = []
        self._told: set[Hashable] = set()

    def isEnabledFor(self, level: int) -> bool:
        return self._other.isEnabledFor(level)

    def handle(self, record: logging.LogRecord) -> None:
        if getattr(record, "at_once", False):
            self._other.handle(record)
        else:
            self._held.append((record, getattr(record, "key", None)))

    def warn_once(self, key: Hashable, text: str) -> None:
        """Hold a warning, unless one of its ``key`` is held, or was said."""
        if not self.has_told(key):
            self._told.add(key)
            self.warning("%s", text, extra={"key": key})

    def has_told(self, key: Hashable) -> bool:
        return key in self._told

    def position(self) -> int:
        """A place among what is held."""
        return len(self._held)

    def back_to(self, position: int = 0) -> None:
        """Forget what was held behind a place: it did not happen."""
        self._told -= {key for _, key in self._held[position:]}
        del self._held[position:]

    def take(self) -> Sequence[logging.LogRecord]:
        """Return what is held, which is for `say` now."""
        taken = [record for record, _ in self._held]
        self._held.clear()
        return taken

    def say(self, records: Sequence[logging.LogRecord]) -> None:
        for record in records:
            self._other.handle(record)
