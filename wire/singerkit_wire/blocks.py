"""A block becomes rows: the fast path for all of it, the exact path only for the part that needs it."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec import Raw

from singerkit_shell.errors import BadDataError, SingerkitError
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.batches import Missing, batches_of
from singerkit_wire.columndecode import decode_columns
from singerkit_wire.conflicts import Conflicts, OnConflict, with_variant
from singerkit_wire.decode import FastDecoder, Refused, compile_decoder
from singerkit_wire.domain import Domain
from singerkit_wire.exact import (
    ExactDecoder,
    KeyLeftOut,
    NotNullable,
    NoVariant,
    RejectedRow,
    TooWide,
    UnknownFields,
    compile_exact,
)
from singerkit_wire.fit import Misfit
from singerkit_wire.kinds import Column, Kind, classify
from singerkit_wire.lines import Chunk
from singerkit_wire.messages import Run
from singerkit_wire.replacing import Replacement, condition
from singerkit_wire.sifting import Row, as_on_wire, sift
from singerkit_wire.stream import DELETED_AT, Stream, of_messages
from singerkit_wire.unstorable import Policy

__all__ = ["BlockDecoder", "Judgement", "KeyMissing", "MalformedLine"]

_RAW_NULL = Raw(b"null")
_SMALLEST_BLOCK = 64  # lines; fewer that take long are judged one by one


@dataclass(frozen=True)
class Judgement:
    """How records are judged; the same for every stream of a run.

    ``domain`` is what the target can hold; ``reads_texts``: it takes rows as values, not as they stand on the wire. ``sets_aside``: records may be set
    aside behind the decoder, so that each of one key counts.
    """

    validate: bool = True
    extra: str = "ignore"
    unstorable: Policy = Policy.FAIL
    quarantine: bool = False
    with_metadata: bool = False
    missing: Missing = Missing.KEEP
    domain: Domain = field(default_factory=Domain)
    reads_texts: bool = False
    conflicts: Conflicts = field(default_factory=Conflicts)
    sets_aside: bool = False


class KeyMissing(BadDataError):
    """A record without its key ends the run."""


class MalformedLine(BadDataError):
    """A line among RECORD lines that is no message."""

    def __init__(self, stream: str, line: int, reason: str, place: str = "") -> None:
        super().__init__(
            f"{reason} at line {line}{place}, among the records of stream `{stream}`; "
            "what was committed is safe: fix the tap, then run again."
        )
        self._parts = (stream, line, reason)

    def at(self, chunk: Chunk) -> MalformedLine:
        """Return the same with the line's offset in the input; the line is in ``chunk``."""
        _, line, _ = self._parts
        before = chunk.data.split(b"\n")[: line - chunk.first_line]
        return MalformedLine(*self._parts, f" (byte {chunk.offset + sum(map(len, before)) + len(before)})")


