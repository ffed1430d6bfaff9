"""A stream whose table is fitted: what every database asks about it, and what is told to the user."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from singerkit_catalog.admitted import json_types
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_sql_target.contracts import Contract, without
from singerkit_sql_target.dialect import Existing, InTheWay, Words
from singerkit_sql_target.fieldcomments import refuse_exchanged
from singerkit_sql_target.keying import HASH, ROW_HASH
from singerkit_sql_target.names import place_of
from singerkit_sql_target.naming import refuse_renamed
from singerkit_sql_target.settings import Settings
from singerkit_target.contract import RowsGone
from singerkit_target.held import SCHEMA_CHANGE
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.stream import DELETED_AT, Stream

__all__ = [
    "FORGET_TYPES",
    "METADATA_KINDS",
    "MOST_NAMED",
    "VALID_FROM",
    "VALID_TO",
    "Fitting",
    "is_mixed",
    "quoted",
]

_T = TypeVar("_T")

MOST_NAMED = 10
"""Columns that a sentence names."""

METADATA_KINDS: Mapping[str, Kind] = {
    "_sdc_extracted_at": Kind.DATE_TIME,
    "_sdc_received_at": Kind.DATE_TIME,
    "_sdc_batched_at": Kind.DATE_TIME,
    "_sdc_deleted_at": Kind.DATE_TIME,
    "_sdc_sequence": Kind.INTEGER,
    "_sdc_table_version": Kind.INTEGER,
    "_sdc_sync_started_at": Kind.INTEGER,
}
"""singer-sdk's metadata columns, with its types."""

VALID_FROM, VALID_TO = "_sdc_valid_from", "_sdc_valid_to"
"""From when to when a row of a history held; one that holds now has null in the second."""

_SPELT_IN_MANY_WAYS: Mapping[Kind, str] = {
    Kind.NUMBER: "`1` and `1.0`",
    Kind.DATE_TIME: "one instant in two zones",
    Kind.TIME: "`12:00` and `12:00:00`",
}


def _spellings(column: Column) -> str | None:
    """Two texts of one value, as the schema admits them."""
    if column.kind is not Kind.JSON:
        return _SPELT_IN_MANY_WAYS.get(column.kind)
    types = json_types(column.schema)
    if types & {"number", "integer"}:
        return _SPELT_IN_MANY_WAYS[Kind.NUMBER]
    return "two orders of its fields" if "object" in types else "one value with other spaces or escapes"


