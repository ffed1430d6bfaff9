"""What stands before the rows of a table that is no constraint and no trigger: its rules, and row level security."""

from __future__ import annotations

import logging

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import ConfigurationError
from target_postgres.ddl import RowSecurity, Rules

__all__ = ["check_rules", "tell_of_hidden_rows"]


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


def tell_of_hidden_rows(stream: str, security: RowSecurity, log: logging.Logger) -> None:
    """Warn where rows of a table may be hidden from this role: to it they are not there, and nothing says so."""
    if security.hides:
        log.warning(
            "Row level security of the table of stream `%s` may hide rows from this role: such a row stays as it is where an "
            "ACTIVATE_VERSION or a `_sdc_deleted_at` says that it is gone, and a table of which all rows are hidden counts as empty. Let the role pass "
            "it by (`ALTER ROLE ... BYPASSRLS`), or see all rows (`CREATE POLICY ... FOR SELECT TO ... USING (true)`, and none that is RESTRICTIVE).",
            stream,
        )