class BlockDecoder:
    """Decodes the runs of one stream; ``redeclare`` is called with the wider stream when a column has to change.

    ``recipe`` makes what decodes its blocks fast, in another process as well; None: nothing does; ``look`` is for the batches that it makes there. ``moved`` counts, by field, the values of the last run that stand in a variant; ``why_moved`` says more of some.
    """

    def __init__(
        self,
        stream: Stream,
        judgement: Judgement,
        redeclare: Callable[[Stream], Stream],
        log: logging.Logger,
        *,
        always_exact: bool = False,
        look: Callable[[Batch], Any] | None = None,
    ) -> None:
        self.look = look
        self._judgement = judgement
        self._redeclare = redeclare
        self._log = log
        self._always_exact = always_exact
        self._ignored: set[str] = set()
        self._rounded: set[str] = set()
        self._told_of_others: set[str] = set()
        self._fixed: set[str] = set()
        self.moved: Counter[str] = Counter()
        self.why_moved: dict[str, str] = {}
        self._compile(stream)

    def back_to(self, stream: Stream) -> None:
        """Take the stream as it was declared before, when its table has gone back to that."""
        if stream is not self.stream:
            self._compile(stream)

    def _compile(self, stream: Stream) -> None:
        judgement = self._judgement
        allow_extra = bool(self._ignored or stream.left_out)
        self.stream = stream
        # A record that the target refuses, or finds to be older, is left out alone: it must not hold values of another one of its key.
        sets_aside = judgement.sets_aside or judgement.quarantine or judgement.unstorable is Policy.QUARANTINE
        is_seen_singly = stream.order is not None or bool(stream.needed) or sets_aside
        self._in_order = is_seen_singly and bool(stream.key_properties)
        demanded = stream.order if judgement.missing in (Missing.KEEP, Missing.KEEP_WHAT_IS_THERE) else None
        self._fast: FastDecoder | None = None
        self.recipe: Callable[[], FastDecoder | None] | None = None
        if not self._always_exact:
            recipe = partial(
                compile_decoder,
                stream,
                validate=judgement.validate,
                allow_extra=allow_extra,
                with_metadata=judgement.with_metadata,
                missing=judgement.missing,
                in_order=self._in_order,
                demanded=demanded,
                rounded=self._rounded,
                domain=judgement.domain,
                reads_texts=judgement.reads_texts,
            )
            self._fast = recipe()
            # What may take too long is stopped by a signal, here.
            self.recipe = recipe if self._fast is not None and not self._fast.is_slow else None
        self._exact: ExactDecoder = compile_exact(
            stream,
            validate=judgement.validate,
            policy=judgement.unstorable,
            domain=judgement.domain,
            extra=of_messages(stream) if judgement.with_metadata else (),
            forbid_extra=not allow_extra,
            conflicts=judgement.conflicts,
            demanded=demanded,
            fixed=self._fixed,
        )

    def condition(self, replacement: Replacement) -> Batch | None:
        """Return the values of a REPLACE message as rows of the stream have them; see `singerkit_wire.replacing.condition`."""
        return condition(
            replacement,
            self.stream,
            domain=self._judgement.domain,
            policy=self._judgement.unstorable,
            conflicts=self._judgement.conflicts,
            fixed=self._fixed,
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of batches of which no row leaves anything out."""
        return self.stream.columns + self._exact.extra

    def batch(self, rows: Sequence[Row], run: Run) -> Batch:
        """Return the rows of a run in which nothing was unusual."""
        return Batch(self.columns, rows, run.first_line).out_of(run, range(run.lines))

    def decoding(self, run: Run) -> Callable[[], Sequence[Row]]:
        """Return what decodes a run fast, as it is decoded now."""
        assert self._fast is not None  # noqa: S101  there is a recipe for it
        return partial(_rows_of, self._fast, run)

    def decode(self, run: Run) -> tuple[list[Batch], list[Reject]]:
        """Return the rows of a run, and the records that are to be set aside.

        Raises:
            BadDataError: a record is invalid and is not to be set aside.
        """
        met: set[tuple[str, ...]] = set()
        while True:
            self.moved = Counter()
            try:
                batches = self._decode_columns(run)
                return (batches, []) if batches else self._decode(run.data, run.lines, run, 0)
            except (TooWide, NotNullable, NoVariant, UnknownFields) as found:
                self._see_that_it_is_new(found, met)
                self._fit(found)

    def _see_that_it_is_new(self, found: Exception, met: set[tuple[str, ...]]) -> None:
        """See that a run is not decoded for ever: what it is decoded anew for once is of no account the next time.

        Raises:
            SingerkitError: it is met again.
        """
        kind = found.kind.name if isinstance(found, TooWide) else ""
        # One that was ignored as null, and says later that a row is gone, is another matter.
        tells = isinstance(found, UnknownFields) and found.fields.get(DELETED_AT) is not None
        what = (type(found).__name__, *map(str, found.args), "of a row that is gone" if tells else kind)
        if what in met:
            raise SingerkitError(
                f"The columns of stream `{self.stream.name}` cannot be made to fit its records ({' '.join(what).strip()}); nothing of them was "
                "written, please report this."
            )
        met.add(what)

    def _fit(self, found: TooWide | NotNullable | NoVariant | UnknownFields) -> None:
        """Have the stream take what a record has, and the columns of its table with it."""
        match found:
            case TooWide():
                self._widen(found.column, found.kind)
            case NotNullable():
                self._take_null(found.column)
            case NoVariant():
                self._change(with_variant(self.stream, found.column, f"{found.column}__text"))
            case UnknownFields():
                self._meet(found.fields)

    def _decode_columns(self, run: Run) -> list[Batch]:
        """Try the fast path on what stands in columns; nothing: it is to be read as lines."""
        if self._fast is None or run.columns is None:
            return []
        try:
            batches = decode_columns(self._fast, run.columns, run.line_number(0))
        except Refused:
            return []
        return [batch.out_of(run, range(run.lines)) for batch in batches]

    def _decode(self, data: bytes, count: int, run: Run, index: int) -> tuple[list[Batch], list[Reject]]:
        """Try the fast path on ``data``, ``count`` lines of ``run`` from ``index`` on; then on each line by itself."""
        if self._fast is not None:
            try:
                batches = self._fast.decode(data, count, run.line_number(index))
                return [batch.out_of(run, range(index, index + count)) for batch in batches], []
            except Refused:
                pass
        lines = data[:-1].split(b"\n")
        try:
            rows = [None] * count if self._fast is None else sift(self._fast, lines)
        except Refused:  # it takes long: less of it may not
            if count > _SMALLEST_BLOCK:
                return self._decode_halves(lines, run, index)
            rows = [None] * count
        return self._decode_odd(lines, rows, run, index)

    def _decode_halves(self, lines: list[bytes], run: Run, index: int) -> tuple[list[Batch], list[Reject]]:
        half = len(lines) // 2
        left, right = lines[:half], lines[half:]
        batches, rejects = self._decode(b"\n".join([*left, b""]), half, run, index)
        more, others = self._decode(b"\n".join([*right, b""]), len(right), run, index + half)
        return batches + more, rejects + others

    def _decode_odd(
        self, lines: list[bytes], rows: Sequence[Row | None], run: Run, index: int
    ) -> tuple[list[Batch], list[Reject]]:
        """Have the exact path judge the lines without a row; each row stays where its line was."""
        found: list[Row] = []
        rejects: list[Reject] = []
        kept: list[int] = []
        for place, (line, row) in enumerate(zip(lines, rows, strict=True), index):
            try:
                found.append(self._decode_exactly(line + b"\n") if row is None else row)
                kept.append(place)
                if row is None:
                    self._note_others(run.line_number(place))
            except RejectedRow as rejected:
                rejects.append(self._rejected(rejected, line, run.line_number(place)))
        self._note_rounded(run.line_number(index))
        columns = self.stream.columns + self._exact.extra
        batches = batches_of(
            self.stream,
            columns,
            found,
            run.line_number(index),
            missing=self._judgement.missing,
            in_order=self._in_order,
        )
        return [batch.out_of(run, kept) for batch in batches], rejects

    def _decode_exactly(self, line: bytes) -> Row:
        row = self._exact.decode(line)
        return row if self._fast is None else as_on_wire(self._fast, row)

    def _rejected(self, rejected: RejectedRow, line: bytes, number: int) -> Reject:
        """Return the record to be set aside.

        Raises:
            BadDataError: it is not to be.
        """
        if rejected.is_malformed:
            raise MalformedLine(self.stream.name, number, rejected.reason) from None
        reject = self._exact.reject(rejected, line.rstrip(), number)
        if not self._sets_aside(rejected):
            kind = KeyMissing if isinstance(rejected, KeyLeftOut) else BadDataError
            raise kind(_bad_record(reject, self._way_out(rejected))) from None
        return reject

    def without(self, batch: Batch, misfits: Sequence[Misfit]) -> tuple[Batch, list[Reject]]:
        """Return ``batch`` without what the target says that it cannot hold: nulls for it, or the records set aside.

        Raises:
            BadDataError: neither is wanted.
        """
        places = {name: index for index, name in enumerate(batch.names)}
        rows = list(batch.wire_rows)
        rejects: dict[int, Reject] = {}
        for misfit in misfits:
            if misfit.row in rejects:
                continue
            row, place = rows[misfit.row], places[misfit.field]
            is_null = row[place] is None or row[place] == _RAW_NULL
            may_change = misfit.field not in self.stream.key_properties and not is_null
            if may_change and self._judgement.unstorable in (Policy.REPLACE, Policy.NULL):
                null = _RAW_NULL if isinstance(row[place], Raw) else None
                rows[misfit.row] = (*row[:place], null, *row[place + 1 :])
                continue
            rejected = RejectedRow(f"$.{misfit.field}", misfit.reason, is_unstorable=True)
            reject = batch.letter(misfit.row, self.stream.name, rejected.path, rejected.reason)
            if not self._sets_aside(rejected):
                raise BadDataError(_bad_record(reject, self._way_out(rejected)))
            rejects[misfit.row] = reject
        kept = [index for index in range(len(rows)) if index not in rejects]
        fitting = dataclasses.replace(
            batch,
            wire_rows=[rows[index] for index in kept],
            places=[batch.places[index] for index in kept],
        )
        return fitting, list(rejects.values())

    def _note_rounded(self, line: int) -> None:
        for name in sorted(self._exact.rounded - self._rounded):
            self._log.warning(
                "Stream `%s`: values of `%s` have more than six digits of a second and are rounded to microseconds, the "
                "first of them at line %d or soon after; have the column as text (`column_types`) to keep all digits.",
                self.stream.name,
                name,
                line,
            )
            self._rounded.add(name)
            # Another one, for who has taken the former to another process, where more is known now.
            self.recipe = None if self.recipe is None else partial(self.recipe)

    def _sets_aside(self, rejected: RejectedRow) -> bool:
        if rejected.policy is not None:
            return rejected.policy is OnConflict.QUARANTINE
        if rejected.is_unstorable and self._judgement.unstorable is Policy.QUARANTINE:
            return True
        return self._judgement.quarantine

    def _way_out(self, rejected: RejectedRow) -> str:
        if rejected.policy is not None:
            return "`on_type_conflict` to `variant` to store such values beside the column, or to `quarantine` to set the records aside"
        if not rejected.is_unstorable:
            return "`on_invalid: quarantine` to set such records aside"
        # What stands in a key or beside the record is never changed; what is changed already is refused for it.
        is_fixed = rejected.path == "$" or self._is_in_key(rejected.path)
        is_changed = self._judgement.unstorable in (Policy.REPLACE, Policy.NULL)
        others = (
            "" if is_fixed or is_changed else ", or to `replace` or `null` to store them without such values"
        )
        return f"`on_unstorable` to `quarantine` to set such records aside{others}"

    def _is_in_key(self, path: str) -> bool:
        return any(
            path == f"$.{key}" or path.startswith((f"$.{key}.", f"$.{key}["))
            for key in self.stream.key_properties
        )

    def _widen(self, name: str, kind: Kind) -> None:
        self._change(self._with(name, kind=kind))
        if all(column.kind is not kind for column in self.stream.columns if column.name == name):
            self._fixed.add(name)
            return
        # Told behind it: where the table refuses the type, that is all there is to say.
        if kind is Kind.BIG_INTEGER:
            self._log.warning(
                "Stream `%s`: an integer beyond 64 bits; column `%s` becomes %s.",
                self.stream.name,
                name,
                self._judgement.domain.wide_integers,
            )
            return
        is_number = kind is Kind.NUMBER
        self._log.warning(
            "Stream `%s`: the schema says %s of `%s`, and records have other %s: they are stored in its column as %s.",
            self.stream.name,
            "integers" if is_number else "one type",
            name,
            "numbers" if is_number else "values",
            "they came" if is_number else "their JSON text",
        )

    def _with(self, name: str, **changes: Any) -> Stream:
        columns = tuple(
            dataclasses.replace(column, **changes) if name == column.name else column
            for column in self.stream.columns
        )
        return dataclasses.replace(self.stream, columns=columns)

    def _take_null(self, name: str) -> None:
        """A column of a table takes null unless it is of the key, so the target has nothing to do."""
        self._log.warning(
            "Stream `%s`: records have null in `%s`, which the schema does not admit; stored as null.",
            self.stream.name,
            name,
        )
        columns = tuple(
            dataclasses.replace(column, nullable=True) if name in (column.name, column.variant_of) else column
            for column in self.stream.columns
        )
        self._compile(dataclasses.replace(self.stream, columns=columns))

    def _note_others(self, line: int) -> None:
        """Count the values of a record that stand beside their columns, and warn once of a column that holds others as they are."""
        self.moved.update(self._exact.moved.keys())
        self.why_moved |= self._exact.moved
        for name in sorted(self._exact.odd - self._told_of_others):
            self._told_of_others.add(name)
            if name in self._exact.moved:
                continue
            self._log.warning(
                "Stream `%s`: the schema says another type of `%s` than a value has, at line %d or soon after; its column holds "
                "such values as they came.",
                self.stream.name,
                name,
                line,
            )

    def _meet(self, fields: Mapping[str, Any]) -> None:
        names = ", ".join(f"`{name}`" for name in fields)
        if fields.get(DELETED_AT) is not None:  # without it the row would be emptied, and not gone
            fields = {DELETED_AT: fields[DELETED_AT]}
            self._log.warning(
                "Stream `%s`: records say by `%s` that their rows are gone, which the schema does not name; taken as if it did.",
                self.stream.name,
                DELETED_AT,
            )
            self._add(fields)
            return
        if self._judgement.extra == "ignore":
            self._log.warning(
                "Stream `%s`: the records hold %s, which the schema does not name; ignored "
                "(set `extra: load` to store such fields).",
                self.stream.name,
                names,
            )
            self._ignored.update(fields)
            self._compile(self.stream)
            return
        self._log.warning("Stream `%s`: %s not in the schema; columns are added.", self.stream.name, names)
        self._add(fields)

    def _add(self, fields: Mapping[str, Any]) -> None:
        """Take fields as if the schema named them, each as its first value is."""
        schema = dict(self.stream.schema)
        schema["properties"] = {
            **schema.get("properties", {}),
            **{n: _schema_of(n, v) for n, v in fields.items()},
        }
        columns = self.stream.columns + tuple(
            Column(
                name,
                classify(_schema_of(name, value))[0],
                nullable=True,
                required=False,
                schema=_schema_of(name, value),
                is_declared=False,
            )
            for name, value in fields.items()
        )
        self._change(dataclasses.replace(self.stream, schema=schema, columns=columns))

    def _change(self, stream: Stream) -> None:
        self._compile(self._redeclare(stream))


def _rows_of(fast: FastDecoder, run: Run) -> Sequence[Row]:
    [batch] = fast.decode(run.data, run.lines, run.first_line)
    return batch.wire_rows


def _schema_of(name: str, value: Any) -> dict[str, Any]:
    """The schema of a field that no schema names: that of its first value, or any JSON."""
    if isinstance(value, bool):
        return {"type": ["boolean", "null"]}
    if isinstance(value, str):
        moment = {"format": "date-time"} if name == DELETED_AT else {}
        return {"type": ["string", "null"], **moment}
    if value is None or isinstance(value, dict | list):
        return {}
    return {"type": ["number", "null"]}


def _bad_record(reject: Reject, way_out: str) -> str:
    return (
        f"{reject.reason} at {reject.stream}.{reject.path} (line {reject.line}); what was committed is safe: "
        f"fix the source, or set {way_out}, then run again."
    )
