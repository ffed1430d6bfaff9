"""RECORD lines of one stream to a block, and back. Hardly any record is looked at by itself: those alone that msgspec does not read, or that have more than is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from singerkit_map.block import Block, Column, Place
from singerkit_map.jsontexts import loads, text_of
from singerkit_shell.errors import BadDataError
from singerkit_wire.messages import Run
from singerkit_wire.typedrows import is_plain_name

__all__ = ["RecordReader", "lines_of"]

_AT_ONCE = ("time_extracted", "version")
_OF_MESSAGE = frozenset({"type", "stream", "record"})
_MOST_KNOWN = 2000  # names beyond the SCHEMA that are read at once from then on
_encoder = msgspec.json.Encoder()
_astuple = msgspec.structs.astuple
_members = msgspec.json.Decoder(dict[str, Raw])


class RecordReader:
    """Reads the RECORD lines of one stream, of which the SCHEMA names ``fields``; what else records hold is learned on the way."""

    def __init__(self, stream: str, fields: Sequence[str]) -> None:
        self._stream = stream
        self._fields = list(fields)
        self._beside = list(_AT_ONCE)
        self._most = len(fields) + _MOST_KNOWN
        self._compile()

    def _compile(self) -> None:
        self._decoder: msgspec.json.Decoder[Any] | None = None
        if all(map(is_plain_name, [self._stream, *self._fields, *self._beside])):
            record = _struct(tuple(self._fields))
            self._decoder = msgspec.json.Decoder(_message(self._stream, tuple(self._beside), record))

    def block(self, run: Run, place: Place) -> Block:
        """Return the records of a run in columns: those that the SCHEMA names, in that order, then others.

        Raises:
            BadDataError: a line is no RECORD message with an object in it.
        """
        lines = run.numbers or range(run.first_line, run.first_line + run.lines)
        found = self._at_once(run)
        if found is None or len(found) != run.lines:
            records, others = self._one_by_one(run)
            beside = _columns(self._beside, others)
        else:
            records = [_astuple(line.record) for line in found]
            beside = {
                name: list(map(attrgetter(f"f{place}"), found)) for place, name in enumerate(self._beside)
            }
        common, envelope = _common(beside)
        return Block(place, _columns(self._fields, records), lines, common=common, envelope=envelope)

    def _at_once(self, run: Run) -> list[Any] | None:
        try:
            return None if self._decoder is None else self._decoder.decode_lines(run.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _one_by_one(self, run: Run) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        records: list[tuple[Any, ...]] = []
        beside: list[tuple[Any, ...]] = []
        knew = len(self._fields), len(self._beside)
        for number, text in enumerate(run.data.split(b"\n")[:-1]):
            try:
                if self._decoder is None:
                    raise msgspec.DecodeError
                line = self._decoder.decode(text)
                records.append(_astuple(line.record))
                beside.append(_astuple(line)[3:])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                record, others = self._exactly(text, run.line_number(number), run.stream)
                records.append(record)
                beside.append(others)
        if knew != (len(self._fields), len(self._beside)):
            records, beside = _filled(records, len(self._fields)), _filled(beside, len(self._beside))
            self._compile()
        return records, beside

    def _exactly(self, text: bytes, number: int, stream: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        try:
            message, record = _members_of(text)
            if record is None:
                raise _no_record(number, stream, "Expected an object in `record`")
            self._learn(record, self._fields, number, stream)
            self._learn([name for name in message if name not in _OF_MESSAGE], self._beside, number, stream)
            return _in_order(record, self._fields), _in_order(message, self._beside)
        except KeyError:
            raise _no_record(number, stream, "Expected `record`, which is missing") from None
        except UnicodeDecodeError:
            raise _no_record(number, stream, "Expected UTF-8, got other bytes") from None
        except ValueError:
            raise _no_record(number, stream, "Expected one JSON object, got other text") from None
        except RecursionError:
            raise _no_record(number, stream, "Expected less nesting") from None

    def _learn(self, names: Iterable[str], known: list[str], number: int, stream: str) -> None:
        new = [name for name in names if name not in known]
        if len(known) + len(new) > self._most:
            raise _no_record(
                number,
                stream,
                f"Expected at most {_MOST_KNOWN} fields that the SCHEMA does not name, got more",
            )
        known += new


def _no_record(number: int, stream: str, what: str) -> BadDataError:
    return BadDataError(
        f"{what} in the RECORD of stream `{stream}` at line {number}; what was committed is safe: fix the tap, then run again."
    )


@lru_cache(maxsize=256)
def _struct(names: tuple[str, ...]) -> Any:
    """Return a type with these fields, each a JSON text or left out."""
    return msgspec.defstruct(
        "Fields", _texts(names), rename=_renamed(names), forbid_unknown_fields=True, gc=False
    )


def _message(stream: str, beside: tuple[str, ...], record: Any) -> Any:
    """Return the type of a RECORD message of a stream."""
    fields = [("type", Literal["RECORD", "record"]), ("stream", Literal[stream]), ("record", record)]
    return msgspec.defstruct(
        "Message",
        [*fields, *_texts(beside)],
        rename={**_renamed(beside), **{name: name for name in _OF_MESSAGE}},
        forbid_unknown_fields=True,
        gc=False,
    )


def _texts(names: Sequence[str]) -> list[tuple[str, Any, Any]]:
    return [(f"f{number}", Raw | UnsetType, UNSET) for number in range(len(names))]


def _renamed(names: Sequence[str]) -> dict[str, str]:
    return {f"f{number}": name for number, name in enumerate(names)}


def _common(beside: Mapping[str, Column]) -> tuple[bytes, dict[str, Column]]:
    """Return what stands beside all records as JSON with its comma; where it is not the same for all, nothing, and the columns of it."""
    there = {name: column for name, column in beside.items() if not _is_nothing(column)}
    if not all(map(_is_one, there.values())):
        return b"", there
    return b"".join(b",%b:%b" % (_encoder.encode(name), column[0]) for name, column in there.items()), {}


def _is_one(column: Column) -> bool:
    first = column[0]
    return first is not UNSET and column.count(first) == len(column)


def _members_of(text: bytes) -> tuple[dict[str, Raw], dict[str, Raw] | None]:
    """Return what a message holds, and its record, None where that is no object, as JSON texts.

    Raises:
        KeyError: it holds no record.
        ValueError, RecursionError: it is no JSON.
    """
    try:
        message = _members.decode(text)
        return message, _members.decode(message["record"])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        values = loads(text)
        record = values["record"]
        texts = {name: Raw(text_of(value)) for name, value in values.items() if name != "record"}
        return texts, _texts_of(record) if isinstance(record, dict) else None


def _texts_of(record: dict[str, Any]) -> dict[str, Raw]:
    return {name: Raw(text_of(value)) for name, value in record.items()}


def _in_order(members: dict[str, Raw], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple([members.get(name, UNSET) for name in names])


def _filled(rows: list[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    return [row if len(row) == width else (*row, *(UNSET,) * (width - len(row))) for row in rows]


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Column]:
    return (
        dict(zip(names, zip(*rows, strict=True), strict=True))
        if rows and names
        else {name: () for name in names}
    )


def _is_nothing(column: Column) -> bool:
    return all(value is UNSET for value in column)


def _rows(columns: Mapping[str, Column], count: int) -> list[Any]:
    """Return what is encoded as objects without the fields that are left out."""
    if not columns:
        return [{}] * count
    if all(map(is_plain_name, columns)):
        return list(map(_struct(tuple(columns)), *columns.values()))
    return [
        {name: value for name, value in zip(columns, row, strict=True) if value is not UNSET}
        for row in zip(*columns.values(), strict=True)
    ]


def lines_of(block: Block, stream: str) -> bytes:
    """Return the records as RECORD lines of a stream, each ended by a newline."""
    if not len(block):
        return b""
    head = b'{"type":"RECORD","stream":%s,"record":' % _encoder.encode(stream)
    records = _encoder.encode_lines(_rows(block.columns, len(block)))
    ends = list(_ends(block))
    if len(ends) == 1:
        tail = ends[0] + b"}\n"
        lines = records.replace(b"\n", tail + head)
        return head + lines[: -len(head)]
    texts = records.split(b"\n")
    return b"".join([head + text + end + b"}\n" for text, end in zip(texts, ends, strict=False)])


def _ends(block: Block) -> Iterator[bytes]:
    """Yield what stands behind each record, or once what stands behind all."""
    if not block.envelope:
        yield block.common
        return
    texts = _encoder.encode_lines(_rows(block.envelope, len(block))).split(b"\n")[:-1]
    ends = [b"" if text == b"{}" else b"," + text[1:-1] for text in texts]
    yield from ends[:1] if len(set(ends)) == 1 else ends
