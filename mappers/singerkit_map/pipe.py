"""The loop of `singerkit-map`: what comes on stdin goes on to stdout, mapped; nothing is made up, and no STATE goes before what it covers."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import IO, Any

from singerkit_map.jsontexts import loads
from singerkit_map.mapper import Mapper
from singerkit_shell.errors import BadDataError, CannotWriteError, ConfigurationError
from singerkit_shell.signals import StopFlag
from singerkit_wire.batch import Letters, told_set_aside
from singerkit_wire.batchfiles import batch_files
from singerkit_wire.jsonexact import dumps
from singerkit_wire.lines import Chunk, read_chunks
from singerkit_wire.messages import Message, Run, Splitter
from singerkit_wire.output import Output

__all__ = ["LetterFile", "Pipe"]

_CHUNK_BYTES = 1 << 19  # what is at work at a time stays near the processor
_WAIT_SECONDS = 0.1


class LetterFile:
    """The file of records that are set aside, a line of JSON each; on disk before the STATE behind them goes on."""

    def __init__(self, path: str, most: int) -> None:
        self._path, self._most = path, most
        self._counts: Counter[str] = Counter()
        self._is_new = False
        try:
            self._file = open(path, "ab", opener=_for_us_alone)  # noqa: SIM115  for the run
        except OSError as error:
            raise ConfigurationError(
                f"The file of dead letters {path} cannot be written ({error.strerror}); nothing was read: name another one at `dead_letters`."
            ) from None

    def add(self, letters: Letters) -> None:
        """Write records that are set aside.

        Raises:
            BadDataError: they are more than the limit.
            CannotWriteError: there is no room.
        """
        for one in letters.rejects:
            said = {"stream": one.stream, "line": one.line, "path": one.path, "reason": one.reason}
            self._write(
                json.dumps(said)[:-1].encode() + b',"record":' + dumps(loads(one.record)["record"]) + b"}\n"
            )
        self._is_new = True
        self._counts.update(one.stream for one in letters.rejects)
        if self._counts.total() > self._most:
            raise BadDataError(
                f"More than {self._most} records were set aside (`quarantine_limit`), the last at line {letters.rejects[-1].line}: {letters.rejects[-1].reason}; "
                "what was committed is safe: mend the map or the data, or raise the limit, then run again."
            )

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._full(error) from None

    def sync(self) -> None:
        """See that all of it is on disk.

        Raises:
            CannotWriteError: there is no room.
        """
        if not self._is_new:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._full(error) from None
        self._is_new = False

    def close(self) -> None:
        """End the file, all of it on disk."""
        try:
            self.sync()
        finally:
            self._file.close()

    def told(self) -> list[str]:
        """Return what is to be told of records that were set aside."""
        return [told_set_aside(stream, count, self._path) for stream, count in sorted(self._counts.items())]

    def _full(self, error: OSError) -> CannotWriteError:
        return CannotWriteError(
            f"The file of dead letters {self._path} cannot be written ({error.strerror}); what was committed is safe: make room, then run again."
        )


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Pipe:
    """One run over one input."""

    def __init__(
        self, mapper: Mapper, output: Output, letters: LetterFile | None, stop: StopFlag, max_line_bytes: int
    ) -> None:
        self._mapper, self._output, self._letters = mapper, output, letters
        self._stop, self._max_line_bytes = stop, max_line_bytes
        self._splitter = Splitter()
        self.records: dict[str, list[int]] = {}
        """By stream how many records came, and how many went on."""

    def run(self, source: IO[Any]) -> None:
        """Read the input to its end, or until a signal comes, which ends it behind a message.

        Raises:
            BadDataError, ConfigurationError: as `Mapper.parts`; all that stands before was written.
            ReaderGone, CannotWriteError: as `Output`.
        """
        chunks = read_chunks(
            source,
            chunk_bytes=_CHUNK_BYTES,
            max_line_bytes=self._max_line_bytes,
            wait_seconds=_WAIT_SECONDS,
            stop=self._stop,
        )
        for chunk in chunks:
            self._take(chunk)
            self._output.flush()
            if self._stop:
                break
        self._stop.raise_if_set(
            "what was written ends with a whole message, and nothing was made up: run again to continue."
        )

    def _take(self, chunk: Chunk) -> None:
        if chunk.is_cut and not _is_plain(chunk.data):
            raise BadDataError(
                f"The input ended in the middle of a message (line {chunk.first_line}); what stands before it went on: run the tap again."
            )
        for is_batch, parts in groupby(self._splitter.split(chunk), self._is_batch):
            for made in self._mapped(parts, is_batch=is_batch):
                self._put(made)

    def _mapped(self, parts: Iterable[Run | Message], *, is_batch: bool) -> Iterable[Run | Message]:
        if is_batch:
            return (made for part in parts if isinstance(part, Message) for made in self._batch(part))
        return self._mapper.parts(map(self._came, parts))

    def _is_batch(self, part: Run | Message) -> bool:
        return isinstance(part, Message) and part.type == "BATCH" and self._mapper.works_on(part.stream)

    def _came(self, part: Run | Message) -> Run | Message:
        self._count(part, 0)
        return part

    def _batch(self, message: Message) -> Iterator[Run | Message]:
        """Yield the records of the files that a message names: what is in them is mapped, too."""
        for file in batch_files(message):
            runs = file.runs(chunk_bytes=_CHUNK_BYTES, max_line_bytes=self._max_line_bytes, stop=self._stop)
            try:
                for run in runs:
                    self._count(run, 0)
                    yield from self._mapper.run(run)
            except BadDataError as error:
                raise file.in_it(error) from None

    def _put(self, part: Run | Message) -> None:
        if isinstance(part, Run):
            self._count(part, 1)
            self._output.records(part.data)
            return
        if isinstance(part, Letters):
            if self._letters is not None:
                self._letters.add(part)
            return
        if part.type == "STATE" and self._letters is not None:
            self._letters.sync()
        self._output.records(part.line + b"\n")

    def _count(self, part: Run | Message, place: int) -> None:
        if isinstance(part, Run):
            self.records.setdefault(part.stream, [0, 0])[place] += part.lines


def _is_plain(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
