"""Nested data taken apart before it is loaded: SCHEMA messages and runs of records become those of flat ones.

What comes behind knows little of it: a stream has the columns that its taken apart SCHEMA names, and the elements of lists are the
records of streams of their own, of which each record of the first one brings all (docs/decisions/0061-nested-data.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from singerkit_catalog.unnesting import (
    POSITION,
    ROW_ID,
    SameName,
    Table,
    asks_more,
    child_schema,
    parts_of,
    root_key,
    taken_apart,
    with_row_id,
)
from singerkit_shell.errors import ConfigurationError
from singerkit_state.value import decode, encode
from singerkit_wire.declarations import Declaration, declared_schema, read_declaration
from singerkit_wire.messages import Message, Run
from singerkit_wire.replacing import read_replacement
from singerkit_wire.rowids import RowIds
from singerkit_wire.stream import Stream
from singerkit_wire.unnesting import Unnester, Wanted
from singerkit_wire.unnestingnames import table_name

__all__ = ["TakingApart", "Unnesting"]


@dataclass(frozen=True)
class TakingApart:
    """Objects are taken apart, ``depth`` of them inside each other, and lists with ``lists``; ``separator`` stands between the names.

    ``appends``: each record is a row of its own, whatever its key, to which the elements of its lists refer by an id that it gets.
    """

    depth: int
    separator: str
    lists: bool = False
    appends: bool = False


@dataclass
class _Apart:
    """A stream whose records are taken apart; ``whole`` is what its SCHEMA messages, by table, say to stand there whole."""

    fingerprint: bytes
    schema: Message
    table: Table
    wanted: Wanted
    unnester: Unnester
    whole: Mapping[str, frozenset[str]]

    def declared(self, name: str) -> Message:
        """Return the SCHEMA message of the stream, or of a table of its lists."""
        table = self.unnester.tables[name].table
        if table.level:
            return _message_of_lists(self.schema, name, table, self.table, self.wanted, self.whole[name])
        return _message(self.schema, table, self.whole[name])

    def all_declared(self) -> list[Message]:
        return [self.declared(name) for name in self.unnester.tables]


class Unnesting:
    """The streams of a run; ``of`` says of each by its name how it is taken apart, None: not at all.

    ``owners`` are the streams, by those of their lists, which others have to know of. ``deletes_marked``: a row goes whose record says so.
    ``missing_is_null`` tells of a stream what a field means that a record leaves out, ``keys`` which key the config gives it (`Abilities`), ``lists``
    which tables the target has with elements of its lists (`KeepsLists`).
    """

    def __init__(
        self,
        of: Callable[[str], TakingApart | None],
        log: logging.Logger,
        *,
        owners: dict[str, str] | None = None,
        deletes_marked: bool = False,
    ) -> None:
        self._of = of
        self._log = log
        self._owners = {} if owners is None else owners
        self._deletes_marked = deletes_marked
        self.missing_is_null: Callable[[str], bool] = lambda _stream: True
        self.keys: Callable[[str], tuple[str, ...] | None] = lambda _stream: None
        self.lists: Callable[[str, Sequence[str], Sequence[str]], Mapping[str, bool]] = lambda *_: {}
        self._apart: dict[str, _Apart] = {}
        self._declared: set[str] = set()
        self._warned: set[str] = set()

    def segments(self, segments: Iterable[Sequence[Run | Message]]) -> Iterator[Sequence[Run | Message]]:
        """Yield segments with their records taken apart, each SCHEMA by itself."""
        for segment in segments:
            first = segment[0]
            if isinstance(first, Message) and first.type != "STATE":
                for message in self.messages(first):
                    yield [message]
                continue
            ready: list[Run | Message] = []
            for part in segment:
                if not (isinstance(part, Run) and part.stream in self._apart):
                    ready.append(part)
                    continue
                runs, schemas = self._taken(part)
                if schemas and ready:
                    yield ready
                    ready = []
                for schema in schemas:
                    yield [schema]
                ready += runs
            yield ready

    def parts(self, runs: Iterable[Run]) -> Iterator[Run | Message]:
        """Yield runs from elsewhere with their records taken apart, and what declares them before each: they may come once more."""
        for run in runs:
            if run.stream not in self._apart:
                yield run
                continue
            taken, _ = self._taken(run)
            yield from self._apart[run.stream].all_declared()
            yield from taken

    def owner(self, stream: str) -> str:
        """Return the stream that the tap sends, of one of lists that which they are in."""
        return self._owners.get(stream, stream)

    def see_columns(self, stream: Stream) -> None:
        """Note what is taken apart and has a column in the table all the same: it is null where it is."""
        apart = self._apart.get(self.owner(stream.name)) if stream.apart else None
        # A unit that is written again declares what a later SCHEMA may have taken back.
        if apart is not None and stream.name in apart.unnester.tables:
            apart.unnester.holds_whole(stream.name, stream.apart.intersection(stream.column_names))

    def _taken(self, run: Run) -> tuple[list[Run], list[Message]]:
        """Return a run taken apart, and the SCHEMA messages that have to come before it."""
        apart = self._apart[run.stream]
        runs, whole = apart.unnester.apart(run), apart.unnester.whole()
        changed = [name for name in whole if whole[name] != apart.whole[name]]
        apart.whole = whole
        return runs, [apart.declared(name) for name in changed]

    def messages(self, message: Message) -> list[Message]:
        """Return what becomes of a message that is no record: a SCHEMA is that of its stream, and those of the tables of its lists."""
        if message.type == "SCHEMA" and message.stream is not None:
            return self._schemas(message, message.stream)
        if message.type == "REPLACE" and message.stream in self._apart:
            return self._replacements(message, self._apart[message.stream])
        if message.type == "ACTIVATE_VERSION" and message.stream in self._apart:
            tables = self._apart[message.stream].unnester.tables
            for names in tables.values():  # which may come to nothing but marks, too
                names.may_be_marked = True
            return [_of_stream(message, name) if name != message.stream else message for name in tables]
        return [message]

    def _replacements(self, message: Message, apart: _Apart) -> list[Message]:
        """Return a REPLACE as that of its stream, and of the elements of its lists, which know their record by its key alone.

        Where that is what the rows are found by, so are the elements; else those go at the end of the unit whose record is gone.
        """
        where = read_replacement(message).where or {}
        keys = apart.wanted.keys if apart.wanted.row_ids is None else ()
        of_lists = (
            {root_key(name): value for name, value in where.items()} if where.keys() <= {*keys} else None
        )
        made = [message]
        for name, names in apart.unnester.tables.items():
            names.may_be_marked = True
            if name != message.stream:
                said = {"type": "REPLACE", "stream": name, "where": of_lists}
                made.append(msgspec.structs.replace(message, stream=name, line=encode(said).encode()))
        return made

    def _schemas(self, message: Message, name: str) -> list[Message]:
        if name in self._owners:
            raise self._taken_name(name, self._owners[name])
        self._declared.add(name)
        how = self._of(name)
        if how is None:
            return [message]
        declaration = read_declaration(message)
        before = self._apart.pop(name, None)
        if before is None or before.fingerprint != declaration.fingerprint:
            made = self._made(message, declaration, how, before)
            if made is None:
                return [message]
            before = made
        self._apart[name] = before
        return before.all_declared()

    def _made(
        self, message: Message, declaration: Declaration, how: TakingApart, before: _Apart | None
    ) -> _Apart | None:
        """Return how the records of a stream are taken apart; None: they are not."""
        name, schema = declaration.stream, declared_schema(declaration, message.number)
        given = self.keys(name)
        keys = tuple(dict.fromkeys(declaration.key_properties or ())) if given is None else given
        more, row_ids = asks_more(schema), None
        try:
            table = parts_of(schema, keys, how.depth, how.separator, lists=how.lists)
            if how.appends and table is not None and table.inner_tables() and not more:
                if ROW_ID in schema["properties"]:
                    raise _taken_row_id(name)
                schema, row_ids = with_row_id(schema), RowIds()
                table = parts_of(schema, [*keys, ROW_ID], how.depth, how.separator, lists=True)
                keys = (ROW_ID,)
        except SameName as same:
            raise ConfigurationError(
                f"Stream `{name}`: `{same.path}` would be called `{same.name}` where what it is in is taken apart (`nested`), and another field "
                "would be called so, too; nothing of this stream was written: choose another `separator`, then run again."
            ) from None
        if not keys_are_there(keys, schema):
            return None
        if more and table is not None:
            table = None
            self._warn_once(
                name,
                f"Stream `{name}` stays nested, whatever `nested` says: its SCHEMA asks by {', '.join(f'`{key}`' for key in more)} more of a record "
                "than of its single fields.",
            )
        named = (
            [] if table is None else [table_name(name, one, how.separator) for one in table.inner_tables()]
        )
        follows = how.lists and not how.appends and bool(keys)
        unnamed = self._unnamed(name, keys, named, before) if follows else {}
        if table is None and unnamed:
            table = parts_of(schema, keys, 0, how.separator, always=True)
        if table is None:
            return None
        wanted = Wanted(
            how.separator,
            keys,
            is_closed=schema.get("additionalProperties") is False,
            missing_is_null=self.missing_is_null(name),
            deletes_marked=self._deletes_marked and row_ids is None,
            row_ids=row_ids,
        )
        marks = None if before is None else before.unnester.marks
        unnester = Unnester(name, table, wanted, unnamed, marks)
        self._own(name, keys, [*named, *unnamed])
        for one, whole in ({} if before is None else before.whole).items():
            if one in unnester.tables:
                unnester.holds_whole(one, whole & unnester.tables[one].table.wholes().keys())
        return _Apart(declaration.fingerprint, message, table, wanted, unnester, unnester.whole())

    def _unnamed(
        self, stream: str, keys: Sequence[str], named: Sequence[str], before: _Apart | None
    ) -> dict[str, bool]:
        """Return the tables of lists of a stream that there are, and that its SCHEMA does not name; and whether elements there may be marked."""
        found = dict(self.lists(stream, keys, named))
        if before is not None and before.wanted.keys == tuple(keys):
            found |= {name: one.may_be_marked for name, one in before.unnester.tables.items()}
        return {name: found[name] for name in sorted(found.keys() - {stream, *named})}

    def _own(self, stream: str, keys: Sequence[str], children: Sequence[str]) -> None:
        if children and not keys:
            raise ConfigurationError(
                f"Stream `{stream}` has no key, by which the rows of its lists would be known (`child_tables` at `nested`); nothing of this stream was "
                f'written: give it a key in the tap, or append its rows (`load_method`), or keep its lists whole with `"{stream}": "flatten"` or `"jsonb"` there, then run again.'
            )
        for child in children:
            if child in self._declared or self._owners.get(child, stream) != stream:
                raise self._taken_name(child, stream)
            self._owners[child] = stream

    def _taken_name(self, child: str, stream: str) -> ConfigurationError:
        return ConfigurationError(
            f"The rows of lists of stream `{stream}` would be those of a stream `{child}` (`child_tables` at `nested`), and another stream is called so; "
            f"nothing of it was written: choose another `separator` for `{stream}`, or rename the table of those lists where no SCHEMA names them any "
            "more, then run again."
        )

    def _warn_once(self, stream: str, sentence: str) -> None:
        if stream not in self._warned:
            self._warned.add(stream)
            self._log.warning("%s", sentence)


def _taken_row_id(stream: str) -> ConfigurationError:
    return ConfigurationError(
        f"Expected no field `{ROW_ID}` in the SCHEMA of stream `{stream}`, whose rows are appended (`load_method`) and get one for the elements of their lists "
        "(`child_tables` at `nested`); nothing of this stream was written: leave it out with `select`, or keep its lists whole with "
        f'`"{stream}": "flatten"` or `"jsonb"` at `nested`, then run again.'
    )


def keys_are_there(keys: Iterable[str], schema: Mapping[str, Any]) -> bool:
    return all(key in (schema.get("properties") or {}) for key in keys)


def _message(message: Message, table: Table, whole: frozenset[str]) -> Message:
    """Return a SCHEMA message as that of records that were taken apart."""
    said: dict[str, Any] = decode(str(message.line, "utf-8"))
    said["schema"] = taken_apart(table, whole)
    said["apart"] = list(table.wholes())
    if isinstance(said.get("inferred"), list):
        said["inferred"] = [name for key in said["inferred"] for name in _names(table, str(key))]
    return msgspec.structs.replace(message, line=encode(said).encode())


def _message_of_lists(
    message: Message, name: str, table: Table, stream: Table, wanted: Wanted, whole: frozenset[str]
) -> Message:
    """Return the SCHEMA message of the elements of lists."""
    said: dict[str, Any] = decode(str(message.line, "utf-8"))
    schema = child_schema(table, stream.row, wanted.keys, whole)
    keys = [*map(root_key, wanted.keys), POSITION]
    made: dict[str, Any] = {
        "type": "SCHEMA",
        "stream": name,
        "schema": schema,
        "key_properties": keys if wanted.row_ids is None else [],
        "apart": list(table.wholes()),
        "lists_of": message.stream,
        "unnamed": table.is_unnamed,
    }
    inferred = said.get("inferred")
    if isinstance(inferred, list) and table.row.where and table.row.where[0] in inferred:
        made["inferred"] = [key for key in schema["properties"] if key not in keys]
    return msgspec.structs.replace(message, stream=name, line=encode(made).encode())


def _of_stream(message: Message, name: str) -> Message:
    said = {**decode(str(message.line, "utf-8")), "stream": name}
    return msgspec.structs.replace(message, stream=name, line=encode(said).encode())


def _names(table: Table, key: str) -> list[str]:
    """Return the names under which a field of a record goes on."""
    part = table.row.objects.get(key)
    if part is None:
        return [key]
    return [key, *(name for inner in part.all_parts() for name in inner.leaves.values())]
