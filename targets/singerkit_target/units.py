"""Put the parts of a chunk in the order in which they are loaded: all rows a STATE covers, the STATE, the rest.

Several STATEs in one segment come to the last of them (SINGER-RULES G04), and the runs of a stream become one, so
that a tap that writes a STATE after each record still loads in blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from singerkit_state.value import decode, is_empty
from singerkit_wire.messages import Message, Run, joined_runs, state_text

__all__ = ["in_load_order", "runs_in_load_order", "segments"]


def segments(
    parts: Iterable[Run | Message], ends_at_state: Callable[[], bool] = lambda: False
) -> Iterator[list[Run | Message]]:
    """Yield ``parts`` in order: runs and STATEs that follow each other together, every other message alone.

    A STATE ends its segment while ``ends_at_state`` says that something has to happen there.
    """
    segment: list[Run | Message] = []
    for part in parts:
        if isinstance(part, Run) or part.type == "STATE":
            segment.append(part)
            if isinstance(part, Message) and ends_at_state():
                yield segment
                segment = []
            continue
        if segment:
            yield segment
            segment = []
        yield [part]
    if segment:
        yield segment


def in_load_order(segment: Sequence[Run | Message]) -> list[Run | Message]:
    """Return a segment with its runs joined by stream: those before the last STATE, it, and those after it."""
    states = [index for index, part in enumerate(segment) if isinstance(part, Message)]
    if not states:
        return list(_joined(segment))
    last = states[-1]
    return [
        *_joined(segment[:last]),
        *_worth_writing(segment[index] for index in states),
        *_joined(segment[last + 1 :]),
    ]


def runs_in_load_order(parts: Sequence[Run | Message], least: int) -> list[Run]:
    """Return the runs of ``parts`` as `in_load_order` joins them, of streams with ``least`` bytes; none where anything but rows and STATEs stands there."""
    others = [(index, part) for index, part in enumerate(parts) if isinstance(part, Message)]
    if any(part.type != "STATE" for _, part in others):
        return []
    behind = others[-1][0] + 1 if others else 0
    return [run for some in (parts[:behind], parts[behind:]) for run in _joined(_large(some, least))]


def _large(parts: Sequence[Run | Message], least: int) -> Iterator[Run]:
    sizes: Counter[str] = Counter()
    runs = [part for part in parts if isinstance(part, Run)]
    for run in runs:
        sizes[run.stream] += len(run.data)
    return (run for run in runs if sizes[run.stream] >= least)


def _worth_writing(states: Iterable[Run | Message]) -> list[Run | Message]:
    """The last STATE, and before it the last that said something: an empty one erases nothing (FAULTS M4)."""
    backwards = list(states)[::-1]
    if len(backwards) == 1:  # nothing to choose from: not decoded, it may be long
        return backwards
    said = next((state for state in backwards if not _says_nothing(state)), None)
    return [backwards[0]] if said in (None, backwards[0]) else [said, backwards[0]]


def _says_nothing(state: Run | Message) -> bool:
    assert isinstance(state, Message)  # noqa: S101  the callers' choice
    try:
        return is_empty(decode(state_text(state)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False  # whoever takes it will say what is wrong with it


def _joined(parts: Iterable[Run | Message]) -> Iterator[Run]:
    by_stream: dict[str, list[Run]] = {}
    for part in parts:
        if isinstance(part, Run):
            by_stream.setdefault(part.stream, []).append(part)
    for runs in by_stream.values():
        yield runs[0] if len(runs) == 1 else joined_runs(runs)
