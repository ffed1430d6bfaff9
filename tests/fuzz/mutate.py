"""Seeded random changes of inputs, for machines without atheris, and the smallest input that still fails."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

__all__ = ["mutations", "smallest"]

TOKENS: tuple[bytes, ...] = (
    *(
        b'"',
        b"\\",
        b"\n",
        b"\r\n",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
    ),
    *(
        b"\\u0000",
        b"\\ud800",
        b"\\u0041",
        b"\\/",
        b"\\n",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98\x80",
    ),
    *(
        b"1e400",
        b"-0",
        b"9223372036854775808",
        b"0.1",
        b"1E-7",
        b'"record"',
        b'"RECORD"',
        b'"stream"',
        b'"type"',
    ),
    *(
        b'"2026-02-30"',
        b'"24:00:00"',
        b'"9999-12-31T23:59:59.9999999Z"',
        b"[[",
        b"]]",
        b"/",
        b"..",
        b"%",
        b"_singerkit",
    ),
)


def mutations(inputs: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield ``count`` changed inputs, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        data = chance.choice(inputs)
        for _ in range(chance.choice((1, 1, 2, 3, 8))):
            data = _changed(data, inputs, chance)
        yield data[:20_000]


def _changed(data: bytes, inputs: Sequence[bytes], chance: random.Random) -> bytes:
    at, until = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    short = min(until, at + chance.choice((1, 1, 4, 16)))
    match chance.randrange(7):
        case 0:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + chance.choice(TOKENS) + data[at:]
        case 2:
            return data[:at] + chance.choice(TOKENS) + data[short:]
        case 3:
            return data[:at] + data[short:]
        case 4:
            return data[:until] + data[at:until] + data[until:]
        case 5:
            other = chance.choice(inputs)
            return data[:at] + other[chance.randint(0, len(other)) :]
        case _:
            return (
                data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
                if at < len(data)
                else data
            )


def smallest(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Leave out of ``data`` what can be left out while it fails still."""
    size = max(1, len(data) // 2)
    while True:
        at, before = 0, data
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if fails(shorter):
                data = shorter
            else:
                at += size
        if size == 1 and data == before:
            return data
        size = max(1, size // 2)
