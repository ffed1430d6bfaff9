"""The pages that were asked for to infer a schema: the read of the same run begins with them, and asks for none twice.

What is kept is the read itself, begun and not finished, with the pages that it has given: it goes on where the inference
stopped, by the same token or link, and with all that it knows of its answers. The pages stay what they were when they came;
the bookmark goes by the clock of the first answer, as in any read, so that what changed since is asked for by the next run.

A read that waits for long asks anew: its token may have run out, and rows move between pages while it waits.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from singerkit_state.bookmarks import canonical_json
from singerkit_tap.contract import Context
from tap_rest.long.rows import bytes_in_memory
from tap_rest.records.cutting import ReadPage

__all__ = ["FirstPages", "Look", "Room"]

Look = Callable[[Context | None, Mapping[str, Any]], Iterator[ReadPage]]
"""Begins a read below a parent, with parameters besides those of the config."""
_MOST_BYTES = 32 << 20
_SECONDS = 300.0


class Room:
    """How many bytes of answers may be kept by all streams of a run."""

    def __init__(self, size: int = _MOST_BYTES) -> None:
        self._left = size

    def take(self, size: int) -> bool:
        """Tell whether there is room for so much, and take it."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size


@dataclass(slots=True)
class _Begun:
    """A read that was begun: its pages so far, and the way to the others."""

    rest: Iterator[ReadPage]
    since: float
    pages: list[ReadPage] = field(default_factory=list)
    size: int = 0


class FirstPages:
    """The reads of one stream that were begun before it is synced; ``ask`` begins one."""

    def __init__(self, ask: Look, room: Room, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._room, self._clock = ask, room, clock
        self._begun: dict[str, _Begun] = {}

    def look(self, context: Context | None, params: Mapping[str, Any]) -> Iterator[ReadPage]:
        """Yield the pages of a read, and keep them for whoever looks again, and for the read of this run."""
        name = _name(context, params)
        begun = self._begun.setdefault(name, _Begun(iter(()), self._clock()))
        yield from tuple(begun.pages)
        if not begun.pages:
            begun.rest = self._ask(context, params)
        while (page := self._next(name, begun)) is not None:
            yield page

    def begun(self, context: Context | None, params: Mapping[str, Any]) -> Iterator[ReadPage] | None:
        """Return a read that was begun, from its first page on, to whoever finishes it; None: nobody has, or long ago."""
        if not self._begun:
            return None
        name = _name(context, params)
        begun = self._begun.get(name)
        if begun is None or not begun.pages:
            return None
        self._forget(name, begun)
        if self._clock() - begun.since > _SECONDS:
            return None
        return _chained(deque(begun.pages), begun.rest)

    def _next(self, name: str, begun: _Begun) -> ReadPage | None:
        try:
            page = next(begun.rest, None)
        except BaseException:
            self._forget(name, begun)  # what has failed has no end
            raise
        if page is not None and self._begun.get(name) is begun:
            self._keep(name, begun, page)
        return page

    def _keep(self, name: str, begun: _Begun, page: ReadPage) -> None:
        size = max(len(page.answer.body), bytes_in_memory(page.came))
        if self._room.take(size):
            begun.pages.append(page)
            begun.size += size
        else:
            self._forget(name, begun)

    def _forget(self, name: str, begun: _Begun) -> None:
        if self._begun.get(name) is begun:
            del self._begun[name]
            self._room.give_back(begun.size)


def _chained(pages: deque[ReadPage], rest: Iterator[ReadPage]) -> Iterator[ReadPage]:
    while pages:
        yield pages.popleft()
    yield from rest


def _name(context: Context | None, params: Mapping[str, Any]) -> str:
    return canonical_json([context, params])
