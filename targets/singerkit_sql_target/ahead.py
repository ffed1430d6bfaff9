"""Blocks of rows are decoded in another process while those before them are loaded: as they would be here, by the same code.

Blocks, and the arrays that become of them, are in memory that both share; through the connection go small messages only, so that neither waits
for the other to read one. Where there is no such process, or it has ended, blocks are decoded here.
"""

from __future__ import annotations

import logging
import mmap
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from singerkit_shell.signals import StopFlag
from singerkit_sql_target.dialect import Field
from singerkit_wire.ahead import AheadRows
from singerkit_wire.batch import Batch
from singerkit_wire.blocks import BlockDecoder
from singerkit_wire.messages import Run

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Ahead", "begin_process"]

_SLOTS = 6
"""Blocks that the process has, or has made; with fewer it waits where a commit takes long."""
_ROOM = 2 << 20
"""Bytes for a block, and for what becomes of it in its place."""
_FIRST_BLOCKS = 12
"""So many are decoded here, before it is worth a process, which begins for as long as thirty take."""
_MODULE = "singerkit_sql_target.aheadprocess"
_ANSWER_SECONDS, _TURN, _END_SECONDS = 10.0, 0.1, 5.0
"""How long an answer is waited for, in turns between which a signal is seen; and the end of the process."""


@dataclass
class _Recipe:
    """How blocks of a stream are decoded and looked at, and what its arrays are for; ``made`` and ``refused`` count blocks."""

    number: int
    compile: Callable[[], Any]
    fields: tuple[Field, ...]
    look: Callable[[Batch], Any] | None
    is_sent: bool = False
    made: int = 0
    refused: int = 0

    @property
    def pays(self) -> bool:
        return self.refused <= 2 + self.made // 4


class _Asked:
    """A block that the process has been given; ``answer`` is what it said, and the arrays."""

    def __init__(self, ahead: Ahead, recipe: _Recipe, slot: int, decoder: BlockDecoder, run: Run) -> None:
        self._ahead, self._recipe, self.slot = ahead, recipe, slot
        self._run, self._batch, self._decode = run, decoder.batch, decoder.decoding(run)
        self.answer: tuple[Any, bytes] | None = None

    def is_done(self) -> bool:
        self._ahead.take_answers()
        return self.answer is not None

    def batches(self) -> list[Batch] | None:
        said, data = self._ahead.answer(self)
        if said is None:
            self.give_up()
            return None
        self._recipe.made += 1
        count, made, known, told = said
        rows = AheadRows(count, (made, data), self._recipe.fields, self._rows, known, told=told)
        return [self._batch(rows, self._run)]

    def give_up(self) -> None:
        self._recipe.refused += 1

    def _rows(self) -> Sequence[tuple[Any, ...]]:
        self.give_up()  # it is decoded twice
        return self._decode()


class Ahead:
    """One such process, started when blocks come; ``encode`` makes arrays of columns there, where it is found by its name; None: no process."""

    def __init__(self, encode: Callable[..., Any] | None, log: logging.Logger, stop: StopFlag) -> None:
        self._encode, self._log, self._stop = encode, log, stop
        self._is_wanted = encode is not None and bool(sys.executable) and _cores() > 1
        self._blocks = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection
        self._shared: mmap.mmap
        self._is_ready = False
        self._recipes: dict[tuple[int, tuple[Field, ...]], _Recipe] = {}
        self._free = list(range(_SLOTS))
        self._waiting: deque[_Asked] = deque()

    def ask(self, decoder: BlockDecoder, fields: tuple[Field, ...], run: Run) -> _Asked | None:
        """Have a block decoded, unless there is no room for it, or no use in it."""
        self._blocks += 1
        if not self._is_wanted or self._blocks <= _FIRST_BLOCKS or len(run.data) > _ROOM:
            return None
        if self._process is None:
            self._start()
        self.take_answers()
        recipe = self._recipe(decoder, fields)
        if not (self._is_ready and self._free and recipe is not None and recipe.pays):
            return None
        slot = self._free[-1]
        at = slot * _ROOM
        self._shared[at : at + len(run.data)] = run.data
        made_of = None if recipe.is_sent else (recipe.compile, recipe.fields, recipe.look)
        if not self._send((recipe.number, made_of, slot, len(run.data), run.lines)):
            return None
        recipe.is_sent = True
        asked = _Asked(self, recipe, self._free.pop(), decoder, run)
        self._waiting.append(asked)
        return asked

    def take_answers(self) -> None:
        """Take what the process has made so far."""
        while self._is_wanted and self._process is not None and self._take_one(0):
            pass

    def answer(self, asked: _Asked) -> tuple[Any, bytes]:
        latest = time.monotonic() + _ANSWER_SECONDS
        while asked.answer is None:
            if not self._take_one(_TURN) and (self._stop or time.monotonic() >= latest):
                self._lose()
        return asked.answer

    def close(self) -> None:
        self._is_wanted = False
        process, self._process = self._process, None
        if process is None:
            return
        self._connection.close()  # by which it ends
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._shared.close()

    def _recipe(self, decoder: BlockDecoder, fields: tuple[Field, ...]) -> _Recipe | None:
        compile_ = decoder.recipe
        if compile_ is None:
            return None
        new = _Recipe(
            len(self._recipes), compile_, fields, decoder.look
        )  # which keeps it, so that its id stays its own
        return self._recipes.setdefault((id(compile_), fields), new)

    def _start(self) -> None:
        from multiprocessing.connection import Pipe

        try:
            self._connection, theirs = Pipe()
            with theirs, _memory() as memory:
                memory.truncate(_SLOTS * _ROOM)
                self._shared = mmap.mmap(memory.fileno(), 0)
                self._process = begin_process(theirs.fileno(), memory.fileno())
        except OSError:
            self._lose()
        else:
            self._send(self._encode)

    def _send(self, message: Any) -> bool:
        try:
            self._connection.send(message)
        except Exception:  # it has ended, or there is no pickle of a schema: then blocks are decoded here
            self._lose()
            return False
        return True

    def _take_one(self, seconds: float) -> bool:
        try:
            if not self._connection.poll(seconds):
                return False
            said = self._connection.recv()
        except (EOFError, OSError):
            self._lose()
            return False
        if not self._is_ready:
            self._is_ready = True
            return True
        made, size = said
        asked = self._waiting.popleft()
        at = asked.slot * _ROOM
        asked.answer = made, self._shared[at : at + size]
        self._free.append(asked.slot)
        return True

    def _lose(self) -> None:
        """It has ended, or does not answer, or was never there."""
        if not self._is_wanted:
            return
        self._is_wanted = False
        if self._process is not None:
            self._process.kill()  # one that is stopped does not end by itself
        for asked in self._waiting:
            asked.answer = None, b""
        self._waiting.clear()
        self._log.info(
            "The process that decodes rows ahead has ended, or gives no answer; they are decoded in this one, which takes longer."
        )


def begin_process(connection: int, memory: int) -> subprocess.Popen[bytes]:
    """Begin the process; it has its own copies of both files."""
    return subprocess.Popen(
        # -P: nothing is imported from the folder in which the run was started.
        [sys.executable, "-P", "-m", _MODULE, *map(str, (connection, memory, _ROOM))],
        pass_fds=(connection, memory),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C is for the run, with which it ends
    )


def _cores() -> int:
    with suppress(AttributeError):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> Any:
    """A file that is in no folder, and in memory where there is such a thing."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("singerkit-ahead"), "w+b")
    return tempfile.TemporaryFile()
