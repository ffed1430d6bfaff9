"""The warnings of a long run, to be told once more at its end, since they stand far up; those of a short one are in sight."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType

from singerkit_shell.words import beginning, counted

__all__ = ["Warned"]

_MOST = 20
_LONG = 60.0  # seconds


class Warned(logging.Filter):
    """Inside ``with`` it hears what a log is given."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._log = log
        self._said: dict[str, None] = {}
        self._changes: dict[str, None] = {}

    def __enter__(self) -> Warned:
        self._log.addFilter(self)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._log.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno == logging.WARNING:
            self._said[record.getMessage()] = None
        if getattr(record, "schema_change", False):
            self._changes[record.getMessage().partition(". ")[0].removesuffix(".") + "."] = None
        return True

    @property
    def said(self) -> Sequence[str]:
        """The warnings, each once."""
        return list(self._said)

    @property
    def changes(self) -> Sequence[str]:
        """What was told of tables that were made or altered."""
        return list(self._changes)

    def tell(self, seconds: float) -> None:
        """Say each of them once more, in short, of a run of so many ``seconds``."""
        if seconds < _LONG:
            return
        for sentence in list(self._said)[:_MOST]:
            self._log.warning("To be seen to: %s", beginning(sentence))
        if len(self._said) > _MOST:
            self._log.warning(
                "To be seen to: %s further up.", counted(len(self._said) - _MOST, "more warning")
            )
