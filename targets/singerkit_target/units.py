"""Put the parts of a chunk in the order in which they are loaded: all rows a STATE covers, the STATE, the rest.

Several STATEs in one stretch come to the last of them (SINGER-RULES G04), and the runs of a stream become one, so
that a tap that writes a STATE after each record still loads in blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from singerkit_target.messages import Message, Run

__all__ = ["in_load_order"]


def in_load_order(parts: Iterable[Run | Message]) -> Iterator[Run | Message]:
    """Yield ``parts`` with the runs between two messages that are no STATE joined by stream."""
    covered: list[Run] = []
    pending: list[Run] = []
    state: Message | None = None
    for part in parts:
        if isinstance(part, Run):
            pending.append(part)
        elif part.type == "STATE":
            covered += pending
            pending = []
            state = part
        else:
            yield from _joined(covered)
            if state is not None:
                yield state
            yield from _joined(pending)
            covered, pending, state = [], [], None
            yield part
    yield from _joined(covered)
    if state is not None:
        yield state
    yield from _joined(pending)


def _joined(runs: list[Run]) -> Iterator[Run]:
    by_stream: dict[str, list[Run]] = {}
    for run in runs:
        by_stream.setdefault(run.stream, []).append(run)
    for stream, parts in by_stream.items():
        yield parts[0] if len(parts) == 1 else _join(stream, parts)


def _join(stream: str, parts: list[Run]) -> Run:
    numbers = tuple(part.line_number(i) for part in parts for i in range(part.data.count(b"\n")))
    return Run(stream, b"".join(part.data for part in parts), parts[0].first_line, numbers)
