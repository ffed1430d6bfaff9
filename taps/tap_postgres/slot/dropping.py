"""`tap-postgres slot drop`: a slot that nobody reads by, and the publication that was made with it."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import ConfigurationError, LockHeldError
from singerkit_shell.words import bytes_in_words, counted
from tap_postgres.log.serving import started
from tap_postgres.log.slots import drop_slot
from tap_postgres.slot.looking import Site, SlotSeen, seen_slots

__all__ = ["Dropping", "dropping"]

_NAMES_ALL = "`tap-postgres slot list` names all"
_PUBLICATION = """
    SELECT pg_catalog.pg_has_role(p.pubowner, 'USAGE'), (SELECT pg_catalog.count(*) FROM pg_catalog.pg_publication_tables AS t WHERE t.pubname = p.pubname)
    FROM pg_catalog.pg_publication AS p WHERE p.pubname = %s"""


@dataclass(frozen=True)
class Dropping:
    """What is to be dropped; None: there is no slot, or no publication of its name that this role may drop."""

    site: Site
    name: str
    slot: SlotSeen | None
    publication: str | None
    told: int
    kept: str
    """A publication that stays, with what to do about it; empty: none."""

    @property
    def is_nothing(self) -> bool:
        return self.slot is None and self.publication is None

    def question(self) -> str:
        """Return what is asked for a yes: what goes, and what the next run does then."""
        parts = []
        if self.slot is not None:
            parts.append(f"the slot `{self.name}` ({self._freed(self.slot)})")
        if self.publication is not None:
            parts.append(f"the publication `{self.publication}` ({counted(self.told, 'table')})")
        return f"Drop {' and '.join(parts)}? {self._next_run()}"

    @staticmethod
    def _freed(slot: SlotSeen) -> str:
        if slot.held is None:
            return "whose log is lost already"
        of_others = "" if slot.alone == slot.held else ", the rest is kept for other slots"
        return f"{bytes_in_words(slot.alone or 0)} of the {bytes_in_words(slot.held)} that it holds are freed{of_others}"

    def _next_run(self) -> str:
        if self.name != self.site.settings.slot:
            return "A pipeline that reads by it cannot go on: its next run ends (78), and says how to start over."
        read = started(self.site.tap)
        if read:
            names = ", ".join(f"`{name}`" for name in sorted(read))
            return f"The next run with this state ends (78), and says how to start {names} over: the tables are read anew."
        return "The next run without a state reads the tables anew; one with a state that was read by it ends (78), and says how to start over."

    def carry_out(self) -> str:
        """Drop it, the slot first, and return what was done."""
        queries = self.site.queries
        done = []
        if self.slot is not None:
            drop_slot(queries, self.name)
            done.append(f"the slot `{self.name}`")
        if self.publication is not None:
            statement = SQL("DROP PUBLICATION IF EXISTS {}").format(Identifier(self.publication))
            queries.ask(statement, doing=f"dropping the publication `{self.publication}`")
            done.append(f"the publication `{self.publication}`")
        return f"Dropped {' and '.join(done)}."


def dropping(site: Site, name: str | None) -> Dropping:
    """Return what is to be dropped: the slot ``name``, else that of the config.

    Raises:
        ConfigurationError: there is no slot of that name, or none that can be dropped from here.
        LockHeldError: somebody reads by it.
    """
    asked = name or site.settings.slot
    slot = next((one for one in seen_slots(site.queries) if one.name == asked), None)
    if slot is None and name is not None:
        raise ConfigurationError(f"There is no logical slot `{asked}`; nothing was dropped: {_NAMES_ALL}.")
    if slot is not None:
        _check(slot)
    publication = site.settings.publication if asked == site.settings.slot else asked
    found = site.queries.ask(_PUBLICATION, [publication], doing="looking for the publication")
    if not found:
        return Dropping(site, asked, slot, None, 0, "")
    ((is_own, told),) = found
    way = f"DROP PUBLICATION {Identifier(publication).as_string(site.queries.opened())}"
    if publication != asked:
        kept = f"The publication `{publication}` has a name of its own, and stays, since others may read by it: {way}"
    elif not is_own:
        kept = f"The publication `{publication}` belongs to another role, and stays: {way}"
    else:
        return Dropping(site, asked, slot, publication, told, "")
    return Dropping(site, asked, slot, None, 0, kept)


def _check(slot: SlotSeen) -> None:
    if slot.active_pid is not None:
        raise LockHeldError(
            f"The slot `{slot.name}` is read now ({slot.reader}); nothing was dropped: end that run first, or wait until it ends."
        )
    if not slot.is_here:
        raise ConfigurationError(
            f"The slot `{slot.name}` is one of the database `{slot.database}`; nothing was dropped: connect to that one."
        )
