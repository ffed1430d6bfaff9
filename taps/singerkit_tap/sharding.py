"""Which streams a shard reads, and of which only a part (docs/shards.md)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_state.readas import ReadAs
from singerkit_state.shards import Shard, is_of
from singerkit_tap.changes import KEYS, PARTS, listed, reset_of
from singerkit_tap.stream import BlockStream

__all__ = ["Division", "check_divided", "check_keys", "divided"]

_LOG = ""
"""For all streams that are read from one log."""


@dataclass(frozen=True)
class Division:
    """The streams of which a shard reads a part, and those that it leaves to others."""

    divided: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    """Those that it reads all of, and the others nothing."""
    moving: tuple[str, ...] = ()
    """Those of ``divided`` whose rows may be of another shard when they change."""


def divided(streams: Sequence[BlockStream], shard: Shard, log: Logger) -> Division:
    """Have streams read their part; what cannot be divided is read by one shard, and no more selected in the others.

    Raises:
        ConfigurationError: a stream that is divided is read as a whole from time to time, and says what is gone by a version.
    """
    if shard.of == 1:
        return Division()
    parts, whole, left = [], [], []
    for stream in streams:
        if not stream.selected:
            continue
        divider = stream.divider
        if divider is not None:
            _check_version(stream)
            divider.shard = shard
            parts.append(stream.name)
        elif is_of(shard, _LOG if stream.is_log_based else stream.name):
            whole.append(stream.name)
        else:
            left.append(stream.name)
    for stream in streams:
        if stream.name in left:
            stream.selected = False
    for what, names in (("a part of", parts), ("all of", whole)):
        if names:
            log.info("This is the shard %s, which reads %s %s.", shard, what, listed(names))
    if left:
        log.info(
            "It leaves %s to other shards, since %s cannot be divided.",
            listed(left),
            "it" if len(left) == 1 else "they",
        )
    moving = tuple(stream.name for stream in streams if stream.name in parts and stream.rows_move)
    return Division(tuple(parts), tuple(left), tuple(whole), moving)


def check_divided(former: Collection[str], now: Division, way: Callable[[str], str]) -> None:
    """See that no stream of which each shard has read its part is left to one of them, whose bookmark says nothing of the other parts.

    ``way``: how a stream is started over.

    Raises:
        ConfigurationError: one is.
    """
    for name in former:
        if name in now.left or name in now.whole:
            raise ConfigurationError(
                f"Stream `{name}` was divided into shards, and cannot be any more, as nothing divides it: one shard would read all of it, from a bookmark "
                "that says nothing of the rows of the others; nothing was read: bring back what divided it (its `primary_keys`, or the setting that did), or have all shards read it from the beginning, "
                f"this one by {way(name)}."
            )


def check_keys(stream: BlockStream, part: Any) -> None:
    """See that rows are of the shards that they were of when the state was made.

    Raises:
        ConfigurationError: another key tells rows apart, and a bookmark of this shard would pass by rows that were of another one.
    """
    is_by_key = (
        not stream.is_partitioned and stream.is_divided_by_key
    )  # else by its contexts, say, whatever key its rows have
    if stream.shard is None or not is_by_key:
        return
    source = ReadAs.of(part).source
    keys, parts = source.get(KEYS), source.get(PARTS)
    if stream.rows_move:
        if parts is None or parts == stream.parts:
            return
        what, former, now = "The spans of the replication key", parts, stream.parts
    elif isinstance(keys, list) and sorted(map(str, keys)) != sorted(stream.primary_keys):
        what, former, now = (
            "The `primary_keys`",
            listed(list(map(str, keys))),
            listed(list(stream.primary_keys)),
        )
    elif parts is not None and parts != stream.parts:
        what, former, now = (
            "The declared types of the `primary_keys`",
            f"such that it was cut by {parts}",
            f"by {stream.parts}",
        )
    else:
        return
    raise ConfigurationError(
        f"{what} of stream `{stream.name}`, by which its rows are divided into shards, were {former}, and are {now}, so that rows are of other shards than "
        f"before; nothing was read: bring the former ones back, or have all shards read it from the beginning, this one by {reset_of(stream)}."
    )


def _check_version(stream: BlockStream) -> None:
    if stream.sends_versions and stream.sweeps_every is not None:
        raise ConfigurationError(
            f"Stream `{stream.name}` is read as a whole from time to time (`sweep`), and the version by which a target removes what is gone at the "
            "source would remove the rows of the other shards; nothing was read: take `sweep` out, or read it without `--shard`."
        )
