"""Parents below which a child was not found, though it was asked for.

A child that is read only for parents that have changed would not be asked for below such a one again, as long as it stays
as it is. So its state remembers them, and the next runs ask there again::

    "_singerkit_absent": [{"context": {"users_id": 7}, "runs": 1}]

until the child is found, or has not been in `ABSENT_RUNS` runs. Of more than `ABSENT_LIMIT` parents the state says nothing;
then the next run reads the child for all parents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from singerkit_shell.words import counted
from singerkit_state.bookmarks import context_key
from singerkit_tap.contract import Context
from singerkit_tap.stream import BlockStream

__all__ = ["ABSENT", "ABSENT_LIMIT", "ABSENT_RUNS", "AbsentParents"]

ABSENT = "_singerkit_absent"
ABSENT_LIMIT = 1_000
ABSENT_RUNS = 10


class AbsentParents:
    """Those of one stream. ``part`` is what the state says of it; ``limit`` of them are remembered."""

    def __init__(self, stream: BlockStream, part: Mapping[str, Any], limit: int = ABSENT_LIMIT) -> None:
        self._stream, self._limit = stream, limit
        self._runs: dict[str, int] = {}
        self._contexts: dict[str, Context] = {}
        self.is_torn = False
        """Whether the state names some that cannot be asked for: it is of another config, or was edited by hand."""
        self.has_lost = False
        """Whether this run has found some that are not remembered."""
        self._asked: dict[str, Mapping[str, Any]] = {}
        """What was asked by in vain in this run."""
        self._is_full = False
        self._given_up = 0
        said = part.get(ABSENT, [])
        for entry in said if isinstance(said, list) else [None]:
            context, runs = self._read(entry)
            if context is None:
                self.is_torn = True
            else:
                name = context_key(context)
                self._contexts[name], self._runs[name] = context, runs
        self._to_ask = set(self._runs)

    def _read(self, entry: Any) -> tuple[Context | None, int]:
        context, runs = (entry.get("context"), entry.get("runs")) if isinstance(entry, Mapping) else (None, 0)
        if not isinstance(context, Mapping) or not isinstance(runs, int):
            return None, 0
        return self._stream.recalled(context), runs

    def begin(self, context: Context) -> None:
        """Note that the child is asked for below a parent in this run."""
        if self._to_ask:
            self._to_ask.discard(context_key(context))

    def note(self, context: Context, *, is_there: bool) -> None:
        """Note that the child was read to its end below a parent, or was not found there."""
        if is_there and not self._runs:
            return
        name = context_key(context)
        asked = self._asked.get(name)
        if asked is not None and asked != self._stream.asked_by(context):
            self.has_lost = True  # two parents of one key, of which one is remembered
        runs = self._runs.pop(name, 0) + 1
        if is_there:
            return
        if runs > ABSENT_RUNS:
            self._given_up += 1
        elif len(self._runs) < self._limit:
            self._runs[name], self._contexts[name] = runs, context
            self._asked[name] = self._stream.asked_by(context)
        else:
            self.has_lost = self._is_full = True

    def left(self) -> Iterator[Context]:
        """Yield the contexts of former runs that this one has not asked for."""
        if self._to_ask:
            self._stream.logger.info(
                "Stream `%s` is asked for once more below %s that have not changed, where it was not found.",
                self._stream.name,
                counted(len(self._to_ask), "parent"),
            )
        yield from [context for name, context in self._contexts.items() if name in self._to_ask]

    def finish(self) -> Iterator[str]:
        """Yield what is to be said at the end of a run, which has asked for all."""
        if self._given_up:
            yield (
                f"Stream `{self._stream.name}` was not found below {counted(self._given_up, 'parent')} in more than {ABSENT_RUNS} runs; "
                "it is asked for there again when such a parent changes."
            )
        if self._is_full:
            yield (
                f"Stream `{self._stream.name}` was not found below more than {counted(self._limit, 'parent')}; the next run asks for it "
                f"below all parents again. {self._stream.way_to_all_parents}"
            )

    def written(self) -> list[dict[str, Any]]:
        """Return what the state says of them."""
        return [
            {"context": dict(self._stream.remembered(self._contexts[name])), "runs": runs}
            for name, runs in self._runs.items()
        ]
