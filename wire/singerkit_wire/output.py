"""The wire: SCHEMA, RECORD and STATE lines to stdout in large chunks.

Lines wait in a buffer until there are `CHUNK_BYTES` of them, a STATE comes, or `MAX_QUIET_SECONDS` have passed;
a timer sees to the last, so that a pipe never looks dead while a page takes long. Only whole lines are written.
`reader_watched` sees when the reader of a pipe has gone, whatever is waited for.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec

from singerkit_shell.encoding import count_lines
from singerkit_shell.errors import CannotWriteError, ReaderGone, Stopped
from singerkit_shell.pace import RowPace
from singerkit_shell.signals import stop_flag
from singerkit_state.value import encode

__all__ = ["CHUNK_BYTES", "MAX_QUIET_SECONDS", "Output", "reader_watched"]

CHUNK_BYTES = 256 * 1024
MAX_QUIET_SECONDS = 1.0
_CUT_OFF = "Output was cut off; what the reader has confirmed is safe, run again."
_LOOK_EVERY = 0.2  # seconds between two looks at the reader

_encoder = msgspec.json.Encoder(decimal_format="number")


class Output:
    """Writes Singer messages to whatever ``sys.stdout`` is at the moment of writing.

    Usable at once; inside ``with output:`` the timer runs too. Every method raises

    * `ReaderGone` when the reader of the pipe has gone,
    * `CannotWriteError` when stdout cannot be written for another reason,

    and from then on always: after what could not be written nothing is.
    """

    def __init__(self) -> None:
        self.pace: RowPace | None = None
        """What rows are held to; None: as fast as it goes."""
        self._lines: list[bytes] = []
        self._size = 0
        self._oldest = 0.0
        self._lock = threading.RLock()
        self._is_closing = threading.Event()
        self._timer: threading.Thread | None = None
        self._failure: ReaderGone | CannotWriteError | None = None

    def schema(
        self,
        stream: str,
        schema: Mapping[str, Any],
        key_properties: Sequence[str],
        bookmark_properties: Sequence[str] = (),
        inferred: Sequence[str] = (),
        *,
        goes_on: bool = False,
    ) -> None:
        """Write a SCHEMA message; ``inferred``: see `singerkit_wire.stream.Stream`; ``goes_on``: no run sends rows of another again, though there is no bookmark."""
        message: dict[str, Any] = {
            "type": "SCHEMA",
            "stream": stream,
            "schema": schema,
            "key_properties": list(key_properties),
        }
        if bookmark_properties:
            message["bookmark_properties"] = list(bookmark_properties)
        if inferred:
            message["inferred"] = list(inferred)
        if goes_on:
            message["goes_on"] = True
        self._put(_encoder.encode(message) + b"\n")

    def records(self, lines: bytes) -> None:
        """Write RECORD lines, each ended by a newline, and wait where they are to take longer."""
        if not lines:
            return
        self._put(lines)
        if self.pace is not None:
            self.pace.keep_to(count_lines(lines))

    def activate_version(self, stream: str, version: int) -> None:
        """Write an ACTIVATE_VERSION message: all rows of the version have been written."""
        message = {"type": "ACTIVATE_VERSION", "stream": stream, "version": version}
        self._put(_encoder.encode(message) + b"\n")

    def replace(self, stream: str, where: Mapping[str, Any]) -> None:
        """Write a REPLACE message: all rows of the stream that have these values go, with those behind it (docs/decisions/0084).

        ``where``: properties of the SCHEMA with JSON scalars: text, int, `Decimal`, bool, None.
        """
        self._put(_encoder.encode({"type": "REPLACE", "stream": stream, "where": where}) + b"\n")

    def state(self, value: Mapping[str, Any]) -> int:
        """Write a STATE message and flush; return how many bytes the value has."""
        text = encode(value).encode()
        self._put(b'{"type":"STATE","value":' + text + b"}\n")
        self.flush()
        return len(text)

    def text(self, text: str) -> None:
        """Write something that is no message (the catalog) and flush."""
        self._put(text.encode())
        self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            Stopped: a signal came, and the reader of our output takes nothing.
        """
        stop_flag.within(
            None, self._flush, "the reader of our output takes nothing; what it has confirmed is safe."
        )

    def _flush(self) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            lines, self._lines, self._size = self._lines, [], 0
            if not lines:
                return
            try:
                _write(b"".join(lines))
            # What has gone missing here no later message may cover, a STATE least of all.
            except (ReaderGone, CannotWriteError) as error:
                self._failure = error
                raise
            except BaseException:
                self._failure = CannotWriteError(_CUT_OFF)
                raise

    def _put(self, lines: bytes) -> None:
        with self._lock:
            if not self._lines:
                self._oldest = time.monotonic()
            self._lines.append(lines)
            self._size += len(lines)
            is_due = self._size >= CHUNK_BYTES or self._is_overdue()
        if is_due:
            self.flush()

    def _is_overdue(self) -> bool:
        return bool(self._lines) and time.monotonic() - self._oldest >= MAX_QUIET_SECONDS

    def __enter__(self) -> Output:
        self._is_closing.clear()
        self._timer = threading.Thread(target=self._flush_in_time, name="output-timer", daemon=True)
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._is_closing.set()
        if kind is None:
            self._join()
            self.flush()
        else:
            # The first error is the one to tell about; what waits covers nothing and is worth a try.
            with contextlib.suppress(ReaderGone, CannotWriteError, Stopped):
                stop_flag.within(None, self._join, "")
                self.flush()

    def _join(self) -> None:
        if self._timer is not None:
            self._timer.join()

    def _flush_in_time(self) -> None:
        while not self._is_closing.wait(MAX_QUIET_SECONDS / 4):
            with self._lock:
                try:
                    if self._is_overdue():
                        self.flush()
                except (ReaderGone, CannotWriteError) as error:
                    self._failure = error
                    return


