"""What has changed since a stream was read last, and is not loaded because its bookmark stays where it is.

The bookmark says that all rows before it were read: as the config was then. One that asks for more brings nothing of
what stands before it. A run says so once, since the next state says what this one has asked for (decision 21).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from singerkit_state.bookmarks import DRIVEN, remembered_by
from singerkit_state.order import ValueKind, order_key
from singerkit_state.others import bookmark_left
from singerkit_state.readas import ReadAs, may_be_stored
from singerkit_tap.position import POSITION
from singerkit_tap.stream import BlockStream

__all__ = [
    "KEYS",
    "PARTS",
    "WHOLE",
    "change_since",
    "comes_whole",
    "deselected_sentence",
    "earlier",
    "gone_sentence",
    "listed",
    "recased_sentence",
    "resent_sentence",
    "reset_of",
    "whole_sentence",
    "withdrawn_sentence",
]

KEYS = "keys"
PARTS = "parts"
"""What the parts of a stream follow from that is divided into shards, besides the names of its key."""
"""The part of `ReadAs.source` that holds the primary key."""

WHOLE = "whole"
"""True in `ReadAs.source` where the last run read the stream as a whole: a bookmark beside it is of a former time."""
_SHOWN = 5


def change_since(stream: BlockStream, part: Mapping[str, Any], start_date: str | None) -> str | None:
    """Return a sentence about what the part of the state has that this run does not ask for; None: nothing.

    ``start_date`` is that of this run.
    """
    former = ReadAs.of(part)
    if not former.is_known:
        return None
    if comes_whole(stream):
        moved = _moved(stream, former)
        # Where no load tells a target what is gone, nothing is new in that rows stay there.
        keys = [*_other_keys(stream, former)] if stream.sends_versions else []
        stay = "rows that only came before stay in the target"
        if keys:
            stay = (
                "what came before stays in the target beside the rows that come now, unless the target follows ACTIVATE_VERSION; to "
                f"have each row once, run {stream.way_to_start_over}, empty its table, and run again"
            )
        return _told(stream, [*moved, *keys], f"It is read as a whole, and {stay}")
    found = [*_moved(stream, former), *_other_keys(stream, former)]
    if stream.is_log_based:
        if not _has_bookmark(part):
            return None
        found += _new_fields(stream, former)
        return _told(stream, found, _kept_back(stream, "goes on in the log", "rows that do not change"))
    if stream.asks_onward:
        if moved := _moved(stream, former):
            return _told(
                stream,
                moved,
                "It is read from the beginning, and rows that only came before stay in the target",
            )
        found += _new_fields(stream, former)
        return _told(stream, found, _kept_back(stream, "goes on", "rows that do not change"))
    if stream.goes_on_by_position:
        if not stream.has_read(part.get(POSITION)):
            return None
        found += _new_fields(stream, former)
        return _told(stream, found, _kept_back(stream, "goes on", "what was read before"))
    if stream.bookmark_key is None:
        return _told(stream, found, _kept_back(stream, "is read for parents that have changed", "others"))
    if not _has_bookmark(part if stream.selected else part.get(DRIVEN) or {}):
        return None
    found += _widened(stream, former, start_date)
    return _told(stream, found, _kept_back(stream, "goes on from its bookmark", "rows before that"))


def _has_bookmark(part: Mapping[str, Any]) -> bool:
    return part.get("replication_key_value") is not None or bool(part.get("partitions"))


def _moved(stream: BlockStream, former: ReadAs) -> list[str]:
    now = stream.asks_of()
    return [
        words
        for name, words in stream.advice.places.items()
        if now.get(name) is not None and name in former.source and now[name] != former.source[name]
    ]


def _other_keys(stream: BlockStream, former: ReadAs) -> Iterator[str]:
    """Rows that took each other's place under the former key come again only if all of them do."""
    keys = former.source.get(KEYS)
    if (
        not stream.selected
        or not isinstance(keys, list)
        or sorted(map(str, keys)) == sorted(stream.primary_keys)
    ):
        return
    shown = " and ".join(f"`{name}`" for name in map(str, keys))
    yield f"`primary_keys` were {shown}" if keys else "it had no `primary_keys`"


def _widened(stream: BlockStream, former: ReadAs, start_date: str | None) -> Iterator[str]:
    kind = stream.bookmark_kind
    if (kind.is_time or kind.name == "ANY") and earlier(start_date, former.start_date) != former.start_date:
        yield "`start_date` is earlier" if start_date else "there is no `start_date` any more"
    yield from _new_fields(stream, former)


