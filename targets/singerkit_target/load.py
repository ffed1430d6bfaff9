"""The commit loop: read blocks, write rows, commit at STATE (DESIGN 5).

A unit of commit is everything received since the last commit up to a STATE, of all streams, plus that STATE.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

import msgspec

from singerkit_catalog.schema import resolve_refs
from singerkit_shell.errors import BadDataError, ConfigurationError, SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_state.lineage import check_start
from singerkit_state.value import Mark, decode, is_empty, read_mark
from singerkit_target.blocks import BlockDecoder, Judgement, MalformedLine, stream_of
from singerkit_target.contract import Batch, Loader, Reject, Stream
from singerkit_target.drafts import modern
from singerkit_target.lines import Chunk, read_chunks
from singerkit_target.messages import Message, Run, Splitter
from singerkit_target.publish import Publisher
from singerkit_target.summary import Summary
from singerkit_target.units import in_load_order, stretches

__all__ = ["Limits", "Load"]


@dataclass(frozen=True)
class Limits:
    """When to commit, and how much of anything is admitted. Sizes in bytes, times in seconds."""

    commit_rows: int = 500_000
    commit_bytes: int = 256 << 20
    commit_seconds: float = 10.0
    chunk_bytes: int = 1 << 20
    max_line_bytes: int = 64 << 20
    wait_seconds: float = 0.5
    max_rejects: int = 1000
    max_columns: int = 1600


class _SchemaMessage(msgspec.Struct):
    stream: str
    schema: msgspec.Raw
    key_properties: list[str] | None = None


class _StateMessage(msgspec.Struct):
    value: msgspec.Raw


class _VersionMessage(msgspec.Struct):
    stream: str
    version: int


_Rows = tuple[list[Batch], list[Reject]]


@dataclass
class _Unit:
    """What has been written since the last commit."""

    rows: int = 0
    size: int = 0
    has_tables: bool = False
    started: float = field(default_factory=time.monotonic)


class Load:
    """One run of a target over one input."""

    def __init__(
        self,
        loader: Loader,
        judgement: Judgement,
        limits: Limits,
        publisher: Publisher,
        stop: StopFlag,
        log: logging.Logger,
        *,
        pipeline: str | None = None,
        always_exact: bool = False,
    ) -> None:
        self._loader = loader
        self._judgement = replace(judgement, in_order=loader.appends)
        self._limits = limits
        self._publisher = publisher
        self._stop = stop
        self._log = log
        self._pipeline = pipeline
        self._always_exact = always_exact
        self._splitter = Splitter()
        self._decoders: dict[str, BlockDecoder] = {}
        self._declared: dict[str, bytes] = {}
        self._state: str | None = None  # the last STATE that covers what is written, not yet committed
        self._committed_state: str | None = None
        self._mark: Mark | None = None
        self._rows_after_state = False
        self._begun = False
        self._unit = _Unit()
        self._versions: dict[str, int] = {}
        self._warned: set[str] = set()
        self.summary = Summary()

    # --- the run -------------------------------------------------------------------------------------------

    def run(self, source: IO[Any]) -> Summary:
        """Load everything in ``source``.

        Raises:
            BadDataError: the input is malformed, cut short or invalid; the safe part is committed.
            Stopped: a signal came; the safe part is committed.
            RetryableError, ConfigurationError: as the target says; nothing uncommitted is kept.
        """
        try:
            self._loader.open()
            self._read(source)
            self._finish()
        except BadDataError as error:
            self._keep_safe_part()
            rows = self.summary.committed_rows
            raise BadDataError(
                f"{error} {rows} rows are committed, up to the last STATE before it."
            ) from error
        except SingerkitError:
            self._loader.rollback()
            if self._stop.count > 1:
                self._stop.raise_if_set(self._committed_so_far())
            raise
        finally:
            self._loader.close()
            if self.summary.received or self.summary.commits:
                self.summary.log(self._log)
        return self.summary

    def _read(self, source: IO[Any]) -> None:
        limits = self._limits
        for chunk in read_chunks(
            source,
            chunk_bytes=limits.chunk_bytes,
            max_line_bytes=limits.max_line_bytes,
            wait_seconds=limits.wait_seconds,
            stop=self._stop,
        ):
            parts, problem = self._parts(chunk)
            try:
                for stretch in stretches(parts):
                    self._handle_stretch(stretch)
                    if self._stop.count > 1:
                        break
            except MalformedLine as error:
                raise error.at(chunk) from None
            if self._stop:
                break
            if problem is not None:
                raise problem
            self._commit_if_due()

    def _parts(self, chunk: Chunk) -> tuple[list[Run | Message], BadDataError | None]:
        """Return what stands before the first malformed line of a chunk, and what is wrong with that line."""
        parts: list[Run | Message] = []
        if chunk.is_cut and not _is_json(chunk.data):
            return parts, BadDataError(
                f"The input ended in the middle of a message (line {chunk.first_line}); run the tap again."
            )
        try:
            parts.extend(self._splitter.split(chunk))
        except BadDataError as error:
            return parts, error
        return parts, None

    def _handle_stretch(self, stretch: Sequence[Run | Message]) -> None:
        """Load a stretch with its runs joined; one by one when a record is bad, to keep what stands before it."""
        try:
            decoded = [(part, self._decode(part)) for part in in_load_order(stretch)]
        except BadDataError:
            if len(stretch) == 1:
                raise
            for part in stretch:
                self._handle(part, self._decode(part))
            return
        for part, rows in decoded:
            self._handle(part, rows)

    def _handle(self, part: Run | Message, rows: _Rows | None) -> None:
        if isinstance(part, Run):
            assert rows is not None  # noqa: S101  decoded, as every run
            self._write(part, rows)
            return
        match part.type:
            case "SCHEMA":
                self._declare(part)
            case "STATE":
                self._take_state(part)
            case "ACTIVATE_VERSION":
                message = _decoded(part, _VersionMessage)
                self._versions[message.stream] = message.version
            case "BATCH":
                raise BadDataError(
                    f"Expected RECORD messages, got BATCH at line {part.number}; this target reads no batch files: "
                    "turn batches off in the tap (remove `batch_config`), then run again."
                )
            case _:
                self._warn_once(
                    f"Unknown message type `{part.type[:40]}` at line {part.number}: skipped.", part.type
                )

    def _warn_once(self, text: str, about: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            self._log.warning("%s", text)

    def _begin(self, start: Any, mark: Mark | None) -> None:
        """At the first message: ``start`` and ``mark`` are those of its STATE, if it is one."""
        if self._begun:
            return
        self._mark = mark
        pipeline = self._pipeline or (mark.pipeline if mark else "default")
        stored = self._loader.begin(pipeline)
        self._begun = True
        check_start(pipeline, stored, start, mark, self._publisher.state_file, self._log)

    # --- messages ------------------------------------------------------------------------------------------

    def _declare(self, part: Message) -> None:
        self._begin(None, None)
        message = _decoded(part, _SchemaMessage)
        fingerprint = bytes(message.schema) + repr(message.key_properties).encode()
        if self._declared.get(message.stream) == fingerprint:
            return
        stream = stream_of(
            message.stream,
            self._schema_of(message, part.number),
            tuple(message.key_properties or ()),
            keeps_text=self._loader.is_log,
        )
        if len(stream.columns) > self._limits.max_columns:
            raise BadDataError(
                f"Expected at most {self._limits.max_columns} properties, got {len(stream.columns)} in the schema of "
                f"stream `{stream.name}` at line {part.number}; select fewer fields in the tap, then run again."
            )
        self._loader.declare(stream)
        self._unit.has_tables = True
        self._declared[stream.name] = fingerprint
        self._decoders[stream.name] = BlockDecoder(
            stream, self._judgement, self._loader.declare, self._log, always_exact=self._always_exact
        )

    def _schema_of(self, message: _SchemaMessage, number: int) -> Mapping[str, Any]:
        try:
            schema = decode(str(bytes(message.schema), "utf-8"))
        except ValueError as error:
            raise BadDataError(
                f"The schema of stream `{message.stream}` at line {number} is not JSON: {error}"
            ) from None
        if not isinstance(schema, dict):
            raise BadDataError(
                f"Expected a JSON object as schema of stream `{message.stream}` at line {number}."
            )
        try:
            resolved = resolve_refs(schema, f"stream `{message.stream}`")
            return checked_schema(modern(resolved), message.stream, number)
        except ConfigurationError as error:
            raise BadDataError(f"{error} (line {number})") from None
        except RecursionError:
            raise BadDataError(
                f"Expected a schema of stream `{message.stream}` with less nesting at line {number}; leave the field "
                "out with `select`, then run again."
            ) from None

    def _take_state(self, part: Message) -> None:
        text, value = _state_of(part)
        mark = read_mark(value)
        self._begin(value, mark)
        if self._mark is not None:
            self._mark = mark
        self._rows_after_state = False
        if not is_empty(value):
            self._state = text
        self.summary.mark_safe()
        self._loader.mark_safe()
        self._commit_if_due()

    def _decode(self, run: Run | Message) -> _Rows | None:
        if not isinstance(run, Run):
            if run.type == "STATE":
                _state_of(run)  # a bad one is found before the rows it covers are written
            return None
        decoder = self._decoders.get(run.stream)
        if decoder is None:
            raise BadDataError(
                f"Expected a SCHEMA before the first RECORD of stream `{run.stream}`, got the RECORD at line "
                f"{run.first_line}."
            )
        return decoder.decode(run)

    def _write(self, run: Run, rows: _Rows) -> None:
        batches, rejects = rows
        stream = self._decoders[run.stream].stream
        for batch in batches:
            self._loader.write(stream, batch)
        self.summary.received[run.stream] += run.lines - len(rejects)
        self._unit.rows += run.lines
        self._unit.size += len(run.data)
        if rejects:
            self._set_aside(stream, rejects)
        self._rows_after_state = True

    def _set_aside(self, stream: Stream, rejects: Sequence[Reject]) -> None:
        self._loader.reject(rejects)
        self.summary.rejected[stream.name] += len(rejects)
        if self.summary.rejected.total() > self._limits.max_rejects:
            raise BadDataError(
                f"Expected at most {self._limits.max_rejects} records to be set aside (quarantine_limit), got more; "
                f"the last reason: {rejects[-1].reason} at {stream.name}.{rejects[-1].path}."
            )

    # --- commits -------------------------------------------------------------------------------------------

    def _commit_if_due(self) -> None:
        if self._rows_after_state or (self._unit.rows == 0 and self._state == self._committed_state):
            return
        unit, limits = self._unit, self._limits
        if (
            unit.rows >= limits.commit_rows
            or unit.size >= limits.commit_bytes
            or time.monotonic() - unit.started >= limits.commit_seconds
        ):
            self._commit()

    def _commit(self) -> None:
        state = self._state
        self._loader.commit(state)
        self.summary.commit()
        self._unit = _Unit()
        if state is not None and state != self._committed_state:
            self._committed_state = state
            self._publisher.publish(state)

    def _finish(self) -> None:
        if self._stop:
            self._keep_safe_part()
            self._stop.raise_if_set(self._committed_so_far())
        if not self._begun:
            self._log.warning("The input was empty: nothing to load.")
            return
        if self._mark is not None and (not self._mark.complete or self._rows_after_state):
            raise BadDataError(
                "The input ended before the tap had finished; rows after its last STATE were dropped."
            )
        for name, version in self._versions.items():
            if name in self._decoders:
                self._loader.activate_version(self._decoders[name].stream, version)
        if self._unit.rows or self._unit.has_tables or self._versions or self._state != self._committed_state:
            self._commit()

    def _keep_safe_part(self) -> None:
        """Commit up to the last STATE, drop what follows. A second signal drops all of the unit."""
        if not self._begun or self._stop.count > 1 or not self._loader.back_to_safe():
            self._loader.rollback()
            return
        self.summary.back_to_safe()
        if self._state is not None and self._state != self._committed_state:
            self._commit()

    def _committed_so_far(self) -> str:
        rows = self.summary.committed_rows
        return (
            f"{rows} rows are committed up to the last saved state, nothing after it: run again to continue."
        )


def _state_of(part: Message) -> tuple[str, Any]:
    """Return the value of a STATE message, as text and decoded."""
    text = str(bytes(_decoded(part, _StateMessage).value), "utf-8")
    try:
        return text, decode(text)
    except ValueError as error:
        raise BadDataError(f"The STATE message at line {part.number} is not valid: {error}.") from None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def _decoded(part: Message, type_: Any) -> Any:
    try:
        return msgspec.json.decode(part.line, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadDataError(f"The {part.type} message at line {part.number} is not valid: {error}.") from None


def checked_schema(schema: Mapping[str, Any], stream: str, number: int) -> Mapping[str, Any]:
    """Return ``schema`` when it is a valid JSON Schema of an object.

    Raises:
        BadDataError: it is not.
    """
    from jsonschema import Draft7Validator, SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema, default=Draft7Validator).check_schema(dict(schema))
    except SchemaError as error:
        raise BadDataError(
            f"The schema of stream `{stream}` at line {number} is not a valid JSON Schema: {error.message}."
        ) from None
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise BadDataError(
            f"Expected an object of properties in the schema of stream `{stream}` at line {number}."
        )
    return schema
