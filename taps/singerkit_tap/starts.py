"""What is checked before the first message: does each stream understand its part of the state, and the start?

A state that is not understood and is taken for none reads everything again; a start date or a lookback that means
nothing to a replication key leaves rows out that were asked for. Both would end with 0.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_state.bookmarks import DRIVEN
from singerkit_state.order import UnorderableError, starting_value
from singerkit_state.others import (
    StateError,
    bookmark_left,
    check_no_log_of_others,
    recognised_part,
    unwrapped,
    was_loaded_by_others,
)
from singerkit_state.readas import ReadAs
from singerkit_state.value import read_mark, without_mark
from singerkit_tap.changes import WHOLE, reset_of
from singerkit_tap.contract import Context
from singerkit_tap.fullload import LOAD
from singerkit_tap.log_state import LOG, check_part
from singerkit_tap.stream import BlockStream

__all__ = ["check_contexts", "checked_state", "former_read", "told_apart_by", "unknown_to_config"]


def checked_state(
    state: Mapping[str, Any], pipeline: str, streams: Sequence[BlockStream], start_date: str | None
) -> dict[str, Any]:
    """Return the state to continue in our shape, without a mark; ``streams`` are all streams of the tap.

    Raises:
        ConfigurationError: a state, a stream's part of it, a start date or a lookback that has no meaning here.
    """
    try:
        value = unwrapped(state, [stream.name for stream in streams])
    except StateError as error:
        raise ConfigurationError(f"{error}.") from None
    mark = read_mark(value)
    if mark is not None and mark.pipeline != pipeline:
        raise ConfigurationError(
            f"The state belongs to the pipeline `{mark.pipeline}`, this run is of the pipeline `{pipeline}`; give the "
            "state of this pipeline, or set `pipeline` in the config."
        )
    value = without_mark(value)
    parts: dict[str, Any] = dict(value.get("bookmarks") or {})
    for stream in streams:
        if _is_read(stream):
            if stream.name in parts:
                parts[stream.name] = _checked_part(parts[stream.name], stream, value.get(LOG))
            _check_start(stream, parts.get(stream.name) or {}, stream.start_date or start_date)
    return {**value, "bookmarks": parts} if parts or "bookmarks" in value else value


def unknown_to_config(
    parts: Mapping[str, Any], streams: Sequence[BlockStream]
) -> tuple[BlockStream, str] | None:
    """Return a sentence for somebody who gave a stream another name, by mistake or not, with the stream it is about.

    ``parts`` are those of the state by stream. A stream that is only taken out of the config is no more than mentioned.
    """
    names = {stream.name for stream in streams}
    gone = [name for name in parts if name not in names]
    new = [stream for stream in streams if stream.selected and stream.name not in parts]
    if not gone:
        return None
    at_source = streams[0].names_at_source
    if at_source is not None:
        return _told_of_gone([name for name in gone if name not in at_source], new, streams[0])
    known = f"The state knows {_few(gone)}, which the config does not have"
    if not new:
        streams[0].tap.logger.info("%s; what it says of them stays as it is.", known)
        return None
    pairs = [(stream, difflib.get_close_matches(stream.name, gone, 1)) for stream in new]
    stream, near = next((pair for pair in pairs if pair[1]), (new[0], []))
    meant = (
        f"`{stream.name}` is meant to be `{near[0][:60]}`" if near else "one of them is known by another name"
    )
    return stream, (
        f"{known}; {_few([stream.name for stream in new])} {'is' if len(new) == 1 else 'are'} read from the beginning. If "
        f"{meant}, correct `name` and run again; if not, nothing is lost. To hear no more of `{gone[0][:60]}`, run {stream.way_to_start_over_of(gone[0])}."
    )


def _told_of_gone(
    gone: Sequence[str], new: Sequence[BlockStream], first: BlockStream
) -> tuple[BlockStream, str] | None:
    """Return what is told of streams that the source does not have any more; it names its streams, not the config."""
    if not gone:
        return None
    recased = next(((n, s) for n in gone for s in new if n.casefold() == s.name.casefold()), None)
    if recased is not None:
        return _told_of_another_case(*recased)
    it, they, was, their = ("it", "it", "was", "its") if len(gone) == 1 else ("them", "they", "were", "their")
    came = (
        f" If {they} {was} renamed: {_few([stream.name for stream in new])} {'is' if len(new) == 1 else 'are'} read from the "
        "beginning, into a table of that name."
        if new
        else ""
    )
    return first, (
        f"The source does not have {_few(gone)} any more, which the state knows: nothing of {it} is read, and {their} rows stay in the "
        f"target as they are.{came} To hear no more of `{gone[0][:60]}`, run {first.way_to_start_over_of(gone[0])}."
    )


def _told_of_another_case(former: str, stream: BlockStream) -> tuple[BlockStream, str]:
    known = f"`{former[:60]}`, which the state knows, is `{stream.name[:60]}` at the source now"
    forget = stream.way_to_start_over_of(former)
    if not stream.primary_keys:
        raise ConfigurationError(
            f"{known}, and has no key: read from the beginning its rows would be there twice in a target that takes both names for one "
            "(target-duckdb); nothing was read. Give it its former name back, by way of a third one; or forget the former with "
            f"{forget}, empty its table, and run again."
        )
    return stream, (
        f"{known}: it is read from the beginning. A target that takes both names for one (target-duckdb) replaces its rows by their "
        "key; another one (target-postgres) has two tables from now on, and nothing comes into the former. To hear no more of it, run "
        f"{forget}."
    )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"`{name[:60]}`" for name in names[:5]) + more


def former_read(state: Mapping[str, Any], stream: str) -> ReadAs:
    """Return how a stream was read before, from a state that nobody has checked yet."""
    try:
        part = (unwrapped(state, [stream]).get("bookmarks") or {}).get(stream)
    except StateError:  # is refused before anything is read for good
        part = None
    return ReadAs.of(part)


def _is_read(stream: BlockStream) -> bool:
    return bool(stream.selected or stream.has_selected_descendents)


def _checked_part(part: Any, stream: BlockStream, log: Any) -> Any:
    key = stream.bookmark_key
    try:
        if stream.is_log_based or key is not None or not stream.primary_keys:
            check_no_log_of_others(part)
        if stream.is_log_based:
            return check_part(part, log)
        part = recognised_part(part, key)
        if key is not None and not stream.selected:
            recognised_part(part.get(DRIVEN), key)
        if key is None:
            _check_full_table(part, stream)
        else:
            _check_partitions(part, stream)
            _check_former_loads(part, stream)
    except StateError as error:
        raise ConfigurationError(
            f"The state of stream `{stream.name}` cannot be continued: {error}; nothing was read. Correct the config or "
            f"the state, {stream.way_to_go_on}or start the stream over: run {reset_of(stream)}."
        ) from None
    return part


def _check_former_loads(part: Mapping[str, Any], stream: BlockStream) -> None:
    """Refuse rows that full loads have sent, and that nothing would recognise when they come by a replication key."""
    if stream.selected and not stream.primary_keys and _was_read_whole(part):
        raise StateError(
            f"it was read as a whole before, and is now read by `{stream.bookmark_key}`, without a key, so that all of its rows "
            "would come once more and be there twice"
        )


def _was_read_whole(part: Mapping[str, Any]) -> bool:
    if part.get(LOAD) is not None or ReadAs.of(part).source.get(WHOLE):
        return True
    has_bookmark = part.get("replication_key_value") is not None or part.get("partitions")
    return not has_bookmark and was_loaded_by_others(part)


def _check_full_table(part: Mapping[str, Any], stream: BlockStream) -> None:
    named = bookmark_left(part)
    if named is not None and not stream.primary_keys:
        raise StateError(
            f"it has a bookmark by `{named}`, and the stream is now read as a whole, without a key"
        )


def _check_partitions(part: Mapping[str, Any], stream: BlockStream) -> None:
    """Refuse bookmarks of partitions for a stream that has none of its own, and one bookmark where rows of partitions would double."""
    has_one = part.get("replication_key_value") is not None
    keeps_each = stream.is_partitioned and (stream.parent is None or stream.partition_bookmarks)
    if part.get("partitions") and not has_one and not keeps_each:
        raise StateError("it has bookmarks of partitions, and the stream keeps one bookmark for all")
    if keeps_each and has_one and not part.get("partitions") and stream.selected and not stream.primary_keys:
        raise StateError(
            "it has one bookmark, and the stream, which has no key, keeps one for each partition, so that all of its rows would come once "
            "more and be there twice"
        )


def told_apart_by(fields: Collection[str] | None, part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the state whose contexts have no more than ``fields``; of those that become one the last counts."""
    entries = part.get("partitions")
    if fields is None or not isinstance(entries, list):
        return part
    return {**part, "partitions": [_told_apart(entry, {*fields}) for entry in entries]}


