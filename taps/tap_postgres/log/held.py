"""How much of the log the server keeps for a slot: what is said of it, and what becomes of one that keeps too much."""

from __future__ import annotations

import logging
from collections.abc import Callable

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.words import bytes_in_words
from singerkit_tap.log_contract import LogGone
from tap_postgres.log.settings import PostgresLogSettings
from tap_postgres.log.slots import Slot

__all__ = ["Held", "held_words"]

logger = logging.getLogger(__name__)

_REASON = "see that the target commits and that runs come often enough"


def held_words(held: int, room: int | None) -> str:
    """Return what a slot holds, to stand behind its name."""
    more = "" if room is None else f", and may hold {bytes_in_words(max(0, room))} more"
    return f"holds {bytes_in_words(held)} of the log on the server's disk{more}"


class Held:
    """Sees to the bounds of a config. ``drop`` ends the reading by a slot, and drops it."""

    def __init__(self, settings: PostgresLogSettings, drop: Callable[[str], None]) -> None:
        self._settings, self._drop = settings, drop
        self._warned: set[bool] = set()

    def see(self, slot: Slot) -> None:
        """Warn of a slot that holds much, once.

        Raises:
            LogGone: it held more than it may, and was dropped, as the config says.
            ConfigurationError: it holds more than it may.
        """
        limit, words = self._settings.held_limit_bytes, held_words(slot.held, slot.room)
        if limit is not None and slot.held > limit:
            over = (
                f"he slot `{slot.name}` {words}, more than `log.held_limit_bytes` ({bytes_in_words(limit)})"
            )
            if self._settings.drops_slot:
                self._drop(slot.name)
                raise LogGone(f"t{over}, and was dropped, as `log.held_limit` says")
            raise ConfigurationError(
                f"T{over}; what was confirmed by the target is safe: {_REASON}, raise the limit, or give the slot up "
                f"(tap-postgres slot drop {slot.name}) and start over."
            )
        is_much = slot.held > self._settings.held_warning_bytes
        if not (slot.is_unreserved or is_much) or slot.is_unreserved in self._warned:
            return
        self._warned.add(slot.is_unreserved)
        more = ", and the server may remove it with the next checkpoint (`max_slot_wal_keep_size`)"
        logger.warning(
            "The slot `%s` %s%s: %s.", slot.name, words, more if slot.is_unreserved else "", _REASON
        )
