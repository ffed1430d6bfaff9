"""Rules of quality of a target as tests of dbt: those of which dbt has a test of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from singerkit_dbt.tables import Check, Table
from singerkit_dbt.words import column, quoted, text, value

__all__ = ["checked_columns", "left_out", "tests_of"]

_KNOWN = frozenset({"not_null", "accepted", "unique", "references"})


Sources = Mapping[tuple[str, str], Table]
"""Tables by schema and name."""


def checked_columns(table: Table, sources: Sources) -> Mapping[str, Sequence[Check]]:
    """Return the rules that are tests of dbt, by the column that they are on."""
    found: dict[str, list[Check]] = {}
    for check in table.checks:
        if _is_known(check, sources):
            found.setdefault(check.columns[0], []).append(check)
    return found


def left_out(tables: Sequence[Table]) -> list[str]:
    """Return the rules that no test of dbt says, each as it is told."""
    sources = {(table.schema, table.name): table for table in tables}
    return [
        f"`{check.rule}` of stream `{table.stream}` ({check.place})"
        for table in tables
        for check in table.checks
        if not _is_known(check, sources)
    ]


def _is_known(check: Check, sources: Sources) -> bool:
    if check.rule == "accepted" and check.has_chosen_type:  # values of another type are not comparable
        return False
    refers_elsewhere = check.to is not None and check.to[:2] not in sources
    return check.rule in _KNOWN and len(check.columns) == 1 and not refers_elsewhere


def tests_of(check: Check, table: Table, sources: Sources) -> Iterator[str]:
    """Yield the lines of a test of a column."""
    name, arguments = check.rule, list[str]()
    match check.rule:
        case "accepted":
            name = "accepted_values"
            shown = [value(one) if isinstance(one, str) else str(one).lower() for one in check.values]
            arguments = [f"values: [{', '.join(shown)}]"]
            if not isinstance(check.values[0], str):
                arguments.append("quote: false")
        case "references":
            assert check.to is not None  # noqa: S101  of `references`, which has one
            schema, other, field = check.to
            source = sources[schema, other]
            name = "relationships"
            arguments = [
                f"to: source('{source.source}', '{source.called}')",
                f"field: {text(_referred(field, source))}",
            ]
    yield f"              - {name}:"
    yield f"                  name: {_name_of(check, table)}"
    if arguments:
        yield "                  arguments:"
        for one in arguments:
            yield f"                    {one}"
    yield "                  config:"
    yield f"                    severity: {'warn' if check.only_warns else 'error'}"
    if here := _of_what_is_there(table):
        yield f"                    where: {text(here)}"


def _referred(field: str, table: Table) -> str:
    """Return what dbt compares with: of rows that are not there any more nothing."""
    here = _of_what_is_there(table)
    return f"case when {here} then {column(field)} end" if here else column(field)


def _name_of(check: Check, table: Table) -> str:
    """A name of its own: two rules may say the same but for what they do."""
    number = table.checks.index(check)
    return f"checks_{table.source}__{table.called}_{number}"


def _of_what_is_there(table: Table) -> str:
    ends = [name for name in (table.deleted_at, *table.valid[1:]) if name is not None]
    return " and ".join(f"{quoted(name)} is null" for name in ends)
