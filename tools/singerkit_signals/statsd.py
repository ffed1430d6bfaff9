"""Metrics of a run for StatsD: counters of what it did, gauges of where it is."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from singerkit_state.runs import Run

__all__ = ["lines_of", "send"]

_DATAGRAM = 1200
"""Bytes that go through any network in one piece."""


def send(address: tuple[str, int], run: Run) -> None:
    """Send them by UDP, which tells of no loss.

    Raises:
        OSError: the host has no address, or the network is away.
    """
    host, port = address
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as sender:
        for datagram in _datagrams(run):
            sender.sendto(datagram, place)


def _datagrams(run: Run) -> Iterator[bytes]:
    held = b""
    for line in lines_of(run):
        data = line.encode()
        if held and len(held) + 1 + len(data) > _DATAGRAM:
            yield held
            held = b""
        held = held + b"\n" + data if held else data
    yield held


def lines_of(run: Run) -> Iterator[str]:
    """Yield `singerkit.PIPELINE.runs.complete:1|c` and the like."""
    name = f"singerkit.{_word(run.pipeline)}"
    yield f"{name}.runs.{run.result}:1|c"
    if run.seconds is not None:
        yield f"{name}.seconds:{run.seconds * 1000:.0f}|ms"
    for stream, one in sorted(run.streams.items()):
        of = f"{name}.{_word(stream)}"
        for field in ("rows", "new", "changed", "deleted", "set_aside", "bytes"):
            if count := getattr(one, field):
                yield f"{of}.{field}:{count}|c"
        if one.lag_seconds is not None:
            yield f"{of}.lag_seconds:{max(one.lag_seconds, 0.0):.0f}|g"


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
