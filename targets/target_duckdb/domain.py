"""What DuckDB can hold, and what target-duckdb can do there."""

from __future__ import annotations

from singerkit_target.abilities import Abilities, Domain, NameCase

__all__ = ["ABILITIES", "DOMAIN"]

DOMAIN = Domain(wide_integers="DECIMAL(38,0)", holds_nul=True)
"""Numbers in a document are text, of any size; a column of decimals says itself what it holds."""

ABILITIES = Abilities(transactional_ddl=True, spans_tables=True, merges=True, name_case=NameCase.FOLDED)
