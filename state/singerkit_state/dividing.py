"""The states of a pipeline that is divided into so many shards, made into those of another number of them.

What was read by all of them is below the lowest of their bookmarks: from there each new shard begins, and what comes again replaces itself by its
key. A stream that one shard reads as a whole goes on where that one was, and one that goes on by a position gets those of all shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_state.bookmarks import context_key
from singerkit_state.instants import NoInstantError, iso_instant
from singerkit_state.location import is_state_url, open_store, open_table
from singerkit_state.readas import READ_AS
from singerkit_state.shardfiles import base_of, shards_beside
from singerkit_state.shards import (
    Shard,
    are_of_one,
    is_of,
    location_of,
    owner_of,
    pipeline_and_shard,
    without_pipeline,
)
from singerkit_state.store import Store
from singerkit_state.value import Mark, encode, is_empty, read_mark, with_mark, without_mark

__all__ = ["Division", "divided", "division_of"]

_KEY, _VALUE, _PARTITIONS, _CONTEXT = "replication_key", "replication_key_value", "partitions", "context"
_POSITION = "_singerkit_position"
"""What a stream has read that goes on by it (`singerkit_tap.position`): its tap takes those of all former shards for one, and from that what is its own."""
_RUN = "divide"
"""What stands for the run in a state that no run has written."""


@dataclass(frozen=True)
class Division:
    """What is to be done: the states that are there, and those that take their place; ``again``: streams that are read from the beginning."""

    pipeline: str
    former: Mapping[Shard, Store]
    new: Mapping[Shard, tuple[Store, str]]
    again: Sequence[str]

    def carry_out(self) -> None:
        """Write the new states, then forget the former ones, each of which keeps its history.

        Where it is cut short it is to be done again: what is written is the same, and no run begins anew meanwhile.
        """
        for store, text in self.new.values():
            store.change(lambda _, text=text: text, _RUN)  # type: ignore[misc]
        for store in self.former.values():
            store.change(lambda _: None, _RUN)


def division_of(location: str, into: int) -> Division:
    """Return how the states of a pipeline are divided into those of ``into`` shards; nothing is changed yet.

    Raises:
        ConfigurationError: there are none, they are of that number already, or not all of them are complete.
    """
    stores = _stores(location)
    values: dict[Shard, Mapping[str, Any]] = {}
    for shard, store in stores.items():
        value = store.snapshot().value
        if value is not None and not (is_empty(value) and read_mark(value) is None):
            values[shard] = value
    former = {shard: value for shard, value in values.items() if shard.of != into}
    done = {shard: value for shard, value in values.items() if shard.of == into}
    if not former:
        raise ConfigurationError(
            f"There is {'a state of all rows' if into == 1 and done else f'a set of {into} shards' if done else 'no state'} of this pipeline in "
            "this place, and none of another number of shards; nothing was changed."
        )
    pipeline = _pipeline(former)
    if len(done) == into:  # it was cut short, while former ones were forgotten
        return Division(pipeline, {shard: stores[shard] for shard in former}, {}, [])
    new, again = divided(former, pipeline, into)
    for shard, there in done.items():
        if encode(there) != encode(new[shard]):
            raise ConfigurationError(
                f"There is a state of the shard {shard} of `{pipeline}` already, besides those of {next(iter(former)).of} shards; nothing was "
                "changed: forget those of one set with `singerkit-state reset`, and divide those of the other."
            )
    places = {shard: (open_store(_place(location, shard)), encode(value)) for shard, value in new.items()}
    return Division(pipeline, {shard: stores[shard] for shard in former}, places, again)


def divided(
    states: Mapping[Shard, Mapping[str, Any]], pipeline: str, into: int
) -> tuple[dict[Shard, dict[str, Any]], list[str]]:
    """Return the states of ``into`` shards, and the streams that they read from the beginning.

    Raises:
        ConfigurationError: the former ones are not of one number of shards, or not all complete, or of a tap of others.
    """
    _check(states, pipeline)
    of = next(iter(states)).of
    names = {name for state in states.values() for name in state.get("bookmarks") or {}}
    split = {name for state in states.values() for name in _mark(state).divided or ()}
    parts = {
        name: {shard: _part(state, name) for shard, state in states.items() if _part(state, name) is not None}
        for name in sorted(names)
    }
    merged = {
        name: _lowest(found, of) if name in split else _owned(name, found, of)
        for name, found in parts.items()
    }
    again = [
        name
        for name in merged
        if name in split and _has_bookmark(parts[name]) and not _has_bookmark({0: merged[name]})
    ]
    new = {}
    for number in range(into):
        shard = Shard(number, into)
        bookmarks = {name: _of_shard(part, shard) if name in split else part for name, part in merged.items()}
        new[shard] = with_mark({"bookmarks": bookmarks}, Mark(_RUN, shard.called(pipeline), complete=True))
    return new, again


def _check(states: Mapping[Shard, Mapping[str, Any]], pipeline: str) -> None:
    numbers = sorted({shard.of for shard in states})
    if len(numbers) > 1:
        raise ConfigurationError(
            f"There are states of `{pipeline}` of {' and of '.join(map(str, numbers))} shards; nothing was changed: forget those of one set with "
            "`singerkit-state reset`."
        )
    [of] = numbers
    # Where nothing is divided, a shard that has no state has never had anything to read.
    is_split = any(mark is not None and mark.divided for mark in map(read_mark, states.values()))
    wanted = [Shard(number, of) for number in range(of)] if is_split else [*states]
    open_ones = [
        shard
        for shard in wanted
        if shard not in states or (mark := read_mark(states[shard])) is None or not mark.complete
    ]
    if open_ones:
        shown = ", ".join(f"`{shard.called(pipeline)}`" for shard in open_ones[:5])
        more = f" and {len(open_ones) - 5} more" if len(open_ones) > 5 else ""
        raise ConfigurationError(
            f"Not all of `{pipeline}` has been read to its end: {shown}{more}; nothing was changed: run {'it' if of == 1 else 'these shards'} until "
            f"{'it ends' if len(open_ones) == 1 else 'they end'} with 0, then divide it. The state of a tap of others does not tell, and is to be reset."
        )
    beside = {name for state in states.values() for name in without_mark(dict(state)) if name != "bookmarks"}
    if beside:
        raise ConfigurationError(
            f"The state of `{pipeline}` has `{min(beside)}` beside its bookmarks, which cannot be divided; nothing was changed."
        )


def _mark(state: Mapping[str, Any]) -> Mark:
    mark = read_mark(state)
    assert mark is not None  # noqa: S101  `_check` has looked
    return mark


def _part(state: Mapping[str, Any], name: str) -> Any:
    return (state.get("bookmarks") or {}).get(name)


def _owned(name: str, parts: Mapping[Shard, Any], of: int) -> Any:
    """Return what the shard says that reads all of a stream; others may have what an earlier division gave them."""
    return parts.get(Shard(owner_of(name, of), of), next(iter(parts.values())))


def _lowest(parts: Mapping[Shard, Any], of: int) -> dict[str, Any]:
    """Return the part of a stream up to where all shards have read it."""
    found = [part for part in parts.values() if isinstance(part, Mapping)]
    read_as = next((part[READ_AS] for part in found if READ_AS in part), None)
    merged: dict[str, Any] = {} if read_as is None else {READ_AS: read_as}
    keys = {str(part.get(_KEY)) for part in found}
    value = lowest([part.get(_VALUE) for part in found]) if len(found) == of and len(keys) == 1 else None
    if value is not None:
        merged |= {_KEY: found[0].get(_KEY), _VALUE: value}
    positions = {
        str(shard): part[_POSITION]
        for shard, part in parts.items()
        if isinstance(part, Mapping) and _POSITION in part
    }
    if positions:
        merged[_POSITION] = {"shards": positions}
    if any(_PARTITIONS in part for part in found):
        merged[_PARTITIONS] = [*_partitions(parts).values()]
    return merged


def _partitions(parts: Mapping[Shard, Any]) -> dict[str, Any]:
    """Return the partitions of all shards, each from the one that reads it."""
    found: dict[str, Any] = {}
    for shard, part in parts.items():
        for entry in part.get(_PARTITIONS) or ():
            key = context_key(entry.get(_CONTEXT, {}))
            if key not in found or is_of(shard, key):
                found[key] = entry
    return found


def _of_shard(part: Any, shard: Shard) -> Any:
    if not isinstance(part, Mapping) or _PARTITIONS not in part:
        return part
    return {
        **part,
        _PARTITIONS: [one for one in part[_PARTITIONS] if is_of(shard, context_key(one.get(_CONTEXT, {})))],
    }


def _has_bookmark(parts: Mapping[Any, Any]) -> bool:
    return any(isinstance(part, Mapping) and part.get(_VALUE) is not None for part in parts.values())


def lowest(values: Sequence[Any]) -> Any:
    """Return the lowest of some bookmarks; None where one is missing, or their order is not known here."""
    if all(isinstance(value, int | Decimal) and not isinstance(value, bool) for value in values):
        return min(values)
    if not all(isinstance(value, str) for value in values):
        return None
    if len({*values}) == 1:
        return values[0]
    try:
        return min(values, key=iso_instant)
    except NoInstantError:
        return None


def _pipeline(states: Mapping[Shard, Mapping[str, Any]]) -> str:
    names = [mark.pipeline for state in states.values() if (mark := read_mark(state)) is not None]
    return pipeline_and_shard(names[0])[0] if names else "default"


def _stores(location: str) -> dict[Shard, Store]:
    """Return the states of a pipeline that there are, of all rows and of shards."""
    if not is_state_url(location) or location.startswith("file:"):
        return {shard: open_store(path) for shard, path in shards_beside(location).items()}
    name = open_store(location).pipeline or ""
    table = open_table(without_pipeline(location))
    names = [one.pipeline for one in table.snapshots() if one.text is not None] if table is not None else []
    shards = [pipeline_and_shard(one)[1] for one in names if one is not None and are_of_one(one, name)]
    return {shard: open_store(_place(location, shard)) for shard in shards}


def _place(location: str, shard: Shard) -> str:
    if not is_state_url(location) or location.startswith("file:"):
        return shard.file_of(base_of(location))
    return location_of(location, shard)