def _told_apart(entry: Any, fields: set[str]) -> Any:
    context = entry.get("context") if isinstance(entry, Mapping) else None
    if not isinstance(context, Mapping) or not fields < context.keys():
        return entry
    if any(context[name] is None for name in fields):  # a null is the key of no parent
        return entry
    return {**entry, "context": {name: value for name, value in context.items() if name in fields}}


def check_contexts(stream: BlockStream, part: Mapping[str, Any], context: Context) -> None:
    """Refuse bookmarks of partitions that are told apart by other fields than those of this run.

    Raises:
        ConfigurationError: no partition of the state could be one of this run.
    """
    contexts = [entry.get("context") for entry in part.get("partitions") or ()]
    own = {*(stream.context_fields or ())}
    known = [one.keys() for one in contexts if isinstance(one, Mapping) and one]
    formers = [former.keys() for former in stream.former_contexts(context)]
    if known and not any(
        fields in (context.keys(), *formers) or (own and own <= fields and own <= context.keys())
        for fields in known
    ):
        raise ConfigurationError(
            f"The state of stream `{stream.name}` cannot be continued: its partitions are told apart by "
            f"{_fields(known[0])}, those of this run by {_fields(context)}; nothing of the stream was read. Correct the "
            f"config or the state, {stream.way_to_go_on}or start the stream over with {stream.way_to_start_over}."
        )


