"""What a user of tap-rest can set against what the engine finds."""

from __future__ import annotations

import json
from collections.abc import Sequence

from singerkit_shell.words import counted
from singerkit_tap.advice import Advice
from tap_rest.settings.fields import text_of
from tap_rest.settings.stream import StreamSettings

__all__ = [
    "ADVICE",
    "advice_on_equal_parents",
    "advice_on_moved_rows",
    "advice_on_parents",
    "keys_to_set",
    "why_no_key_inside",
]

ADVICE = Advice(
    more_memory="raise `bookmark.memory`",
    more_partitions="raise `bookmark.partitions` of the stream",
    fewer_again="raise `bookmark.memory`, or set `bookmark.signpost` to `date_header` if the source's `Date` is the clock of the "
    "replication key",
    no_clock="set `bookmark.signpost` to `read_before`",
    margin="`bookmark.margin`",
    lookback="`incremental.lookback`",
    exclusive='`"from": "exclusive"` in `incremental`',
    local_times="set `time_zone` (`UTC` if it is that)",
    leaves_out="the selection or a declared `schema` leaves {it} out",
    places={
        "where": "`base_url` or `path` names another place",
        "asks": "`params`, `headers`, `pagination` or the like ask for something else",
        "parent": "its parent is read from another place, or asked for something else",
        "values": "`for_each` lists other values",
        "records": "`records` names another place",
    },
)


def advice_on_moved_rows(keys: Sequence[str]) -> str:
    """Return what helps where rows with these ``keys`` move between numbered pages."""
    first = keys[0] if keys else "id"
    return (
        "ask for an order that is the same on each page, by a field that is unique (in `params`, as the API has it, like "
        f'`"sort": "{first}"`), or page by `keyset` or `cursor`'
    )


def keys_to_set(
    settings: StreamSettings, keys: Sequence[str], field: str | None, parent_keys: Sequence[str] | None
) -> str:
    """Return the lines of the config that add ``field`` to the ``keys`` of a stream.

    ``parent_keys`` are added, too, copied from the parent, and the values of lists; None: they are not wanted.
    """
    wanted, copy = [*keys, *([field] if field else [])], ""
    if parent_keys is not None and settings.parent is not None:
        of_parent = parent_keys or settings.parent_fields or ("id",)
        copies = {name: field for name, field in settings.copies.items() if field in of_parent}
        if not {*of_parent} <= {*copies.values()}:
            copies = {f"{settings.parent.stream}_{name}": name for name in of_parent}
            copy = f'`"copy": {json.dumps(copies | (settings.parent.copy or {}))}` in `parent`, and '
        wanted = [*copies, *(key for key in wanted if key not in copies)]
    if parent_keys is not None:
        wanted = [*(name for name in settings.for_each if name not in wanted), *wanted]
    if len(wanted) > len(keys):
        wanted = [text_of(settings.copied[key]) if key in settings.copied else key for key in wanted]
        return f'set {copy}`"primary_keys": {json.dumps(wanted)}`'
    return "add the field that tells such rows apart to `primary_keys`"


def advice_on_parents(settings: StreamSettings, parent_keys: Sequence[str]) -> str | None:
    """Return the lines of the config by which the parents of a stream are told apart by their ``parent_keys``."""
    parent = settings.parent
    if parent is None:
        return None
    copy = {f"{parent.stream}_{key}": key for key in parent_keys or ("id",)} | (parent.copy or {})
    own = "" if parent_keys else f'give stream `{parent.stream}` its `primary_keys`, like `["id"]`, and '
    return f'{own}set `"copy": {json.dumps(copy)}` in `parent`, so that its key tells parents apart'


def advice_on_equal_parents(settings: StreamSettings) -> str:
    """Return the lines of the config by which parents of one key are told apart."""
    parent = settings.parent.stream if settings.parent else ""
    return (
        f"name in `primary_keys` of stream `{parent}` fields that are unique, and copy them (`parent.copy`); or set "
        f'`"duplicate_keys": "warn"` of stream `{parent}`, so that all that is taken of it tells its rows apart'
    )


def why_no_key_inside(settings: StreamSettings, name: str, records: int) -> str | None:
    """Return, as the end of a sentence, that a key is inside a field which no record has; None: it is none of these."""
    if name not in settings.copied:
        return None
    path = text_of(settings.copied[name])
    return (
        f"is what stands at `{path}`, and none of the {counted(records, 'record')} that this run has asked for to find it has anything "
        f"there; correct it (a field at the top whose name has dots stands in brackets, `{text_of([path])}`), or declare `{name}` in `schema`"
    )
