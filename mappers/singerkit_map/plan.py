"""The operations of one stream at work: its SCHEMA first, then the records of each run, its versions and what it replaces."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from singerkit_catalog.admitted import types_of
from singerkit_catalog.schema import or_null
from singerkit_map.block import Bad, Block, Place
from singerkit_map.contract import OfValue, Operation, hides
from singerkit_map.jsontexts import text_of
from singerkit_map.paths import Impossible, Path, with_schema_at
from singerkit_map.records import RecordReader, lines_of
from singerkit_map.shape import Shape
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.validate import line_of
from singerkit_state.value import decode, encode
from singerkit_wire.batch import SET_ASIDE_BY, Letters, Reject
from singerkit_wire.columns import Columns
from singerkit_wire.declarations import Declaration, declared_schema, read_declaration
from singerkit_wire.messages import Message, Run
from singerkit_wire.replacing import read_replacement
from singerkit_wire.stream import DELETED_AT

__all__ = ["Plan", "plan_of", "replace_line"]

_KEPT = ("type", "properties", "required", "additionalProperties", "$schema", "title", "description")
_BESIDE = ("time_extracted", "version")
_KEYS: Mapping[str, Set[str]] = {
    "ACTIVATE_VERSION": {"type", "stream", "version"},
    "REPLACE": {"type", "stream", "where"},
}
"""What Singer, and agreements of ours, have in a message."""
_NO_JUDGES = ("$id", "id", "$comment", "$defs", "definitions", "examples", "default")


class Plan:
    """What is done to one stream; ``fingerprint`` is that of its SCHEMA message, ``is_dropped``: nothing of it goes on."""

    def __init__(
        self, fingerprint: bytes, steps: Sequence[tuple[Operation, Shape]], shape: Shape, place: Place
    ) -> None:
        self.fingerprint = fingerprint
        self.shape = shape
        self.is_dropped = not shape.stream
        self.hides = any(hides(operation) for operation, _ in steps)
        """Whether values are kept from going on: so is what no operation works on."""
        self.left_out: set[str] = set()
        """The keys beside records that were left out for that."""
        self.steps = steps
        """Each operation with the shape of the records before it."""
        self._place = place
        self._schema: tuple[bytes, bytes] | None = None
        first = steps[0][1]
        self._reader = RecordReader(place.stream, list(first.fields))
        self._known = frozenset(first.fields)
        self._made = (
            frozenset(name for _, one in [*steps, (None, shape)] for name in one.fields)
            - self._known
            - {DELETED_AT}
        )

    def schema(self, message: Message, log: logging.Logger) -> Message:
        """Return the SCHEMA message of what comes out, made once of lines that say the same."""
        if self._schema is None or self._schema[0] != message.line:
            self._schema = message.line, self._made_schema(message, log)
        return Message("SCHEMA", self.shape.stream, self._schema[1], message.number)

    def _made_schema(self, message: Message, log: logging.Logger) -> bytes:
        said: dict[str, Any] = decode(str(message.line, "utf-8"))
        shape = self.shape
        schema = declared_schema(read_declaration(message), message.number)
        kept = set(_KEPT)
        if "patternProperties" in schema or any(getattr(one, "makes_others", False) for one, _ in self.steps):
            kept.remove("additionalProperties")
        lost = [
            key for key in schema if key not in kept and key not in _NO_JUDGES and not key.startswith("x-")
        ]
        if lost:
            log.warning(
                "Stream `%s`: its SCHEMA judges records as a whole by `%s`, which says nothing of them behind the map, and is left out.",
                self._place.stream,
                "`, `".join(lost),
            )
        required = [name for name in shape.fields if name in shape.required]
        made = {key: schema[key] for key in schema if key in kept or key.startswith("x-")}
        made |= {"type": schema.get("type", "object"), "properties": dict(shape.fields)}
        made.pop("required", None)
        if required:
            made["required"] = required
        said |= {"stream": shape.stream, "schema": made, "key_properties": list(shape.keys)}
        said.pop("bookmark_properties", None)
        if shape.bookmarks:
            said["bookmark_properties"] = list(shape.bookmarks)
        if isinstance(said.get("inferred"), list):
            said["inferred"] = list(shape.inferred)
        return encode(said).encode()

    def run(self, run: Run) -> Iterator[Run | Letters]:
        """Yield what becomes of the records of a run: those that are set aside, then the others.

        Raises:
            BadDataError: one is bad, and `on_error` is `fail`.
        """
        block = self._reader.block(run, self._place)
        self._check_unknown(block)
        if self.hides:
            self._leave_out_others(block)
        for operation, before in self.steps:
            operation.apply(block, before)
        for stream, records in block.beside.items():
            yield _run_of(stream, records, run)
        if block.bad:
            yield self._letters(block)
        if len(block):
            lines = block.lines
            in_order = isinstance(lines, range)
            held = Columns(
                block.columns,
                len(lines),
                len(run.data) * len(lines) // run.lines,
                partial(lines_of, block, self.shape.stream),
                block.common,
                block.envelope,
            )
            yield Run(
                self.shape.stream,
                held,
                len(lines),
                lines[0],
                () if in_order else tuple(lines),
            )

    def _check_unknown(self, block: Block) -> None:
        """See that no record has a field that its SCHEMA does not name, and that the map makes."""
        if len(block.columns) == len(self._known) or self._made.isdisjoint(block.columns):
            return
        for name in sorted(self._made & block.columns.keys()):
            bad = Bad(
                name,
                "expected no field of a name that the map makes, and that the SCHEMA does not have",
                self.steps[0][0].place,
            )
            for row, value in enumerate(block.columns.pop(name)):
                if value is not UNSET:
                    block.nulled(row, bad)

    def _leave_out_others(self, block: Block) -> None:
        """Leave out what stands beside records and Singer does not have: nobody knows whether values are in it that are to be hidden."""
        others = block.envelope.keys() - set(_BESIDE)
        for name in others:
            del block.envelope[name]
        beside = decode(f"{{{str(block.common[1:], 'utf-8')}}}") if block.common else {}
        if beside.keys() - set(_BESIDE):
            others |= beside.keys() - set(_BESIDE)
            kept = {name: beside[name] for name in _BESIDE if name in beside}
            block.common = b"," + encode(kept).encode()[1:-1] if kept else b""
        self.left_out |= others

    def without_others(self, message: Message) -> Message:
        """Return a message of a stream without keys that Singer does not have, where values are hidden."""
        said = decode(str(message.line, "utf-8")) if self.hides else {}
        others = said.keys() - _KEYS.get(message.type, said.keys())
        if not others:
            return message
        self.left_out |= others
        kept = {name: value for name, value in said.items() if name not in others}
        return replace_line(message, message.stream or "", kept)

    def _letters(self, block: Block) -> Letters:
        """Take the records out that are set aside, as the operations have left them."""
        bad = dict(block.bad)
        whole = Block(
            block.place, dict(block.columns), block.lines, envelope=dict(block.envelope), common=block.common
        )
        whole.take(sorted(bad))
        stream = self.shape.stream
        rejects = tuple(
            Reject(
                stream,
                line,
                f"$.{one.path}",
                f"{one.reason[:1].upper()}{one.reason[1:]} (`{one.place}`)",
                b'%b,"%b":%b}' % (text[:-1], SET_ASIDE_BY.encode(), msgspec.json.encode(one.place)),
            )
            for line, one, text in zip(
                whole.lines,
                [bad[row] for row in sorted(bad)],
                lines_of(whole, stream).split(b"\n"),
                strict=False,
            )
        )
        block.take([row for row in range(len(block)) if row not in bad])
        return Letters("LETTERS", stream, b"", rejects[0].line, rejects)

    def replacement(self, message: Message) -> Message:
        """Return a REPLACE message with the names and values that its fields have behind the map.

        Raises:
            ConfigurationError: no rows are found by them there.
        """
        where = read_replacement(message).where or {}
        images = {origin: name for name, origin in self.shape.came_as.items()}
        for name in where:
            if self.shape.is_opaque or name not in images or images[name] in self.shape.merged:
                raise ConfigurationError(
                    f"The tap takes rows of stream `{self._place.stream}` away by `{name}` (REPLACE at line {message.number}), by which they are not found "
                    "behind the map, which drops or changes it; nothing of it was taken away: leave that field as it is, or rename it only, then run again."
                )
        self.forget()
        block = self._values(where)
        for operation, before in self.steps:
            if not _is_of_rows(operation):
                operation.apply(block, before)
        said = decode(str(message.line, "utf-8"))
        found = {images[name]: decode(str(bytes(block.columns[images[name]][0]), "utf-8")) for name in where}
        said |= {"stream": self.shape.stream, "where": found}
        return replace_line(message, self.shape.stream, said)

    def _values(self, where: Mapping[str, Any]) -> Block:
        columns: dict[str, Any] = {
            name: [Raw(text_of(where[name])) if name in where else UNSET] for name in self.steps[0][1].fields
        }
        return Block(replace(self._place, on_error="fail"), columns, [0])

    def streams_beside(self) -> dict[str, tuple[Mapping[str, Any], Sequence[str]]]:
        """Return the streams that operations fill besides, each with its schema and keys."""
        found: dict[str, tuple[Mapping[str, Any], Sequence[str]]] = {}
        for operation, before in self.steps:
            if (side_streams := getattr(operation, "side_streams", None)) is not None:
                found |= side_streams(before)
        return found

    def hidden_keys(self) -> list[tuple[str, str]]:
        """Return the operations that hide a field of the key, each with that field."""
        return [
            (operation.place, operation.field)
            for operation, before in self.steps
            if isinstance(operation, OfValue)
            and operation.protects
            and operation.into is None
            and operation.field in before.keys
        ]

    @property
    def remembers(self) -> bool:
        """Whether what becomes of a record depends on those that came before."""
        return any(hasattr(operation, "forget") for operation, _ in self.steps)

    @property
    def is_of_each(self) -> bool:
        """Whether what becomes of a record depends on nothing but itself, and is nothing besides it."""
        return not self.remembers and not self.streams_beside()

    def forget(self) -> None:
        """What came before no longer says what is there: rows of it were taken away."""
        for operation, _ in self.steps:
            if (forget := getattr(operation, "forget", None)) is not None:
                forget(self._place.stream)


def _is_of_rows(operation: Operation) -> bool:
    return getattr(operation, "is_of_rows", False)


def _run_of(stream: str, records: Sequence[bytes], run: Run) -> Run:
    head = b'{"type":"RECORD","stream":%s,"record":' % msgspec.json.encode(stream)
    data = b"".join([head + record + b"}\n" for record in records])
    return Run(stream, data, len(records), run.first_line, (run.first_line,) * len(records))


def replace_line(message: Message, stream: str, said: Mapping[str, Any]) -> Message:
    """Return a message of another stream that says something else."""
    return Message(message.type, stream, encode(said).encode(), message.number)


def plan_of(
    message: Message, declaration: Declaration, operations: Sequence[Operation], place: Place
) -> Plan:
    """Return what is done to a stream that a SCHEMA message declares.

    Raises:
        ConfigurationError: an operation cannot be done to such records.
        BadDataError: the SCHEMA is not valid.
    """
    schema = declared_schema(declaration, message.number)
    keys = tuple(dict.fromkeys(declaration.key_properties or ()))
    bookmarks = declaration.bookmark_properties
    shape = Shape(
        declaration.stream,
        schema.get("properties") or {},
        keys,
        tuple(map(str, bookmarks)) if isinstance(bookmarks, list) else (),
        frozenset(map(str, schema.get("required") or ())),
        tuple(map(str, declaration.inferred)) if isinstance(declaration.inferred, list) else (),
    )
    if not shape.fields and any(not _is_of_streams(one) for one in operations):
        raise BadDataError(
            f"The SCHEMA of stream `{declaration.stream}` at line {message.number} names no fields, on which the operations of `{operations[0].place}` could "
            "work; nothing of this stream was written: let the tap name them, or take those operations out, then run again."
        )
    steps: list[tuple[Operation, Shape]] = []
    for operation in operations:
        try:
            after = operation.outcome(shape)
            if place.on_error == "null":
                after = _admitting_null(operation, shape, after)
            _check_keys(shape, after)
        except Impossible as impossible:
            raise _not_done(operation, declaration.stream, message.number, impossible) from None
        steps.append((operation, shape))
        shape = after
        if not shape.stream:
            break
    return Plan(declaration.fingerprint, steps, shape, place)


def _admitting_null(operation: Operation, before: Shape, after: Shape) -> Shape:
    """Return a shape in which may be null what an operation makes, as bad values become so, and what it looks into; keys never."""
    may_be_null: Callable[[Shape], Sequence[Path]] = getattr(operation, "may_be_null", lambda _: ())
    for path in may_be_null(before):
        if path.top not in after.keys:
            after = replace(after, fields=with_schema_at(after.fields, path, or_null))
    return after


def _is_of_streams(operation: Operation) -> bool:
    return getattr(operation, "is_of_streams", False)


def _check_keys(before: Shape, after: Shape) -> None:
    """See that no key has become something that may be null."""
    for key in after.keys if after.stream else ():
        if key not in after.fields:
            raise Impossible(f"`{key}` is in the key of the stream, and would be no field any more")
        was, may = (types_of(one.fields.get(key, {})) for one in (before, after))
        if "null" in may and was and "null" not in was:
            raise Impossible(f"`{key}` is in the key of the stream, and might become null")


def _not_done(operation: Operation, stream: str, line: int, impossible: Impossible) -> ConfigurationError:
    place = f"{operation.place}.{impossible.setting}" if impossible.setting else operation.place
    sentence = str(impossible)
    return ConfigurationError(
        f"{sentence[:1].upper()}{sentence[1:]}, at `{place}`{line_of(place)}, of stream `{stream}` (SCHEMA at line {line}); no row of it was read: correct "
        "the map, then run again."
    )
