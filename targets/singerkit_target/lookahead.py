"""Chunks that were read before their turn: their rows are decoded meanwhile, by the loader's helper, or here as long as that has enough to do.

Nothing else happens before its turn, and what was decoded then is used only where a stream is still decoded in the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from singerkit_shell.errors import BadDataError
from singerkit_target.contract import Asked, DecodesAhead
from singerkit_target.units import runs_in_load_order
from singerkit_wire.batch import Batch
from singerkit_wire.blocks import BlockDecoder
from singerkit_wire.lines import Chunk
from singerkit_wire.messages import Message, Run

__all__ = ["Begun", "Lookahead", "Parts"]

Parts = tuple[list[Run | Message], BadDataError | None]
_MOST = 8
"""Chunks that wait, at the most."""
_LEAST_BYTES = 1 << 18
"""Of a run that is decoded before its turn."""


@dataclass
class Begun:
    """A chunk, its parts, and what is wrong behind them; ``asked``: its runs that are decoded, each with the recipe by which they are."""

    chunk: Chunk
    parts: list[Run | Message]
    problem: BadDataError | None
    asked: list[tuple[object, Run, Asked]] = field(default_factory=list)

    def is_done(self) -> bool:
        return all(asked.is_done() for _, _, asked in self.asked)


class Lookahead:
    """The chunks of a run; ``loader`` None: each is begun in its turn."""

    def __init__(
        self, loader: DecodesAhead | None, decoders: Callable[[], Mapping[str, BlockDecoder]]
    ) -> None:
        self._loader, self._decoders = loader, decoders
        self._in_turn: Begun | None = None

    def chunks(
        self, chunks: Iterable[Chunk], parts: Callable[[Chunk], Parts], *, full: int
    ) -> Iterator[Begun]:
        """Yield chunks in order. One of fewer bytes than ``full`` is all that has come: nothing waits then."""
        if self._loader is None:
            # A generator would hold each chunk while the next one is read.
            return map(lambda chunk: Begun(chunk, *parts(chunk)), chunks)
        return self._ahead(self._loader, chunks, parts, full)

    def _ahead(
        self, loader: DecodesAhead, chunks: Iterable[Chunk], parts: Callable[[Chunk], Parts], full: int
    ) -> Iterator[Begun]:
        waiting: deque[Begun] = deque()
        for chunk in chunks:
            can_wait = len(chunk.data) >= full
            if not can_wait:
                yield from self._turns(waiting, 0)
            begun = Begun(chunk, *parts(chunk))
            if can_wait:
                self._ask(loader, begun)
            waiting.append(begun)
            del chunk, begun
            yield from self._turns(waiting, _MOST)
        yield from self._turns(waiting, 0)

    def _turns(self, waiting: deque[Begun], most: int) -> Iterator[Begun]:
        while waiting and (len(waiting) > most or waiting[0].is_done()):
            self._in_turn = waiting.popleft()
            yield self._in_turn
            for _, _, asked in self._in_turn.asked:
                asked.give_up()
            self._in_turn = None

    def _ask(self, loader: DecodesAhead, begun: Begun) -> None:
        for run in runs_in_load_order(begun.parts, _LEAST_BYTES):
            decoder = self._decoders().get(run.stream)
            if decoder is None or decoder.recipe is None:
                continue
            asked = loader.ask_ahead(decoder, run)
            if asked is not None:
                begun.asked.append((decoder.recipe, run, asked))

    def decoded(self, decoder: BlockDecoder, run: Run) -> list[Batch] | None:
        """Return the rows of a run whose turn has come, if they were decoded before it."""
        if self._in_turn is None:
            return None
        found = self._in_turn.asked
        for place, (recipe, one, asked) in enumerate(found):
            if recipe is decoder.recipe and (one.stream, one.data) == (run.stream, run.data):
                del found[place]
                return asked.batches()
        return None
