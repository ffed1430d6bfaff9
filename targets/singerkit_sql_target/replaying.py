"""Dead letters are loaded once more, each in a unit of its own that removes it: whatever is killed, a row is in the table or a letter is left.

The newest come first, so that an older one of the same key meets it and stays. Those that are refused again are tried once more as long as
others went in meanwhile, which may be what they refer to. A refused one keeps its place, with the new reason.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from singerkit_quality.judge import Judge
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.letters import Letter, Letters, Since
from singerkit_state.value import decode, read_mark
from singerkit_target.contract import Loader, UnitLost
from singerkit_target.missing import missing_of
from singerkit_wire.blocks import BlockDecoder, Judgement
from singerkit_wire.declarations import declared_stream
from singerkit_wire.messages import Run

__all__ = ["Replayed", "ReplayingLoader", "pipeline_of", "replay"]

T = TypeVar("T")
_TRIES = 3


class ReplayingLoader(Loader, Protocol):
    """A loader of a database that keeps dead letters."""

    @property
    def letters(self) -> Letters: ...

    def ask(self, job: Callable[[Any], T], doing: str, otherwise: T) -> T:
        """Return what ``job`` finds, outside any unit; ``otherwise`` where the store takes no such value."""
        ...

    def replay(self, letter: Letter) -> None:
        """Remove a letter with the unit in hand; if its record is refused again, it keeps when it was first."""
        ...


@dataclass
class Replayed:
    """What became of letters, by stream."""

    loaded: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    superseded: Counter[str] = field(default_factory=Counter)
    undecided: Counter[str] = field(default_factory=Counter)
    overwritten: Counter[str] = field(default_factory=Counter)
    without_schema: Counter[str] = field(default_factory=Counter)
    half_mapped: Counter[str] = field(default_factory=Counter)


class _Replaying:
    def __init__(
        self,
        loader: ReplayingLoader,
        judgement: Judgement,
        missing_fields: str | None,
        log: logging.Logger,
        *,
        is_ours: bool,
        over_stored: bool,
        judge: Judge | None = None,
    ) -> None:
        self._judge = judge
        self._loader, self._judgement, self._log = loader, judgement, log
        self._missing_fields, self._is_ours, self._over_stored = missing_fields, is_ours, over_stored
        self._decoders: dict[str, tuple[str, BlockDecoder]] = {}
        self._newest: set[tuple[str, ...] | None] = (
            set()
        )  # keys of letters that are loaded over what is stored
        self.found = Replayed()

    def take(self, letter: Letter) -> bool:
        """Load a letter; False: it was refused again."""
        if letter.declared is None:
            self.found.without_schema[letter.stream] += 1
            return True
        if self._loader.abilities.overwrites(letter.stream):
            self.found.overwritten[letter.stream] += 1
            return True
        since = self._since(letter)
        if since is not Since.NEWER and letter.is_half_mapped:
            self.found.half_mapped[letter.stream] += 1
            return True
        if since in (Since.NEWER, Since.UNKNOWN):
            counts = self.found.superseded if since is Since.NEWER else self.found.undecided
            counts[letter.stream] += 1
            return True
        is_loaded = self._surviving(letter)
        if is_loaded and self._over_stored:
            self._newest.add(self._loader.letters.key_of(letter))
        return is_loaded

    def _since(self, letter: Letter) -> Since:
        """Tell what is newer than a letter; of what is loaded over all that is stored another letter, which came before it here."""
        if not self._over_stored:
            return self._loader.letters.since(letter, self._loader.ask)
        key = self._loader.letters.key_of(letter)
        return Since.NEWER if key is not None and key in self._newest else Since.NOTHING

    def _surviving(self, letter: Letter) -> bool:
        for left in reversed(range(_TRIES)):
            try:
                return self._loaded(letter)
            except BadDataError as error:
                self._loader.rollback()
                self._decoders.clear()
                self._log.warning("A dead letter of stream `%s` stays as it is: %s", letter.stream, error)
                return False
            except UnitLost:
                if not left:
                    raise
                self._loader.recover()
                self._decoders.clear()
        raise AssertionError  # pragma: no cover  the last try raises

    def _loaded(self, letter: Letter) -> bool:
        decoder = self._decoder(letter)
        batches, rejects = decoder.decode(
            Run(letter.stream, letter.record.rstrip(b"\r\n") + b"\n", 1, letter.line)
        )
        if self._judge is not None:
            verdict = self._judge.judge(decoder.stream, batches)
            batches, rejects = list(verdict.batches), [*rejects, *verdict.rejects]
        self._loader.replay(letter)
        for batch in batches:
            self._loader.write(decoder.stream, batch)
        if rejects:
            self._loader.reject(rejects)
        refused = self._loader.settle()
        self._loader.commit(None)
        if rejects or refused:
            return False
        self.found.loaded[letter.stream] += 1
        return True

    def _decoder(self, letter: Letter) -> BlockDecoder:
        """Return what decodes a letter; the table is made fit for its SCHEMA, unless the letter before had the same."""
        known = self._decoders.get(letter.stream)
        if known is not None and known[0] == letter.declared:
            return known[1]
        declaration = letter.declaration()
        assert declaration is not None  # noqa: S101  those without a SCHEMA are left out
        stream = declared_stream(
            declaration,
            letter.line,
            keeps_text=False,
            max_columns=self._loader.domain.columns,
            key=self._loader.abilities.keys(letter.stream),
        )
        if self._judge is not None:
            self._judge.declare(stream)
        given = self._loader.declare(replace(stream, said=(letter.declared or "").encode()))
        abilities = self._loader.abilities
        judgement = replace(
            self._judgement,
            quarantine=True,
            missing=missing_of(self._missing_fields, abilities, letter.stream, is_ours=self._is_ours),
            domain=self._loader.domain,
            reads_texts=abilities.reads_texts,
        )
        decoder = BlockDecoder(given, judgement, self._loader.declare, self._log)
        self._decoders[letter.stream] = letter.declared or "", decoder
        return decoder


def replay(
    loader: ReplayingLoader,
    letters: Sequence[Letter],
    state: str | None,
    judgement: Judgement,
    missing_fields: str | None,
    log: logging.Logger,
    stop: StopFlag,
    *,
    over_stored: bool,
    judge: Judge | None = None,
) -> Replayed:
    """Load letters of the pipeline that ``loader`` has begun; ``state`` is what that has committed.

    Raises:
        Stopped: a signal came; what was loaded is committed.
    """
    mark = None if state is None else read_mark(decode(state))
    replaying = _Replaying(
        loader, judgement, missing_fields, log, is_ours=mark is not None, over_stored=over_stored, judge=judge
    )
    waiting = list(reversed(letters))
    while waiting:
        refused: list[Letter] = []
        before = replaying.found.loaded.total()
        for letter in waiting:
            stop.raise_if_set("each dead letter that was loaded is committed, and the others are left.")
            if not replaying.take(letter):
                refused.append(letter)
        if replaying.found.loaded.total() == before:
            replaying.found.refused.update(letter.stream for letter in refused)
            break
        waiting = refused
    return replaying.found


def pipeline_of(letters: Sequence[Letter], named: str | None) -> str:
    """Return whose letters are meant.

    Raises:
        ConfigurationError: there are those of several, and nobody says which.
    """
    names = sorted({letter.pipeline for letter in letters})
    if named is not None or len(names) == 1:
        return named or names[0]
    listed = ", ".join(f"`{name}`" for name in names)
    raise ConfigurationError(
        f"Expected `--pipeline NAME`, since there are dead letters of {listed}; nothing was changed."
    )
