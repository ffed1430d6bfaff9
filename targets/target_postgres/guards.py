"""What stands before the rows of a table that is no constraint and no trigger: its rules."""

from __future__ import annotations

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import ConfigurationError
from target_postgres.ddl import Rules

__all__ = ["check_rules"]


def check_rules(cursor: Cursor, stream: str, table: Identifier, rules: Rules, *, has_key: bool) -> None:
    """See that no rule is passed over, or is in the way: COPY follows none, and no ON CONFLICT goes into a table with one.

    Raises:
        ConfigurationError: the table has a rule for INSERT or, where rows replace each other, for UPDATE.
    """
    found = {rule: "INSERT" for rule in rules.on_insert}
    if has_key:
        found |= {rule: "UPDATE" for rule in rules.on_update}
    if not found:
        return
    named = ", ".join(f"`{rule}` (ON {event})" for rule, event in found.items())
    drops = ", ".join(
        f"`{SQL('DROP RULE {} ON {}').format(Identifier(rule), table).as_string(cursor)}`" for rule in found
    )
    raise ConfigurationError(
        f"The table of stream `{stream}` has the rule{'s' if len(found) > 1 else ''} {named}, which PostgreSQL follows in no COPY and takes "
        f"no upsert with (`ON CONFLICT`); what was committed is safe: let a trigger do what the rule does, drop it with {drops}, then run "
        "again."
    )
