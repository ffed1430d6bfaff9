"""Chunks cut into lines; a line that is too long is left out, and no more than its limit is ever held."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LineCutter"]


class LineCutter:
    """Puts lines together from pieces of any size. Line numbers count from 1."""

    def __init__(self, max_line_bytes: int) -> None:
        self._limit = max_line_bytes
        self._parts: list[bytes] = []
        self._held = 0
        self._is_too_long = False
        self._number = 1

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Yield (number, line without its newline) for each line that ends; None for one that is too long."""
        first, *others = data.split(b"\n")
        self._hold(first)
        if not others:
            return
        yield self._next()
        last = others.pop()
        for line in others:
            number, self._number = self._number, self._number + 1
            yield number, (line if len(line) <= self._limit else None)
        self._hold(last)

    def rest(self) -> tuple[int, bytes | None] | None:
        """Return the last line when the input did not end it with a newline."""
        return self._next() if self._held or self._is_too_long else None

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held > self._limit:
            self._is_too_long = True
            self._parts.clear()
        if part and not self._is_too_long:
            self._parts.append(part)

    def _next(self) -> tuple[int, bytes | None]:
        line = (
            None if self._is_too_long else self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        )
        number, self._number = self._number, self._number + 1
        self._parts.clear()
        self._held, self._is_too_long = 0, False
        return number, line
