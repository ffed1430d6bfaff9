"""What a file of JSON Lines is given to hold, and what target-jsonl can do with it.

A file has no limits of its own. These are PostgreSQL's, so that what was written can be loaded from there.
"""

from __future__ import annotations

from singerkit_target.abilities import Abilities, Domain, Numbers, always

__all__ = ["ABILITIES", "DOMAIN"]

DOMAIN = Domain(
    numbers=Numbers(before=131_072, after=16_383, holder="PostgreSQL's numeric"),
    columns=1600,
)
ABILITIES = Abilities(is_log=True, appends=always, spans_tables=True)
