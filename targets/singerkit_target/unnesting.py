"""Nested data taken apart before it is loaded: SCHEMA messages and runs of records become those of flat ones.

What comes behind knows of none of it: a stream has the columns that its taken apart SCHEMA names.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from singerkit_catalog.unnesting import Part, SameName, asks_more, parts_of, taken_apart
from singerkit_shell.errors import ConfigurationError
from singerkit_state.value import decode, encode
from singerkit_wire.declarations import declared_schema, read_declaration
from singerkit_wire.messages import Message, Run
from singerkit_wire.stream import Stream
from singerkit_wire.unnesting import Unnester

__all__ = ["Flattening", "Unnesting"]


@dataclass(frozen=True)
class Flattening:
    """Objects are taken apart, ``depth`` of them inside each other; ``separator`` stands between the names."""

    depth: int
    separator: str


@dataclass
class _Apart:
    """A stream whose records are taken apart; ``declared`` is the message that its last SCHEMA has become, with these objects whole."""

    fingerprint: bytes
    schema: Message
    record: Part
    unnester: Unnester
    declared: Message
    whole: frozenset[str] = frozenset()


class Unnesting:
    """The streams of a run; ``of`` says of each by its name how it is taken apart, None: not at all."""

    def __init__(self, of: Callable[[str], Flattening | None], log: logging.Logger) -> None:
        self._of = of
        self._log = log
        self._apart: dict[str, _Apart] = {}
        self._warned: set[str] = set()

    def segments(self, segments: Iterable[Sequence[Run | Message]]) -> Iterator[Sequence[Run | Message]]:
        """Yield segments with their records taken apart, each SCHEMA by itself."""
        for segment in segments:
            if isinstance(segment[0], Message) and segment[0].type == "SCHEMA":
                yield [self._declared(segment[0])]
                continue
            ready: list[Run | Message] = []
            for part in segment:
                if isinstance(part, Run) and part.stream in self._apart:
                    run, schema = self._taken(part)
                    if schema is not None:
                        if ready:
                            yield ready
                            ready = []
                        yield [schema]
                    part = run
                ready.append(part)
            yield ready

    def parts(self, runs: Iterable[Run]) -> Iterator[Run | Message]:
        """Yield runs from elsewhere with their records taken apart, and what declares them before each: they may come once more."""
        for run in runs:
            if run.stream not in self._apart:
                yield run
                continue
            taken, _ = self._taken(run)
            yield self._apart[run.stream].declared
            yield taken

    def see_columns(self, stream: Stream) -> None:
        """Note which objects that are taken apart have a column in the table all the same: it is null where they are."""
        if stream.apart:
            self._apart[stream.name].unnester.holds_whole(set(stream.apart.intersection(stream.column_names)))

    def _taken(self, run: Run) -> tuple[Run, Message | None]:
        """Return a run taken apart, and the SCHEMA that has to come before it, if there is a new one."""
        apart = self._apart[run.stream]
        taken = apart.unnester.apart(run)
        if apart.unnester.whole == apart.whole:
            return taken, None
        apart.whole = frozenset(apart.unnester.whole)
        apart.declared = _message(apart.schema, apart.record, apart.whole)
        return taken, apart.declared

    def _declared(self, message: Message) -> Message:
        how = None if message.stream is None else self._of(message.stream)
        if how is None:
            return message
        declaration = read_declaration(message)
        name = declaration.stream
        before = self._apart.pop(name, None)
        if before is not None and before.fingerprint == declaration.fingerprint:
            self._apart[name] = before
            return before.declared
        schema = declared_schema(declaration, message.number)
        keys = declaration.key_properties or ()
        try:
            record = parts_of(schema, keys, how.depth, how.separator)
        except SameName as same:
            raise ConfigurationError(
                f"Stream `{name}`: `{same.path}` would be called `{same.name}` where its object is taken apart (`nested`), and another field "
                "would be called so, too; nothing of this stream was written: choose another `separator`, then run again."
            ) from None
        if record is None:
            return message
        if more := asks_more(schema):
            self._warn_once(
                name,
                f"Stream `{name}` stays nested, whatever `nested` says: its SCHEMA asks by {', '.join(f'`{key}`' for key in more)} more of a record "
                "than of its single fields.",
            )
            return message
        whole = frozenset() if before is None else before.whole & {part.name for part in record.all_parts()}
        is_closed = schema.get("additionalProperties") is False
        unnester = Unnester(name, record, how.separator, is_closed=is_closed)
        unnester.holds_whole(set(whole))
        declared = _message(message, record, whole)
        self._apart[name] = _Apart(declaration.fingerprint, message, record, unnester, declared, whole)
        return declared

    def _warn_once(self, stream: str, sentence: str) -> None:
        if stream not in self._warned:
            self._warned.add(stream)
            self._log.warning("%s", sentence)


def _message(message: Message, record: Part, whole: frozenset[str]) -> Message:
    """Return a SCHEMA message as that of records that were taken apart."""
    said: dict[str, Any] = decode(str(message.line, "utf-8"))
    said["schema"] = taken_apart(record, whole)
    said["apart"] = [part.name for part in record.all_parts() if part is not record]
    if isinstance(said.get("inferred"), list):
        said["inferred"] = [name for key in said["inferred"] for name in _names(record, str(key))]
    return msgspec.structs.replace(message, line=encode(said).encode())


def _names(record: Part, key: str) -> list[str]:
    """Return the names under which a field of a record goes on."""
    if key not in record.objects:
        return [key]
    parts = record.objects[key].all_parts()
    return [key, *(name for part in parts for name in part.leaves.values())]
