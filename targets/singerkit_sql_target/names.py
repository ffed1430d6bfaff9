"""Stream and field names as identifiers of a store: exact and quoted, refused where two would be one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_sql_target.dialect import Words
from singerkit_sql_target.naming import lower_ascii
from singerkit_sql_target.settings import Settings
from singerkit_state.lineage import WaysOut
from singerkit_target.abilities import NameCase

__all__ = ["Places", "check_alone", "fold", "identifiers", "place_of"]


def fold(name: str, words: Words) -> str:
    """Return what two names have in common that are one to the store."""
    if words.abilities.name_case is NameCase.KEPT:
        return name
    return lower_ascii(name)


def place_of(stream: str, settings: Settings, words: Words) -> tuple[str, str]:
    """Return the schema and the name of a stream's table.

    Raises:
        BadDataError: there can be none.
    """
    _check(stream, words)
    schema = settings.naming.schema(stream, settings.schema)
    table = settings.naming.table(stream)
    if schema == settings.schema:
        return schema, words.table_name(table)
    return words.table_name(schema), words.table_name(table)


def identifiers(
    names: Iterable[str],
    where: str,
    words: Words,
    reserved: Iterable[str] = (),
    called: Callable[[str], str] = str,
) -> dict[str, str]:
    """Return the column of each name, in order; ``reserved`` are columns of ours, ``called`` what the config calls a field's.

    Raises:
        BadDataError: two names come to one column, or one is none.
    """
    taken: dict[str, str] = {}
    columns: dict[str, str] = {}
    for name in names:
        _check(name, words)
        columns[name] = column = words.column_name(called(name))
        folded = fold(column, words)
        if folded in reserved:
            raise BadDataError(
                f"Expected another name than `{folded}` in {where}, which this target keeps for itself; leave the field out "
                "with `select`, then run again."
            )
        if folded in taken:
            raise BadDataError(
                f"Expected different names in {where}, got `{taken[folded]}` and `{name}`, {_one('column', column, words)}; name one in "
                "`column_names`, or leave it out with `select`, then run again."
            )
        taken[folded] = name
    return columns


class Places:
    """The tables of the streams of a run, and ``ours``, which no stream may have (FAULTS M15)."""

    def __init__(self, settings: Settings, words: Words, ours: Iterable[str]) -> None:
        self._settings, self._words = settings, words
        self._ours = {(fold(settings.schema, words), name) for name in ours}
        self._taken: dict[tuple[str, str], str] = {}

    def take(self, stream: str) -> None:
        """See that a stream's table is no table of ours and no other stream's.

        Raises:
            BadDataError: it is, or cannot be a table.
        """
        words = self._words
        schema, table = place_of(stream, self._settings, words)
        folded = fold(schema, words), fold(table, words)
        if folded in self._ours:
            raise BadDataError(
                f"Expected a stream of another name, got `{stream}`, which is the name of a table that this target keeps for "
                "itself; name its table in `table_name`, then run again."
            )
        other = self._taken.setdefault(folded, stream)
        if other != stream:
            raise BadDataError(
                f"Expected streams with tables of their own, got `{other}` and `{stream}`, {_one('table', table, words)}; "
                "name the table of one in `table_name`, or leave it out with `select`, then run again."
            )


def check_alone(stream: str, others: Iterable[str], where: str, ways: WaysOut) -> None:
    """See that the table ``where`` has rows of no other stream of the pipeline, which a run before has loaded (`others`).

    Raises:
        ConfigurationError: it has, and one key of the two would be one row.
    """
    other = min((name for name in others if name != stream), default=None)
    if other is not None:
        raise ConfigurationError(
            f"Stream `{stream}` comes to the table {where}, into which this pipeline has loaded the stream `{other}` before; nothing was written: give "
            f"one of the two another table (`table_name`), or, where `{other}` is what this stream was called before, say so with {ways.accept()}; "
            "then run again."
        )


def _one(what: str, identifier: str, words: Words) -> str:
    """Say why two names are one to the store: it does not tell them apart, or one was shortened to the other."""
    if words.abilities.name_case is NameCase.KEPT:
        return f"which both become `{identifier}`"
    return f"which are one {what} to {words.name}"


def _check(name: str, words: Words) -> None:
    problem = _problem(name)
    if problem is not None:
        shown = name.encode("ascii", "backslashreplace").decode()[:80].replace("\x00", "\\x00")
        raise BadDataError(
            f"Expected a name that {words.name} can store, got `{shown}`, which {problem}; rename it in the source or leave it "
            "out with `select`, then run again."
        )


def _problem(name: str) -> str | None:
    """Say why no store has an identifier of that name; None if one can."""
    if not name:
        return "is empty"
    if "\x00" in name:
        return "has a NUL character"
    if name.encode("utf-8", "replace").decode() != name:
        return "is no text in UTF-8"
    return None
