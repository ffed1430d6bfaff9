"""Progress on stderr: a line per stream that is redrawn on a terminal; in a log one every ten seconds, and one per finished stream."""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

from singerkit_shell.secrets import redactor
from singerkit_shell.words import counted

__all__ = ["Progress"]

_REDRAW_SECONDS = 0.2
_LINE_SECONDS = 10.0
"""How often a log has a line of a stream that is read."""


class Progress(logging.Filter):
    """Counts rows per stream and shows them.

    ``out`` is None for stderr as it is when a line is drawn. While a line stands on a terminal, this is a filter
    of the log handlers too, so that the line gives way to log lines.
    """

    def __init__(self, logger: logging.Logger, out: TextIO | None = None) -> None:
        super().__init__()
        self._logger = logger
        self._out = out
        self._streams: dict[str, _Stream] = {}
        self._drawn_at = 0.0
        self._drawn_width = 0
        self._told_at = time.monotonic()

    def add(self, stream: str, rows: int) -> None:
        """Count ``rows`` more of ``stream`` and redraw when it is time."""
        entry = self._streams.setdefault(stream, _Stream())
        now = entry.last = time.monotonic()
        entry.rows += rows
        if now - self._drawn_at < _REDRAW_SECONDS:
            return
        if (terminal := self._terminal()) is not None:
            self._drawn_at = now
            self._draw(terminal, entry.line(stream, now))
        elif now - self._told_at >= _LINE_SECONDS:
            self._told_at = now
            self._logger.info("%s so far", entry.line(stream, now))

    def done(self, stream: str) -> None:
        """Say that ``stream`` is finished: a line that stays, with the seconds up to its last row; others may have been read since."""
        entry = self._streams.pop(stream, None) or _Stream()
        line = entry.line(stream, entry.last)
        terminal = self._terminal()
        if terminal is None:
            self._logger.info("%s", line)
            return
        self._draw(terminal, line)
        self._leave(terminal, "\n")

    def clear(self) -> None:
        """Take the line away and leave the cursor at the start of its place."""
        if self._drawn_width and (terminal := self._terminal()) is not None:
            self._draw(terminal, "")
            self._leave(terminal, "\r")

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002  every record passes
        """Take the line away before a log record is written."""
        self.clear()
        return True

    def _terminal(self) -> TextIO | None:
        out = self._out or sys.stderr
        return out if out.isatty() else None

    def _draw(self, terminal: TextIO, line: str) -> None:
        text = redactor.mask(line)
        terminal.write("\r" + text.ljust(self._drawn_width))
        terminal.flush()
        self._drawn_width = len(text)
        for handler in logging.getLogger().handlers:
            handler.addFilter(self)

    def _leave(self, terminal: TextIO, end: str) -> None:
        terminal.write(end)
        terminal.flush()
        self._drawn_width = 0
        for handler in logging.getLogger().handlers:
            handler.removeFilter(self)


class _Stream:
    def __init__(self) -> None:
        self.rows = 0
        self._began = self.last = time.monotonic()

    def line(self, name: str, now: float) -> str:
        seconds = now - self._began
        rate = f"{self.rows / seconds:,.0f} rows/s" if seconds >= 0.001 else "at once"
        return f"{name}: {counted(self.rows, 'row')} in {seconds:.1f} s ({rate})"
