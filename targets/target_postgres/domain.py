"""What PostgreSQL can hold, and what target-postgres can do there."""

from __future__ import annotations

import datetime

from singerkit_state.postgres.url import LONGEST_NAME
from singerkit_target.abilities import Abilities, Domain, Numbers

__all__ = ["ABILITIES", "DOMAIN"]

DOMAIN = Domain(
    numbers=Numbers(before=131_072, after=16_383, holder="PostgreSQL's numeric"),
    wide_integers="numeric",
    widest_offset=datetime.timedelta(hours=15, minutes=59),
    columns=1600,
    name_bytes=LONGEST_NAME,
)

ABILITIES = Abilities(transactional_ddl=True, savepoints=True, spans_tables=True, merges=True)
