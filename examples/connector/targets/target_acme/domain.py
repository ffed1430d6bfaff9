"""What the store can hold, and what target-acme can do there."""

from __future__ import annotations

import datetime

from singerkit_target.abilities import Abilities, Domain

__all__ = ["ABILITIES", "DOMAIN"]

# TODO(acme): the limits of your store. What does not fit is set aside by `on_unstorable` before the loader sees it.
# Here: points in time are given in UTC, so that one that is a key is one text.
DOMAIN = Domain(widest_offset=datetime.timedelta(0))
# TODO(acme): what of this your store has. A store without transactions commits by a manifest, as target-jsonl does.
ABILITIES = Abilities(transactional_ddl=True, savepoints=True, spans_tables=True, merges=True)