def _write(data: bytes) -> None:
    out = sys.stdout
    if out is None:
        raise CannotWriteError("There is no stdout to write to; nothing was written, run again with one.")
    try:
        out.buffer.flush()
        descriptor = _descriptor_of(out)
        if descriptor is None:
            out.buffer.write(data)
            out.buffer.flush()
            return
        os.set_blocking(descriptor, True)
        view = memoryview(data)
        while view:  # past Python's buffer, so that nothing waits in it when a signal ends this
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError:
        raise _reader_gone() from None
    except OSError as error:
        raise CannotWriteError(
            f"Output cannot be written ({error.strerror or error}); what the reader has confirmed is safe, "
            "make room and run again."
        ) from None


def _reader_gone() -> ReaderGone:
    return ReaderGone(
        "The reader of our output has gone, and its own last line says why; what it has confirmed is safe: mend "
        "that, then run again to continue."
    )


@contextlib.contextmanager
def reader_watched() -> Iterator[None]:
    """End the run soon after the reader of stdout has gone, also where a request or a pause between two is waited for."""
    descriptor = None if sys.stdout is None else _descriptor_of(sys.stdout)
    if descriptor is None or not _is_pipe(descriptor):
        yield
        return
    is_over = threading.Event()
    descriptor = os.dup(descriptor)  # stdout may be given another number meanwhile
    watch = threading.Thread(target=_watch, args=(descriptor, is_over), name="reader-watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        is_over.set()
        watch.join()
        os.close(descriptor)
        stop_flag.give_up(None)


def _watch(descriptor: int, is_over: threading.Event) -> None:
    line = select.poll()
    line.register(descriptor, 0)  # what went wrong is told without being asked for
    while not is_over.wait(_LOOK_EVERY):
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in line.poll(0)):
            stop_flag.give_up(_reader_gone())
            return


def _is_pipe(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _descriptor_of(out: Any) -> int | None:
    """Return the file descriptor of ``out``; None for a test's buffer."""
    try:
        return int(out.fileno())
    except (OSError, ValueError):
        return None
