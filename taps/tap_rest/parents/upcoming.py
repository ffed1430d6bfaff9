"""The contexts that a stream will be read for next, as far as they are known while it is read for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["Coming"]


class Coming:
    """Looks ahead in whatever gives the contexts; ``count`` tells how far."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self.contexts: deque[Mapping[str, Any]] = deque()
        """Those behind the one that was given last."""

    def in_turn(self, given: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield ``given`` as they are; what fails on the way fails behind those before it."""
        rest = iter(given)
        failure: Exception | None = None
        contexts = self.contexts = deque()
        try:
            while True:
                while failure is None and len(contexts) <= self._count():
                    try:
                        contexts.append(next(rest))
                    except StopIteration:
                        break
                    except Exception as error:  # of a context whose turn has not come
                        failure = error
                if not contexts:
                    if failure is not None:
                        raise failure
                    return
                yield contexts.popleft()
        finally:
            contexts.clear()
