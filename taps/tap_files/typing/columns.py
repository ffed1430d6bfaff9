"""What is known of the columns of a stream: declared, found in samples, and widened by what comes; never narrowed.

A column that was never anything but null has the type `null`. One that was an integer becomes a number where decimals come, and text
where something else does; rows from there on are sent so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from typing import Any

from singerkit_catalog.inference import SchemaInference, merge_schemas
from singerkit_catalog.pagefit import checker_of
from singerkit_shell.errors import ConfigurationError
from singerkit_state.readas import kind_of
from singerkit_wire.columnlines import JsonColumn
from tap_files.formats.cells import CellColumns
from tap_files.formats.contract import UnreadableFile
from tap_files.typing.fields import as_json
from tap_files.typing.texts import CONVERTERS, DECLARED, Column, Misfit, kind_of_texts

__all__ = ["Columns", "NoValue", "OwnName"]


class NoValue(Exception):
    """Texts are not what somebody has declared their column to be; ``numbers``: which ones, from 0."""

    def __init__(self, name: str, kind: str, numbers: Sequence[int]) -> None:
        super().__init__(name)
        self.name, self.kind, self.numbers = name, kind, numbers


class OwnName(UnreadableFile):
    """A file has a column of the name of one that says where a row comes from."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Expected no column `{name}`, which says where a row comes from (`file_columns`, or a part of `path` like `{name}=*`), got one"
        )


class Columns:
    """Those of one stream. ``declared``: the properties that the config says."""

    def __init__(
        self, stream: str, declared: Mapping[str, Any], found: Mapping[str, Any], ours: Collection[str] = ()
    ) -> None:
        """``found``: properties of former runs, or of a catalog. ``ours``: columns that say where a row comes from, which no file may have."""
        self._ours = frozenset(ours)
        self._declared = dict(declared)
        self._found = {name: prop for name, prop in found.items() if name not in declared}
        self._fits: Callable[[Sequence[Any]], bool] | None = None
        self._kinds = {name: _declared_kind(stream, name, prop) for name, prop in declared.items()}

    def copy(self) -> Columns:
        """Return columns that learn without these."""
        other = copy(self)
        other._found = dict(self._found)
        return other

    @property
    def properties(self) -> dict[str, Any]:
        """The properties, in the order in which they were met; declared ones first."""
        return {**self._declared, **self._found}

    @property
    def inferred(self) -> Sequence[str]:
        """The names of those whose types are what was found."""
        return list(self._found)

    def check_names(self, names: Sequence[str]) -> None:
        """See that the columns of a file have other names than those of ours.

        Raises:
            OwnName: one has not.
        """
        for name in names:
            if name in self._ours:
                raise OwnName(name)

    def learn(self, fields: Mapping[str, Mapping[str, Any] | None]) -> bool:
        """Take the columns of a file; return whether that says anything new.

        ``fields``: see `formats.contract.Reader.fields`.
        """
        return any([self._merge(name, schema) for name, schema in fields.items()])

    def _merge(self, name: str, schema: Mapping[str, Any] | None) -> bool:
        if name in self._declared:
            return False
        known = self._found.get(name)
        if schema is None:
            if known is None:
                self._found[name] = {"type": ["null"]}
            return known is None
        merged = merge_schemas(known or {}, schema)
        self._found[name] = merged
        return merged != known

    def look(self, columns: Mapping[str, Column]) -> bool:
        """Learn the types of columns of texts; return whether that says anything new."""
        return any([self._look(name, values) for name, values in columns.items()])

    def _look(self, name: str, values: Column) -> bool:
        if name in self._declared:
            return False
        before = self._kind(name)
        kind = kind_of_texts(values, before)
        if kind == before:
            return False
        self._found[name] = {"type": ["null", kind]}
        return True

    def look_at_records(self, records: Sequence[Any]) -> bool:
        """Learn the fields of JSON objects, by their types alone; return whether that says anything new.

        Raises:
            OwnName: a record has a field of the name of a column of ours.
        """
        if self._fits is None:
            known = {name: prop for name, prop in self._by_type.items() if name not in self._ours}
            self._fits = checker_of({"type": "object", "properties": known})
        if not records or self._fits(records):
            return False
        self._fits = None
        inference = SchemaInference()
        inference.observe(records)
        found = inference.schema()["properties"]
        self.check_names([*found])
        return any([self._merge(name, {"type": prop["type"]}) for name, prop in found.items()])

    @property
    def _by_type(self) -> dict[str, Any]:
        """What records are held against: of declared ones nothing."""
        return {**{name: {} for name in self._declared}, **self._found}

    def _kind(self, name: str) -> str:
        """Return what a column was found to be, as `typing.texts` has it; "": nothing yet."""
        said = kind_of(self._found.get(name, {}))
        return said if said in ("", "integer", "number") else "string"

    def as_json(self, columns: CellColumns, sent: Collection[str]) -> dict[str, JsonColumn]:
        """Return those of the columns as JSON of which no value has to be looked at alone; the others are for `convert`."""
        made = {}
        for name in columns:
            if name in sent:
                with suppress(Misfit):
                    made[name] = as_json(
                        self._kinds.get(name) or self._kind(name),
                        columns.fields(name),
                        columns.nulls,
                        is_escaped=columns.cells.is_escaped,
                    )
        return made

    def convert(self, columns: Mapping[str, Column]) -> dict[str, Column]:
        """Return the values of columns of texts.

        Raises:
            NoValue: a text is not what its column was declared to be.
            Misfit: a column has to be looked at, and is of another type then.
        """
        return {name: self._convert(name, values) for name, values in columns.items()}

    def _convert(self, name: str, values: Column) -> Column:
        declared = DECLARED.get(self._kinds.get(name, ""))
        if declared is None:
            kind = self._kind(name)
            if kind:
                return CONVERTERS[kind](values)
            if any(values):
                raise Misfit
            return [None] * len(values)
        try:
            return declared(values)
        except Misfit:
            bad = [number for number, value in enumerate(values) if not _takes(declared, value)]
            raise NoValue(name, kind_of(self._declared[name]), bad) from None


def _takes(converter: Callable[[Column], Column], value: Any) -> bool:
    try:
        converter([value])
    except Misfit:
        return False
    return True


def _declared_kind(stream: str, name: str, prop: Mapping[str, Any]) -> str:
    kind = kind_of(prop)
    for known in _likely(kind):
        if known in DECLARED:
            return known
    raise ConfigurationError(
        f"Expected a type of a text at `schema.properties.{name}` of stream `{stream}` (integer, number, boolean, string), got `{kind or 'none'}`."
    )


def _likely(kind: str) -> Iterator[str]:
    yield kind
    if kind.startswith("string "):
        yield "string"
