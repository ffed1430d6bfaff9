"""Which streams a shard reads, and of which only a part (docs/shards.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_state.readas import ReadAs
from singerkit_state.shards import Shard, is_of
from singerkit_tap.changes import KEYS, listed, reset_of
from singerkit_tap.stream import BlockStream

__all__ = ["Division", "check_keys", "divided"]

_LOG = ""
"""For all streams that are read from one log."""


@dataclass(frozen=True)
class Division:
    """The streams of which a shard reads a part, and those that it leaves to others."""

    divided: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def divided(streams: Sequence[BlockStream], shard: Shard, log: Logger) -> Division:
    """Have streams read their part; what cannot be divided is read by one shard, and no more selected in the others.

    Raises:
        ConfigurationError: a stream that is divided says by a version which rows are gone, and those of the other shards would go.
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
    return Division(tuple(parts), tuple(left))


def check_keys(stream: BlockStream, part: Any) -> None:
    """See that rows are of the shards that they were of when the state was made.

    Raises:
        ConfigurationError: another key tells rows apart, and a bookmark of this shard would pass by rows that were of another one.
    """
    keys = ReadAs.of(part).source.get(KEYS)
    if (
        stream.shard is None
        or stream.is_partitioned  # by its contexts, whatever key its rows have
        or not isinstance(keys, list)
        or sorted(map(str, keys)) == sorted(stream.primary_keys)
    ):
        return
    raise ConfigurationError(
        f"The `primary_keys` of stream `{stream.name}`, by which its rows are divided into shards, were {listed(list(map(str, keys)))}, and are "
        f"{listed(list(stream.primary_keys))}, so that rows are of other shards than before; nothing was read: bring the former ones back, or have all "
        f"shards read it from the beginning, this one by {reset_of(stream)}."
    )


def _check_version(stream: BlockStream) -> None:
    if stream.sends_versions and (stream.bookmark_key is None or stream.sweeps_every is not None):
        raise ConfigurationError(
            f"Stream `{stream.name}` is read as a whole, and the version by which a target removes what is gone at the source would remove the "
            "rows of the other shards; nothing was read: set `activate_version` to false, give the stream a replication key, or read it "
            "without `--shard`."
        )