def _fields(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _check_start(stream: BlockStream, part: Mapping[str, Any], start_date: str | None) -> None:
    if stream.bookmark_key is None:
        return
    problem = stream.order_problem()
    if problem is not None:
        raise ConfigurationError(f"{problem}.")
    kind = stream.bookmark_kind
    if stream.lookback and not kind.can_look_back:
        raise ConfigurationError(
            f"`lookback` means nothing to `{stream.bookmark_key}`, the replication key of stream `{stream.name}`, "
            "which is compared as text or as a version; leave it out."
        )
    if stream.lookback and stream.selected and not stream.primary_keys:
        raise ConfigurationError(
            f"{stream.advice.lookback or '`lookback`'} of stream `{stream.name}` needs a key: the rows of the window come again in each "
            "run, and without one nothing could tell them from new ones, so that they would be there twice; nothing was read. Give "
            "the stream the key that tells its rows apart, or leave the lookback out."
        )
    has_bookmark = part.get("replication_key_value") is not None or part.get("partitions")
    if start_date is None or has_bookmark or _means_something(start_date, stream):
        return
    if not kind.is_told:
        raise ConfigurationError(
            f"`start_date` means nothing to `{stream.bookmark_key}`, the replication key of stream `{stream.name}`, "
            'which holds numbers; set `"replication_key_format"` of the stream to `"epoch"` or `"epoch_ms"` if they are '
            'points in time, or to `"number"` to read it from the beginning.'
        )
    stream.logger.warning(
        "`start_date` does not count for stream `%s`: its replication key is no point in time.", stream.name
    )


def _means_something(start_date: str, stream: BlockStream) -> bool:
    try:
        return starting_value(start_date, stream.bookmark_kind) is not None
    except UnorderableError:
        raise ConfigurationError(
            "Expected a date-time like `2024-01-01T00:00:00Z` at `start_date`, got something else."
        ) from None
