"""What a session does in standard SQL. A database gives the rest of the protocol, and says itself what it says otherwise."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from singerkit_sql_target import masks, merge
from singerkit_sql_target.dialect import ORDER, Field, OutcomeUnknown, Words
from singerkit_sql_target.newest import Newest
from singerkit_target.outcomes import Outcome
from singerkit_wire.masks import PRESENT

__all__ = ["StandardSession", "key_in"]

_KEY_IS = "singerkit: rows replace each other by "


class StandardSession:
    """The key of a table is kept in its comment, and a stage is a temporary table.

    ``compared`` says by table, quoted, how columns are compared where one of them has a collation, to which two keys may be one;
    ``commented`` are tables, quoted, with a comment of the user's. Who inspects a table notes both.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self.compared: dict[str, Mapping[str, str]] = {}
        self.commented: set[str] = set()

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def written(self, statement: str) -> int:
        raise NotImplementedError

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self.execute("BEGIN")
        try:
            yield
        except BaseException:
            with contextlib.suppress(*self._words.errors):  # one that fails has rolled back
                self.execute("ROLLBACK")
            raise
        try:
            self.execute("COMMIT")
        except self._words.errors as error:
            raise OutcomeUnknown(error) from error

    def create_schema(self, schema: str) -> None:
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {self._words.quote(schema)}")

    def create(self, table: str, columns: Sequence[tuple[str, str]]) -> None:
        self.execute(f"CREATE TABLE {table} ({self._definitions(columns)})")

    def alter(self, table: str, column: str, type_: str, *, is_new: bool, using: str | None = None) -> None:
        change = f"ADD COLUMN {column} {type_}" if is_new else f"ALTER COLUMN {column} TYPE {type_}"
        change += "" if using is None else f" USING {using}"
        self.execute(f"ALTER TABLE {table} {change}")

    def tells_apart(self, table: str, keys: Sequence[str]) -> bool:
        compared = self.compared.get(table, {})
        has_null = " OR ".join(f"{key} IS NULL" for key in keys)
        [(lacks_one,)] = self.execute(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {has_null})")
        [(has_repeats,)] = self.execute(
            merge.repeats(table, [compared.get(key, "{}").format(key) for key in keys])
        )
        return not (lacks_one or has_repeats)

    def in_full(self, table: str, column: str, of: str = "stored") -> str:
        return self.compared.get(table, {}).get(column, "{}").format(f"{of}.{column}")

    def note_key(self, table: str, keys: Sequence[str] | None) -> None:
        """In the comment of the table, unless the user has written one."""
        if table not in self.commented:
            said = "NULL" if keys is None else _literal(_KEY_IS + json.dumps(keys, ensure_ascii=False))
            self.execute(f"COMMENT ON TABLE {table} IS {said}")

    def create_stage(self, name: str, fields: Sequence[Field]) -> str:
        columns = [*((field.name, field.type) for field in fields), (ORDER, "BIGINT")]
        stage = self._words.quote(name)
        self.execute(f"CREATE TEMPORARY TABLE {stage} ({self._definitions(columns)})")
        return stage

    def merge(
        self,
        table: str,
        stage: str,
        columns: Sequence[str],
        keys: Sequence[str],
        gone: str | None = None,
        newest: Newest | None = None,
        mark: str | None = None,
    ) -> Outcome:
        mask = self._words.quote(PRESENT)
        left_out = None
        if mask in columns:
            columns = [column for column in columns if column != mask]
            left_out = masks.left_out(columns, keys, mask)
        [(has_repeats,)] = self.execute(merge.repeats(stage, keys))
        source = stage
        if has_repeats and left_out is not None:
            source = masks.folded(stage, columns, keys, mask, gone)
        elif has_repeats:
            source = merge.newest_of_each_key(stage, columns, keys, newest)
        compared = self.compared.get(table)
        partial = 0
        if mark is not None:
            [(partial,)] = self.execute(merge.partial(table, source, keys, mark, compared, left_out))
        [(may_be_stored,)] = self.execute(merge.overlap(table, stage, keys))
        if not may_be_stored:  # in a third of the time
            return Outcome(new=self.written(merge.insert(table, source, columns, gone)), partial=partial)
        deleted = 0
        if gone is not None:
            [(deleted,)] = self.execute(merge.going(table, source, keys, gone, compared, newest))
        before = self._rows_in(table)
        written = self.written(merge.merge(table, source, columns, keys, compared, gone, newest, left_out))
        new = self._rows_in(table) - before + deleted
        older = 0 if newest is None else self._left_older(table, source, keys, newest)
        return Outcome(new, written - new - deleted, deleted, older, partial)

    def _left_older(self, table: str, source: str, keys: Sequence[str], newest: Newest) -> int:
        if newest.load is not None:
            self.execute(merge.note_loads(table, source, keys, newest))
        [(older,)] = self.execute(merge.are_older(table, source, keys, newest))
        return int(older)

    def _rows_in(self, table: str) -> int:
        [(count,)] = self.execute(f"SELECT count(*) FROM {table}")
        return int(count)

    def _definitions(self, columns: Sequence[tuple[str, str]]) -> str:
        return ", ".join(f"{self._words.quote(name)} {type_}" for name, type_ in columns)


def key_in(comment: str | None) -> tuple[str, ...] | None:
    """The key that a comment of ours tells; None where it is none."""
    if comment is None or not comment.startswith(_KEY_IS):
        return None
    with contextlib.suppress(ValueError):
        found = json.loads(comment.removeprefix(_KEY_IS))
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return tuple(found)
    return None


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