def _new_fields(stream: BlockStream, former: ReadAs) -> Iterator[str]:
    if not former.knows_all_fields or not stream.selected:
        return
    known = {*former.fields, *_recased(stream, former).values()}
    new = [name for name in stream.kinds if name not in known and may_be_stored(name)]
    if new:
        yield f"it is sent with {listed(new)}, which the run before did not send"


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name[:60]}`" for name in names[:_SHOWN]) + more


def gone_sentence(stream: BlockStream, names: Sequence[str]) -> str:
    """Return what is told of fields that records had before, and none has now that all were read."""
    it = "it is" if len(names) == 1 else "they are"
    return (
        f"No record of stream `{stream.name}` has {listed(names)} any more; {it} null from now on, also in rows that had a "
        "value. If the source has renamed a field, the new name is another column; this is said once."
    )


def whole_sentence(stream: BlockStream, part: Mapping[str, Any], former: ReadAs) -> str | None:
    """Return what is told, once, of a stream that has a bookmark and is now read as a whole."""
    is_whole = stream.bookmark_key is None and not stream.is_log_based
    named = bookmark_left(part) if is_whole and stream.selected else None
    if named is None or former.source.get(WHOLE):
        return None
    return (
        f"Stream `{stream.name}` is read as a whole now: the bookmark by `{named}` that the state has of it counts for nothing, "
        "and stays for the day that `replication_key` comes back. This is said once."
    )


def withdrawn_sentence(stream: BlockStream, part: Mapping[str, Any], former: ReadAs) -> str | None:
    """Return what is told of fields that the config added to the records of the run before, and adds no more."""
    names = sorted((former.added & former.fields.keys()) - {*stream.kinds, *stream.adds})
    if not names or not stream.selected:
        return None
    it, they, were = ("it", "it", "was") if len(names) == 1 else ("them", "they", "were")
    # What nobody knows to be the parent's key tells its rows apart, by the name that it has.
    tells = stream.context_fields is None or bool(remembered_by(part).intersection(names))
    twice = (
        " Rows that are asked for again are not recognised without, and are there twice, since the stream has no key: to have "
        f"each once, run {reset_of(stream)}."
        if stream.bookmark_key is not None and not stream.primary_keys and tells
        else ""
    )
    return (
        f"Stream `{stream.name}` is sent without {listed(names)} from now on, unless its records have {it}: {they} {were} "
        f"added by the config, which does so no more. What is stored there stays as it is; this is said once.{twice}"
    )


def _recased(stream: BlockStream, former: ReadAs) -> dict[str, str]:
    """Return the fields of the run before that are there with other letters, large for small ones, and what they are now."""
    now = {name.casefold(): name for name in stream.kinds if name not in former.fields}
    return {
        name: now[name.casefold()]
        for name in sorted(former.fields)
        if name not in stream.kinds and name.casefold() in now
    }


def recased_sentence(stream: BlockStream, former: ReadAs) -> str | None:
    """Return what is told of fields that differ from those of the run before by large and small letters alone."""
    pairs = _recased(stream, former)
    if not pairs or not stream.selected:
        return None
    shown = ", ".join(f"`{old[:60]}` is `{new[:60]}` now" for old, new in list(pairs.items())[:_SHOWN])
    old, new = next(iter(pairs.items()))
    return (
        f"Of stream `{stream.name}` {shown}. A target that takes both names for one column (target-duckdb) goes on with it. Where "
        f"there are two columns from now on (target-postgres), `{old[:60]}` keeps what it has, and `{new[:60]}` is null in rows that do not "
        "come again: there, copy it from the one to the other, and drop the former; this is said once."
    )


def deselected_sentence(stream: BlockStream, former: ReadAs) -> str | None:
    """Return what is told of fields that the run before has sent, and that the config or the catalog leaves out now."""
    names = sorted(
        former.fields.keys() - {*stream.kinds, *stream.adds, *_recased(stream, former)} - former.added
    )
    if not names or not stream.selected or not stream.kinds:
        return None
    it = "it" if len(names) == 1 else "them"
    why = stream.advice.leaves_out.replace("{it}", it)
    return (
        f"Stream `{stream.name}` is sent without {listed(names)} from now on, since {why}. What is stored there stays as it is, in rows that change later, too: if nobody should take old values for new "
        f"ones, drop {it} in the target; this is said once."
    )


def resent_sentence(stream: BlockStream, part: Mapping[str, Any], former: ReadAs) -> str | None:
    """Return what is told of rows that the state remembers with other fields than are sent now (of keyed streams: by all of them)."""
    is_compared = bool(stream.primary_keys) and stream.bookmark_key is not None and _has_bookmark(part)
    if not (is_compared and stream.selected and stream.kinds and former.knows_all_fields):
        return None
    if former.fields.keys() == stream.kinds.keys():
        return None
    return (
        f"Rows of stream `{stream.name}` that are asked for again are sent once more, since they have other fields than in the run "
        "before: they take their place by their key, but a target that appends has them twice. This is said once."
    )


def earlier(one: str | None, other: str | None) -> str | None:
    """Return the earlier of two start dates; None is the beginning of all."""
    if one is None or other is None:
        return None
    return min(other, one, key=lambda text: order_key(text, ValueKind.INSTANT))


def comes_whole(stream: BlockStream) -> bool:
    """Tell whether each run reads all rows of a stream, whatever its state says."""
    goes_on = stream.is_log_based or stream.asks_onward or stream.goes_on_by_position
    is_whole = stream.bookmark_key is None and not goes_on
    return is_whole and stream.sees_all_parents


def reset_of(stream: BlockStream) -> str:
    """Return what has all rows of a stream come again, to follow `run`."""
    first = (
        ""
        if stream.primary_keys
        else ", empty its table, since it has no key and its rows would be there twice,"
    )
    return f"{stream.way_to_start_over}{first} and run again"


def _told(stream: BlockStream, found: Sequence[str], so: str) -> str | None:
    if not found:
        return None
    return f"Stream `{stream.name}` is read otherwise than by the run before: {'; '.join(found)}. {so}; this is said once."


def _kept_back(stream: BlockStream, how: str, what: str) -> str:
    return f"It {how} all the same, so what this would bring of {what} is not loaded. If it should be, run {reset_of(stream)}"
