"""`tap-postgres slot create`: the publication and the slot that a run would make, as far as they lack.

A table that joins a publication is told of from then on. So none joins one by which it may have been read before: the changes between would be
missing, with nothing to tell so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg2.sql import SQL, Composable, Literal

from singerkit_shell.errors import ConfigurationError
from singerkit_tap.log_contract import LogGone
from tap_postgres.log.publications import Publication
from tap_postgres.log.serving import started
from tap_postgres.log.slots import check_is_free, create_slot, find_slot, making
from tap_postgres.log.tables import LoggedTable
from tap_postgres.log.wal import lsn_text
from tap_postgres.readiness.judging import check_log
from tap_postgres.slot.looking import Site

__all__ = ["made", "planned"]

_DROP = "drop it (`tap-postgres slot drop`) and start the streams over"


class _Plan:
    """What lacks."""

    def __init__(self, site: Site, *, knows_state: bool) -> None:
        self._site, self.publication = site, site.publication()
        if not self.publication.tables:
            raise ConfigurationError(
                'No stream is read from the log, so that nothing was made: set `"replication_method": "LOG_BASED"` in `streams`, or name '
                "the catalog that does with `--catalog`."
            )
        check_log(site.tap)
        try:
            self.slot = find_slot(site.queries, site.settings.slot)
        except LogGone as error:
            raise ConfigurationError(f"Nothing was made, since {error}: {_DROP}.") from None
        self.lacks_publication = not self.publication.is_there()
        told = {} if self.lacks_publication else self.publication.told()
        self.added = [] if self.lacks_publication else self.publication.missing(told)
        if self.slot is not None:
            self._check_none_was_read(knows_state)

    def _check_none_was_read(self, knows_state: bool) -> None:
        read = [one for one in self.added if one.stream in started(self._site.tap)]
        if read:
            raise ConfigurationError(
                f"The publication `{self.publication.name}` does not tell of {_names(read)}, and the state says that the log of it was read, so that "
                f"changes may be missing; nothing was made: start the stream over (`singerkit-state reset`), and the next run adds the table."
            )
        if self.added and not knows_state:
            raise ConfigurationError(
                f"The publication `{self.publication.name}` does not tell of {_names(self.added)}, and changes would be missing if the log of it "
                "has been read before; nothing was made: name the state with `--state`, which says so, or let the next run add what it has not read."
            )
        if self.lacks_publication and self.slot is not None:
            check_is_free(self.slot)

    @property
    def passes_by(self) -> bool:
        """Whether the slot has log from before the publication, which cannot be read by it; no state from before may go on."""
        return self.lacks_publication and self.slot is not None


def _names(tables: Sequence[LoggedTable]) -> str:
    return ", ".join(f"`{one.schema}.{one.name}`" for one in tables)


def planned(site: Site, *, knows_state: bool) -> list[str]:
    """Return the statements that `made` would run."""
    plan = _Plan(site, knows_state=knows_state)
    found = [one.as_string(site.queries.opened()) + ";" for one in _statements(site, plan)]
    return found or ["-- Nothing lacks."]


def _statements(site: Site, plan: _Plan) -> Iterator[Composable]:
    if plan.lacks_publication:
        yield plan.publication.making()
    if plan.added:
        yield plan.publication.adding(plan.added)
    if plan.passes_by:
        yield _advancing(site)
    if plan.slot is None:
        yield making(site.settings.slot, site.queries.version)


def _advancing(site: Site) -> Composable:
    return SQL(
        "SELECT end_lsn FROM pg_catalog.pg_replication_slot_advance({}, pg_catalog.pg_current_wal_lsn())"
    ).format(Literal(site.settings.slot))


def made(site: Site, *, knows_state: bool) -> Iterator[str]:
    """Make what lacks, and yield a line for each thing as soon as it is made.

    Raises:
        ConfigurationError: it cannot be, or not without the state (``knows_state``: it was given).
        LockHeldError: somebody reads by the slot.
        NotAuthorisedError: this role may not.
    """
    plan = _Plan(site, knows_state=knows_state)
    yield _published(plan)
    plan.publication.check()
    plan.publication.warn_of_tables_without_identity()
    slot = site.settings.slot
    if plan.slot is None:
        at = create_slot(site.queries, slot)
        yield f"Made the slot `{slot}`: the server keeps its log from {lsn_text(at)} on until a run has read it."
    elif plan.passes_by:
        ((at,),) = site.queries.ask(_advancing(site), doing="telling the slot where the publication begins")
        yield f"The slot `{slot}` was there, and begins at {at} now: it had no publication before."
    else:
        yield f"The slot `{slot}` is there."


def _published(plan: _Plan) -> str:
    publication: Publication = plan.publication
    name = f"the publication `{publication.name}`"
    if plan.lacks_publication:
        publication.make()
        return f"Made {name} for {_names(publication.tables)}."
    if plan.added:
        publication.add(plan.added)
        return f"Added {_names(plan.added)} to {name}."
    return f"T{name[1:]} is there, and tells of all tables."
