"""`tap-postgres slot list`: the slots of the server, and what the publication of the config tells of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from singerkit_shell.aligned import aligned
from singerkit_shell.words import bytes_in_words, counted, visible
from tap_postgres.log.publications import Publication
from tap_postgres.slot.looking import Site, SlotSeen, seen_slots

__all__ = ["as_json", "as_lines"]

_HEADER = ("", "slot", "plugin", "database", "read by", "held", "log", "idle since")
_OURS = "*"


def as_json(site: Site) -> dict[str, Any]:
    """Return what is there, for programs."""
    publication = site.publication()
    told = publication.told() if publication.is_there() else None
    return {
        "slot": site.settings.slot,
        "publication": site.settings.publication,
        "slots": [_slot(one, site) for one in seen_slots(site.queries)],
        "tables": None if told is None else [_table(*one) for one in sorted(told.items())],
        "missing_tables": [f"{one.schema}.{one.name}" for one in publication.missing(told or {})],
    }


def _slot(one: SlotSeen, site: Site) -> dict[str, Any]:
    return {
        "name": one.name,
        "plugin": one.plugin,
        "database": one.database,
        "active": one.active_pid is not None,
        "active_pid": one.active_pid,
        "reader": one.reader or None,
        "held_bytes": one.held,
        "held_alone_bytes": one.alone,
        "wal_status": one.wal_status,
        "confirmed": one.confirmed,
        "inactive_since": one.idle_since,
        "of_this_config": is_of(one, site),
    }


def _table(name: tuple[str, str], told: tuple[Sequence[str] | None, bool]) -> dict[str, Any]:
    columns, is_filtered = told
    return {"schema": name[0], "table": name[1], "columns": columns, "some_rows": is_filtered}


def is_of(one: SlotSeen, site: Site) -> bool:
    """Tell whether it is the slot of the config, and in its database."""
    return one.name == site.settings.slot and one.is_here


def as_lines(site: Site) -> Iterator[str]:
    """Yield what is there, for people."""
    slots = seen_slots(site.queries)
    if slots:
        yield from aligned(_HEADER, [_cells(one, site) for one in slots], right=("held",))
    if not any(is_of(one, site) for one in slots):
        yield f"There is no slot `{site.settings.slot}`: the first run makes it, or `tap-postgres slot create`."
    else:
        yield f"{_OURS}: the slot of this config"
    yield from map(visible, _of_publication(site.publication()))


def _cells(one: SlotSeen, site: Site) -> tuple[str, ...]:
    return (
        _OURS if is_of(one, site) else "",
        one.name,
        one.plugin,
        visible(one.database),
        visible(one.reader) or "nobody",
        "" if one.held is None else bytes_in_words(one.held),
        one.wal_status or "",
        one.idle_since or "",
    )


def _of_publication(publication: Publication) -> Iterator[str]:
    yield ""
    if not publication.is_there():
        yield f"There is no publication `{publication.name}`: the first run makes it, or `tap-postgres slot create`."
        return
    told = publication.told()
    yield f"Publication `{publication.name}` tells of {counted(len(told), 'table')}{':' if told else '.'}"
    for (schema, name), (columns, is_filtered) in sorted(told.items()):
        of_columns = "" if columns is None else f" ({', '.join(columns)})"
        yield f"  {schema}.{name}{of_columns}{', some rows alone' if is_filtered else ''}"
    for one in publication.missing(told):
        yield f"It does not tell of {one.schema}.{one.name}, which this config reads from the log."
