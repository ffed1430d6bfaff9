"""What the config of a stream leaves in doubt, in sentences: rows that may be missed, though no answer shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from singerkit_shell.secrets import redactor
from tap_rest.incremental import field_of_change, is_of_creation, other_field_asked, said_of_bookmark
from tap_rest.masking import texts_inside
from tap_rest.paths import filters
from tap_rest.schema.contract import listed
from tap_rest.settings.stream import StreamSettings

__all__ = [
    "advice_on_order",
    "fate_of_nulls",
    "told_of_absent_parents",
    "told_of_creation",
    "told_of_lacking_parents",
    "told_of_lost_copy",
    "told_of_lost_page",
    "told_of_lost_parameters",
    "told_of_null_keys",
    "told_of_old_catalog",
    "told_of_other_field",
    "told_of_shifting_pages",
    "told_of_skipped_parents",
    "told_of_uneven_pages",
]

_ORDERS = re.compile(r"(?i)sort|order|direction|^dir$")
_FALLS, _RISES = re.compile(r"(?i)desc|^-"), re.compile(r"(?i)asc|^\+")
_NOT_ASKED = (
    "are not asked for (`incremental`), unless the API gives them to every question: choose a key that is never null, or "
    "leave `incremental` out, so that each run reads all rows"
)
_EACH = '(`"bookmarks": "each"` in `parent`) has no such gap.'


def told_of_shifting_pages(settings: StreamSettings, number: str | None) -> str:
    """Say that rows may shift between pages that are numbered, in the links or tokens by ``number``."""
    shown = "" if number is None else f" (`{redactor.mask_foreign(number)}`)"
    twice = "" if settings.primary_keys else ", and others come twice"
    return (
        f"Stream {settings.name} is read by numbered pages{shown}: rows that shift between them when the source changes "
        f"meanwhile may be missed{twice} (see `--about`). {_way_without_shifts(settings)}"
    )


def told_of_absent_parents(settings: StreamSettings) -> str | None:
    """Return what is missed below parents that are not there for a run, where the bookmark is shared."""
    if not settings.shares_bookmark:
        return None
    return (
        f"All parents of stream {settings.name} share one bookmark: what changes below one that is not in the list of parents for a "
        f"run, or stands below a new one already, may be missed (see `--about`). One bookmark each {_EACH}"
    )


def told_of_skipped_parents(settings: StreamSettings) -> str | None:
    """Return what is missed below a parent that is passed over, where the bookmark is shared."""
    if not settings.shares_bookmark:
        return None
    return (
        f"Stream {settings.name} was not found below a parent, and its one bookmark moves on all the same: what changed "
        f"there before is not asked for when it is found again. One bookmark for each parent {_EACH}"
    )


def told_of_lost_page(where: str, status: int, says: str) -> str:
    """Say that a page behind the first is not there: that is no child that is gone, and its rows have not been read."""
    setting, fate = (
        ("on_404", "it was not found (404)") if status == 404 else ("skip", f"it was answered {status}")
    )
    return (
        f"Expected {where}, since the page before was not the last, and {fate}: `{setting}` passes over a child whose first page is "
        f'answered so. Run again; if the API answers so behind the last page, say `"end_status": [{status}]` in `pagination`, or what else '
        "shows that a page is the last (`total_pages`, `total_count`, `has_more`, `is_last`, or `stop_on_short_page` with `size`). "
        f"It says: {says}"
    )


def told_of_lost_parameters(name: str, left_out: Sequence[str]) -> str:
    """Say that the answers come from elsewhere, where nothing of some parameters is to be seen."""
    shown = redactor.mask_foreign(", ".join(f"`{parameter}`" for parameter in left_out))
    return (
        f"Answers of stream {name} come by a redirect to another path, without {shown} of what was asked for: unless the API has "
        "put them into what it leads to, the rows answer another question. Write `base_url` and `path` as the redirect has them, "
        "so that the parameters arrive; if it is right, those parameters have no effect and can be left out."
    )


def told_of_other_field(
    settings: StreamSettings, key: str | None, properties: Mapping[str, Any]
) -> str | None:
    """Return that the parameter sounds as if the API compared another field with the bookmark."""
    incremental = settings.incremental
    if incremental is None or key is None:
        return None
    asked = other_field_asked(said_of_bookmark(settings), key, properties)
    if asked is None:
        return None
    by = incremental.param or "{bookmark}"
    return (
        f"Stream {settings.name} asks by `{by}`, which sounds like {asked}, and its replication key is "
        f"`{key}`: if the API compares another field with it, rows that change later than they are dated there are "
        f"never sent, and no answer shows it. Ask by a parameter that goes by `{key}`, or leave `incremental` out."
    )


def told_of_creation(settings: StreamSettings, key: str | None, properties: Mapping[str, Any]) -> str | None:
    """Return that changes of a row do not come where the key is the time of its creation."""
    if key is None or not settings.primary_keys or not is_of_creation(key):
        return None
    other = field_of_change(properties)
    better = f"`{other}`" if other else "the time of the change, if the records have one"
    return (
        f"Stream {settings.name} is read by `{key}`, which by its name is the time of creation: a row that changes later keeps "
        f"it, so its change is not asked for. If rows change, set `replication_key` to {better}, have the last days asked "
        "for again (`incremental.lookback`), or leave `replication_key` out. If none does, as with events, all is well. "
        "This is said in the first run."
    )


def told_of_null_keys(
    settings: StreamSettings, key: str | None, *, had_some: bool, may_be_some: bool
) -> str | None:
    """Return that rows without a replication key are not asked for, where there may be some."""
    if settings.incremental is None or key is None:
        return None
    if had_some:
        return (
            f"Rows of stream {settings.name} had no value in the replication key `{key}` in an earlier run, and such rows that "
            f"have come or changed since {_NOT_ASKED}."
        )
    if may_be_some:
        return (
            f"The schema of stream {settings.name} lets its replication key `{key}` be null, and rows without one that come "
            f"after the first run {_NOT_ASKED}; if it is never null, leave `null` out of its type."
        )
    return None


def fate_of_nulls(settings: StreamSettings) -> str:
    """Return what becomes, in later runs, of rows without a replication key."""
    if settings.incremental is None:
        return "is sent again by each run"
    return f"such rows that come or change later {_NOT_ASKED}"


def told_of_lost_copy(
    stream: str, parent: str, field: str, names: Sequence[str], way_to_start_over: str
) -> str:
    """Say that no parent had the ``field`` that is copied as ``names``, or that fills the request: it may be mistyped."""
    if not names:
        return (
            f"No record of stream {parent} had the field `{field}`, by which stream {stream} is read, so none of it was asked for. If the "
            "name is mistyped, correct `path` or `params`; if records have it now and then, all is well."
        )
    return (
        f"Stream {stream} copies `{field}` of stream {parent} to `{names[0]}`, and none of its records had that field: "
        f"`{names[0]}` is null in all rows of this run. If the name is mistyped, correct `parent.copy` and start the stream "
        f"over with {way_to_start_over}; if records have it now and then, all is well."
    )


def told_of_lacking_parents(stream: str, parent: str, field: str) -> str:
    """Say that records without a ``field`` that fills the request were passed over."""
    return (
        f"Records of stream {parent} lack the field `{field}`, by which stream {stream} is read: they count as having none of it, as those "
        'where it is null. Set `"on_missing"` in `parent` to `"skip"` if that is right, or to `"fail"`.'
    )


def told_of_old_catalog(name: str, newer: Sequence[str]) -> str | None:
    """Return that the catalog lacks the fields ``newer``, or has them with fewer types."""
    if not newer:
        return None
    return (
        f"The catalog is older than what was found of stream {name}: it lacks, or has with fewer types, "
        f"{listed(newer)}, sent as found; to have it up to date, make it again with --discover, or say there or in "
        "`select` which fields are not to be sent."
    )


def told_of_uneven_pages(name: str) -> str:
    """Return that rows of a stream without a key come twice where an `offset` counts rows that are not given."""
    return (
        f"A page of stream {name}, which has no key and is read by `offset`, was shorter than others and not the last: "
        "where an API leaves rows out behind its limit, the next page begins before its end, and rows come twice. "
        "Give the stream `primary_keys`."
    )


def advice_on_order(settings: StreamSettings, key: str | None) -> str:
    """Return what to do where the pages are not sorted, though the stream is declared so."""
    inside = ((name, str(value)) for name, values in texts_inside(settings.asked[1:]) for value in values)
    asked = {name: text for name, text in inside if _ORDERS.search(name)}
    where = "graphql" if settings.graphql else "params" if settings.body is None else "body"
    falling = [name for name, value in asked.items() if _FALLS.search(value)]
    if falling:
        hint = f": `{falling[0]}` asks for the descending one"
    elif asked and not any(_RISES.search(value) for value in asked.values()):
        hint = (
            f": beside `{next(iter(asked))}` many APIs take the descending one where none is named "
            '(GitHub: `"direction": "asc"`)'
        )
    else:
        hint = ""
    return (
        f"ask the API for the ascending order by `{key}` in `{where}`{hint}; only if there is none, declare the "
        "stream unsorted"
    )


def _way_without_shifts(settings: StreamSettings) -> str:
    """Return how a stream is read without a gap between its pages, in sentences."""
    if settings.makes_rows:
        return "`keyset`, and a `cursor` that holds no number, have no such gap."
    if not settings.is_sorted or settings.incremental is None:
        return (
            "`keyset`, and a `cursor` that holds no number, have no such gap, nor has a stream that is sorted by its replication key "
            "and asked for it (`is_sorted`, `incremental`)."
        )
    if filters(settings.records or ""):
        return (
            f"It would go on by its replication key, which has no such gap, without the filter in `records` (`{settings.records}`): "
            "take all rows there, and leave those out that are not wanted where they are read."
        )
    if settings.pagination.continue_by == "number":
        return 'Without `"continue_by": "number"` in `pagination` it would go on by its replication key, which has no such gap.'
    return (
        f"It would go on by its replication key, which has no such gap, if `incremental.format` (`{settings.incremental.format}`) "
        'had seconds: write them, if the API takes them, or set `"continue_by": "bookmark"` in `pagination`.'
    )