@dataclass(frozen=True)
class Fitting:
    """``start_over`` is the command that reads the stream anew."""

    words: Words
    settings: Settings
    log: logging.Logger
    stream: Stream
    start_over: str

    @property
    def schema(self) -> str:
        return place_of(self.stream.name, self.settings, self.words)[0]

    @property
    def name(self) -> str:
        return place_of(self.stream.name, self.settings, self.words)[1]

    @property
    def where(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        return self.words.quote(self.schema, self.name)

    def column(self, field: str) -> str:
        """What the config calls the column of a field, which the store may have to shorten."""
        return self.settings.naming.column(self.stream.name, field)

    def held_to_contract(self, columns: Mapping[str, str], there: Collection[str]) -> Stream:
        """Return the stream without the fields for which its table may get no column.

        Raises:
            BadDataError: they are not to be left out.
        """
        stream, contract = self.stream, self.settings.contracts.of(self.stream.name)
        new = [name for name in stream.column_names if columns[name] not in there]
        if contract is Contract.IGNORE:  # a row whose mark is left out would be emptied, and not gone
            new = [name for name in new if name != DELETED_AT]
        if contract is Contract.EVOLVE or not new:
            return stream
        if contract is Contract.FREEZE or {*new} & {*stream.key_properties}:
            raise BadDataError(
                f"Expected no new columns in the table {self.where} of stream `{stream.name}`, which `schema_contract` holds as it is, got {quoted(new)}; "
                "nothing was written there: add them to the table, leave the fields out with `select`, or let the stream `evolve`, then run again."
            )
        if whole := [name for name in new if name in stream.apart]:
            raise BadDataError(
                f"Expected an object that `nested` can take apart in {quoted(whole)} of stream `{stream.name}`, got something else, for which the table "
                f"{self.where} has no column, and `schema_contract` lets none be made; what was committed is safe: correct it at the source, let "
                "the stream `evolve`, or, to set such records aside, add a column of JSON with that name and set `on_invalid: quarantine`, then run again."
            )
        self.log.warning(
            "Stream `%s`: %s left out, since the table has no such column and `schema_contract` says `ignore`.",
            stream.name,
            f"{quoted(new)} {'is' if len(new) == 1 else 'are'}",
        )
        return without(stream, new)

    def check_renamed(self, existing: Existing | None, columns: Mapping[str, str]) -> None:
        """See that no column of the table with rows is that of a field which the config calls otherwise now."""
        if existing is not None and not existing.is_empty:
            refuse_renamed(self.settings.naming, self.stream.name, columns, existing.columns, self._renaming)
            refuse_exchanged(self.words, self.stream.name, columns, existing.columns, self.quoted)

    def tell_left_columns(self, existing: Existing | None, columns: Collection[str]) -> None:
        """Warn of columns of a table of lists that no field goes to: an element has its place alone, and takes over what stood there."""
        if self.stream.lists_of is None or self.stream.is_unnamed or existing is None or existing.is_empty:
            return
        left = [
            name
            for name, column in existing.columns.items()
            if name not in columns
            and column.comment is None
            and not (name.startswith("_") or column.is_generated)
        ]
        if left:
            self.log.warning(
                "The table %s of lists of stream `%s` has %s, which this SCHEMA does not name: an element that comes keeps there what the one before "
                "it at its position had; have the tap name them, or drop them.",
                self.where,
                self.stream.lists_of,
                quoted(left),
            )

    def _renaming(self, former: str, column: str) -> str:
        return f"ALTER TABLE {self.quoted} RENAME COLUMN {self.words.quote(former)} TO {self.words.quote(column)}"

    def look(self, inspect: Callable[[str, str], _T | None]) -> _T | None:
        """Return what is there of the table.

        Raises:
            BadDataError: something else has its name.
        """
        try:
            return inspect(self.schema, self.name)
        except InTheWay as found:
            raise found.of_a_stream(self.stream.name, self.schema, self.name) from None

    def metadata(self, *, has_marks: bool) -> dict[str, Column]:
        """The metadata columns that this run writes; a field of the stream that has the name of one keeps its column.

        ``has_marks``: rows may be marked as deleted by an earlier run.
        """
        marks = (DELETED_AT,) if has_marks else ()
        names: Iterable[str] = METADATA_KINDS if self.settings.with_metadata else marks
        found = {
            name: Column(name, METADATA_KINDS[name], nullable=True, required=False)
            for name in names
            if name not in self.stream.column_names
        }
        if self.settings.key(self.stream) == (ROW_HASH,):
            found[ROW_HASH] = HASH
        if self.settings.keeps_history(self.stream.name):
            ranges = (VALID_FROM, VALID_TO)
            found |= {name: Column(name, Kind.DATE_TIME, nullable=True, required=False) for name in ranges}
        return found

    def check_rows(self, existing: Existing | None, must_hold: bool | None, doubts: list[str] | None) -> None:
        """See that rows which were loaded are there; ``doubts`` takes a sentence where the state does not say which streams' they are.

        Raises:
            RowsGone: they are not, and the state says that they were loaded.
        """
        lack = "empty" if existing else "not there"
        is_empty = existing is None or existing.is_empty
        if (existing is None and must_hold is not False) or (is_empty and must_hold):
            raise RowsGone(
                f"The table {self.where} is {lack}, and the saved state says that rows of stream `{self.stream.name}` were loaded into it."
            )
        if doubts is not None and is_empty:
            doubts.append(
                f"The table {self.where} is {lack}, and rows of stream `{self.stream.name}` were loaded into it."
            )

    def tell_moved(self, before: tuple[str, str], *, must_hold: bool | None) -> None:
        """Say that the stream's rows were loaded into another table, which is there still.

        Raises:
            ConfigurationError: the state says that they were, so that they do not come again.
        """
        former = ".".join(before)
        if must_hold is False:
            self.log.warning(
                "Rows of stream `%s` were loaded into the table %s before, and go to %s now: the former one stays as it is.",
                self.stream.name,
                former,
                self.where,
            )
            return
        raise ConfigurationError(
            f"Rows of stream `{self.stream.name}` were loaded into the table {former}, and are to go to {self.where} now (`table_name`, "
            "`schema_name`, `names`), without those that the saved state says were loaded; nothing of this stream was written: "
            f"give that table the new name, or its own in the config; or read the stream from the beginning: run {self.start_over}; "
            "then run again."
        )

    def dropped(self) -> BadDataError:
        """What a run ends with whose table is gone while it loads."""
        return BadDataError(
            f"Expected the table {self.where}, into which this run loads stream `{self.stream.name}`, got none: somebody has dropped it "
            "meanwhile; put the table back, or run again and do what it then says."
        )

    def read_anew(self, keys: Collection[str]) -> str:
        """What is to be run to have all rows come again."""
        emptied = (
            f", `{self.words.emptying} {self.quoted}`, since its rows have no key and would be there twice"
        )
        name, settings = self.stream.name, self.settings
        are_once = keys or settings.overwrites(name) or settings.replaces(name)
        return f"{self.start_over}{'' if are_once else emptied}, then the pipeline again"

    def tell_made(self) -> None:
        self.log.info("Table %s made for stream `%s`.", self.where, self.stream.name, extra=SCHEMA_CHANGE)

    def tell_added(self, added: Sequence[str], read_anew: str, *, is_of_this_run: bool) -> None:
        """Name new columns, and what is not in them."""
        if added and is_of_this_run:
            self.log.info(
                "Columns added for stream `%s`: %s.", self.stream.name, quoted(added), extra=SCHEMA_CHANGE
            )
        elif added:
            self.log.warning(
                "Columns added for stream `%s`: %s. Rows that were loaded before have NULL there until they come again; if the "
                "column was there before and somebody has dropped it, read the stream anew: run %s.",
                self.stream.name,
                quoted(added),
                read_anew,
                extra=SCHEMA_CHANGE,
            )

    def tell_blank(self, column: str, type_: str) -> None:
        self.log.info(
            "Column `%s` of stream `%s` had no value so far and becomes %s.",
            column,
            self.stream.name,
            type_,
            extra=SCHEMA_CHANGE,
        )

    def tell_wider(self, field: str, found: str, wanted: str, note: str) -> None:
        """Warn of a column that becomes text or a document, since its field was inferred and is more."""
        self.log.warning(
            "Column `%s` of stream `%s` becomes `%s`, and was `%s`: the stream holds other values, too. What is stored there is kept%s; "
            "queries that take the column for `%s` have to follow. To keep its type and set other values aside, choose it (`%s`) with "
            "`on_invalid: quarantine`, before the next time.",
            field,
            self.stream.name,
            wanted,
            found,
            f", {note}" if note else "",
            found,
            self.choice({field: found}),
            extra=SCHEMA_CHANGE,
        )

    def tell_key_changed(self, keys: Collection[str], before: Collection[str]) -> None:
        self.log.warning(
            "The key of the table of stream `%s` is %s now, and was %s: rows that took each other's place under the former "
            "one are in the table only if the tap sends all rows again.",
            self.stream.name,
            quoted(keys),
            quoted(before),
            extra=SCHEMA_CHANGE,
        )

    def unwritable(self, column: Column, kind: str, way_out: str) -> BadDataError:
        """What refuses a column whose values the store makes."""
        return BadDataError(
            f"Expected a column that can be written for `{column.name}` of stream `{self.stream.name}`, got {kind} in the table; what is "
            f"stored is untouched: {way_out}, then run again."
        )

    def expected(self, misfits: Sequence[tuple[str, str, str]]) -> str:
        """Name (field, type in the table, wanted type) of all columns at once: one at a time would be a run that fails for each."""
        field, found, wanted = misfits[0]
        if len(misfits) == 1:
            return f"Expected a column of type `{wanted}` for `{field}` of stream `{self.stream.name}`, got `{found}` in the table"
        named = misfits[:MOST_NAMED]
        told = ", ".join(
            f"`{field}` (type `{wanted}`, in the table `{found}`)" for field, found, wanted in named
        )
        more = f" and {len(misfits) - MOST_NAMED} others" if len(misfits) > MOST_NAMED else ""
        return f"Expected columns of the types of stream `{self.stream.name}`, got others for {told}{more}"

    def choice(self, types: Mapping[str, str]) -> str:
        """The line of the config that chooses types, by field."""
        named = {f"{self.stream.name}.{field}": type_ for field, type_ in types.items()}
        return json.dumps({"column_types": named}, ensure_ascii=False)

    def merges_keys(self, column: Column, type_: str) -> BadDataError:
        """What refuses a column of type ``type_`` (as it is to be shown) for a key, since two could be one there."""
        return BadDataError(
            f"Expected a column in which different keys stay different for the key `{column.name}` of stream `{self.stream.name}`, got "
            f"{type_}; nothing was written there: make it `{self.words.types[column.kind]}` (in `column_types` and in the table), then "
            "run again."
        )

    def tell_of_key_in_text(self, column: Column, type_: str) -> None:
        """Warn of a key that is compared as text."""
        spellings, best = _spellings(column), self.words.types[column.kind]
        if spellings:
            way_out = (
                "have it write each in one way, or give the stream another key"
                if type_ == best
                else f"let the column be `{best}`"
            )
            self.log.warning(
                "Stream `%s`: the key `%s` is of the kind %s, and its column of type `%s` compares it as text: %s are two keys "
                "there. If the source writes a value in more than one way, %s.",
                self.stream.name,
                column.name,
                column.kind.value,
                type_,
                spellings,
                way_out,
            )

    def tell_of_mixed(self, given: Iterable[Column]) -> None:
        """Warn of columns of text for values of several types."""
        for column in given:
            if column.kind is Kind.ANY_TEXT and not column.is_filler and is_mixed(column):
                self.log.warning(
                    "Stream `%s`: `%s` goes into a column of text: text as it is, any other value as its JSON text, so that "
                    'the number 5 and the text "5" look the same there; a column of type `%s` tells them apart.',
                    self.stream.name,
                    column.name,
                    self.words.types[Kind.JSON],
                )


FORGET_TYPES = (
    "if the source has gone back to what it sent before, let a tap that remembers types forget the new one (tap-rest: remove the stream's file from "
    "the folder `schema_cache`, or declare `schema`), then run again."
)
"""The way out of a type that is not wanted."""


def is_mixed(column: Column) -> bool:
    """Whether the schema admits text and something else."""
    types = json_types(column.schema) - {"null"}
    return "string" in types and len(types) > 1


def quoted(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in list(names)[:MOST_NAMED])
