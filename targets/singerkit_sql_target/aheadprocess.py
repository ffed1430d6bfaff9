"""The process that decodes blocks ahead (`ahead.py`): a block in a part of shared memory becomes arrays there, for the rows of a stage.

It has no store, no config and no input but what its parent sends, and ends with it.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from singerkit_shell.memory import calm_collector
from singerkit_sql_target.arrays import packed
from singerkit_wire.decode import FastDecoder, Refused
from singerkit_wire.kinds import Kind
from singerkit_wire.stream import DELETED_AT, VERSION
from singerkit_wire.values import plain_values

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["made_of", "main", "serve"]

_LOOKED_AT = (VERSION, DELETED_AT)
"""Columns of whose values the parent wants to know, in whatever rows they are."""
_PLAIN = (Kind.INTEGER, Kind.DATE_TIME)
_FEW = 100
Look = Callable[[Any], Any] | None
"""What the parent wants to know of a batch; it says None of one that is to be decoded there."""


def main() -> None:
    from multiprocessing.connection import Connection

    connection, shared = Connection(int(sys.argv[1])), mmap.mmap(int(sys.argv[2]), 0)
    calm_collector()
    with suppress(EOFError, OSError):  # who asks has ended
        serve(connection, shared, int(sys.argv[3]))


def serve(connection: Connection, shared: mmap.mmap, room: int) -> None:
    """Answer for blocks in parts of ``room`` bytes of what is shared, each with how many bytes stand in its place."""
    encode = connection.recv()
    connection.send(None)  # ready
    decoders: dict[int, tuple[FastDecoder, Sequence[Any], Look]] = {}
    while True:
        number, recipe, slot, size, lines = connection.recv()
        at = slot * room
        try:
            if recipe is not None:
                compile_, fields, look = recipe
                decoders[number] = compile_(), fields, look
            said, data = made_of(*decoders[number], encode, shared[at : at + size], lines)
            fits = len(data) <= room
        except (
            Exception
        ):  # whatever it is: the parent decodes the block itself, and says what is to be said of it
            fits = False
        if fits:
            shared[at : at + len(data)] = data
        connection.send((said, len(data)) if fits else (None, 0))


def made_of(
    decoder: FastDecoder,
    fields: Sequence[Any],
    look: Look,
    encode: Callable[..., Any],
    block: bytes,
    lines: int,
) -> tuple[Any, bytes]:
    """Return how many rows a block has, what the store makes of them, which values columns have that are looked at, what ``look`` says, and the arrays.

    Raises:
        Refused: not all of its rows have all fields, or something is unusual, or ``look`` has nothing to say of them.
    """
    batches = decoder.decode(block, lines, 1)
    columns = tuple(one.column for one in fields)
    if [(batch.columns, bool(batch.places)) for batch in batches] != [(columns, False)]:
        raise Refused
    told = None if look is None else look(batches[0])
    if look is not None and told is None:
        raise Refused
    on_wire = batches[0].by_column.make(len(columns))
    known = {
        place: values
        for place, column in enumerate(columns)
        if column.name in _LOOKED_AT and column.kind in _PLAIN and len(values := set(on_wire[place])) <= _FEW
    }
    arrays, made = encode(fields, list(map(plain_values, columns, on_wire)))
    return (len(on_wire[0]), made, known, told), packed(arrays)


if __name__ == "__main__":
    main()
