"""What could not be read while all else was: streams, and single partitions of streams.

An error that is one of a stream alone (`BlockStream.is_own_failure`) does not keep the others from being read. The bookmarks of
what failed stay, none of its rows leave the target, and the run ends with the error and without the mark of a finished run.

So it goes on only where a STATE behind the failure can double nothing: rows that were written, and that come again since no
bookmark covers them, have to replace themselves by a key.
"""

from __future__ import annotations

from collections.abc import Iterator

from singerkit_shell.errors import RetryableError, SingerkitError
from singerkit_shell.words import counted, ended
from singerkit_tap.stream import BlockStream

__all__ = ["IN_A_ROW", "STREAMS_IN_A_ROW", "FailedReads", "Failures"]

IN_A_ROW = 20
"""Partitions of a stream that may fail one after the other before the rest of them is asked for no more."""
STREAMS_IN_A_ROW = 3
"""Streams in vain for which a source is asked for minutes, before it is taken for one that does not serve."""
_UNAVAILABLE = 7
"""One that was asked for in vain for minutes counts as so many."""


class FailedReads:
    """Those of one stream in a run."""

    def __init__(self) -> None:
        self.is_any = False
        """Whether a read failed, of the stream or of one above it: not all has come that there is."""
        self.is_given_up = False
        """Whether so many failed that no more of them are begun."""
        self._in_a_row = 0

    def note(self, error: SingerkitError) -> None:
        """Note that a read of the stream itself failed."""
        self.is_any = True
        self._in_a_row += _UNAVAILABLE if isinstance(error, RetryableError) else 1
        self.is_given_up = self._in_a_row >= IN_A_ROW

    def note_read(self) -> None:
        """Note that one was read to its end."""
        self._in_a_row = 0


class Failures:
    """All failures of a run."""

    def __init__(self) -> None:
        self._first: SingerkitError | None = None
        self._final: SingerkitError | None = None
        self._unavailable = 0
        self._has_read = False
        """Whether a stream was read to its end, or at least in part."""
        self._streams: dict[str, int] = {}
        """The streams that were not read, or not as a whole, with the number of partitions that failed; 0: it was the stream."""
        self._given_up: set[str] = set()

    def refuse_final(
        self, error: SingerkitError, stream: BlockStream, *, is_safe: bool, is_replacing: bool = False
    ) -> None:
        """Raise an error that ends the run: it is not one of ``stream`` alone, or going on would double rows (not ``is_safe``).

        ``is_replacing``: or would commit that rows are gone for which not all others have come.
        """
        if error is not self._final:
            is_own = stream.is_own_failure(error)
            if is_own and is_safe and not self._is_down(error):
                return
            if is_own and is_replacing:
                error.args = (
                    f"{ended(str(error))} What comes behind it was not read, since it was amid rows that take the place of others, and "
                    "the target is to have all of them or none: mend that, then run again.",
                )
            elif is_own and not is_safe and stream.goes_on_by_position:
                error.args = (
                    f"{ended(str(error))} What comes behind it was not read, since rows had been written of which no STATE would say that they are there; they come again with the next run.",
                )
            elif is_own and not is_safe:
                error.args = (
                    f"{ended(str(error))} What comes behind it was not read, since rows without a key had been written that come again "
                    f"with the next run: give stream `{stream.name}`, and those below it, `primary_keys` if others are to be read then.",
                )
            self._final = error
        raise error

    def _is_down(self, error: SingerkitError) -> bool:
        """Tell whether one stream after the other was asked for in vain for minutes: so the source does not serve."""
        return isinstance(error, RetryableError) and self._unavailable + 1 >= STREAMS_IN_A_ROW

    def note_read(self) -> None:
        """Note that a stream was read to its end."""
        self._unavailable = 0
        self._has_read = True

    def note(
        self,
        stream: BlockStream,
        error: SingerkitError,
        *,
        is_partition: bool = False,
        is_given_up: bool = False,
    ) -> None:
        """Take an error that does not end the run yet."""
        if self._first is None:
            self._first = error
        if is_given_up:
            self._given_up.add(stream.name)
        if not is_partition:
            self._unavailable = self._unavailable + 1 if isinstance(error, RetryableError) else 0
        before = self._streams.get(stream.name)
        if is_partition:
            self._streams[stream.name] = (before or 0) + 1 if before != 0 else 0
        else:
            self._streams[stream.name] = 0
        if before is None or not is_partition:
            stream.logger.error(
                "%s could not be read (the run goes on with any others): %s",
                f"A part of stream `{stream.name}`" if is_partition else f"Stream `{stream.name}`",
                error,
            )

    @property
    def are_any(self) -> bool:
        return self._first is not None

    def has(self, stream: BlockStream) -> bool:
        """Tell whether something of a stream could not be read."""
        return stream.name in self._streams

    def raise_any(self) -> None:
        """Raise the first error, with the names of all that is missing; nothing where there is none."""
        if self._first is None:
            return
        bookmarks = "its bookmark stays" if len(self._streams) == 1 else "their bookmarks stay"
        safe = (
            f"all else was read, and {bookmarks}"
            if self._has_read or any(self._streams.values())
            else bookmarks
        )
        self._first.args = (
            f"{ended(str(self._first))} Not read as a whole: {', '.join(self._named())}; {safe}.",
        )
        raise self._first

    def _named(self) -> Iterator[str]:
        for name, count in self._streams.items():
            what = f"stream `{name}`"
            if name in self._given_up:
                yield f"{what} (given up after {count} parts that failed)"
            else:
                yield f"{what} ({counted(count, 'part')} of it)" if count else what
