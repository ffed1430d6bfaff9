"""Columns of Arrow as JSON, all of their values at once: by kernels of Arrow that make text, with no Python for a value.

Each value is the text that it stands for: all digits of decimals and of moments, of floats the shortest that reads back. What JSON
has no value for is refused, or becomes what the caller says. Nested values are joined of the texts of their leaves.
"""

from __future__ import annotations

import binascii
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from singerkit_shell.errors import BadDataError
from singerkit_wire.columnmoments import with_texts, within_a_day
from singerkit_wire.momenttexts import duration_text

__all__ = ["OddFloats", "lines_of", "tokens_of"]

OddFloats = Callable[[Any], Any]
"""Makes JSON of the texts of floats among which are `nan`, `inf` and `-inf`; a null of it becomes null.

Raises:
    BadDataError: none of it is to be sent. The message says what a column holds: "a number that ...".
"""

_encode = msgspec.json.encode
_NULL = pa.scalar("null")
_NOTHING = pa.scalar(None, pa.string())
_TO_ESCAPE = r'["\\\x00-\x1f]'
_CONTROLS = r"[\x00-\x1f]"


def lines_of(columns: Mapping[str, Any], count: int, odd_floats: OddFloats) -> bytes:
    """Return ``count`` rows as JSON objects, a line each, of columns by name; in place of one, bytes are the JSON that all rows have there.

    Raises:
        BadDataError: a column holds what JSON has no value for.
    """
    parts: list[Any] = []
    literal = "{"
    for number, (name, column) in enumerate(columns.items()):
        literal += f"{',' if number else ''}{_encode(name).decode()}:"
        if isinstance(column, bytes):
            literal += column.decode()
            continue
        text, is_quoted = _told(name, _texts, column, odd_floats)
        if is_quoted and text.null_count:
            text, is_quoted = _quoted(text), False
        quote = '"' if is_quoted else ""
        parts += [pa.scalar(literal + quote), _with_nulls(text)]
        literal = quote
    literal += "}\n"
    if not parts or not count:
        return literal.encode() * count
    joined = _joined(*parts, literal)
    _, offsets, data = joined.buffers()
    return bytes(memoryview(data)[: memoryview(offsets).cast("i")[count]])


def tokens_of(name: str, column: Any, odd_floats: OddFloats) -> list[str | None]:
    """Return the JSON text of each value of one column, None of nulls.

    Raises:
        BadDataError: it holds what JSON has no value for.
    """
    text, is_quoted = _told(name, _texts, column, odd_floats)
    texts: list[str | None] = (_quoted(text) if is_quoted else text).to_pylist()
    return texts


def _told(name: str, make: Callable[[Any, OddFloats], Any], column: Any, odd_floats: OddFloats) -> Any:
    try:
        return make(column, odd_floats)
    except BadDataError as error:
        raise BadDataError(f"its column `{name}` holds {error}") from None


def _tokens(column: Any, odd_floats: OddFloats) -> Any:
    text, is_quoted = _texts(column, odd_floats)
    return _with_nulls(_quoted(text) if is_quoted else text)


def _quoted(text: Any) -> Any:
    return _joined('"', text, '"')


def _joined(*parts: Any) -> Any:
    return pc.binary_join_element_wise(*parts, "")


def _with_nulls(text: Any) -> Any:
    return text.fill_null(_NULL) if text.null_count else text


def _texts(column: Any, odd_floats: OddFloats) -> tuple[Any, bool]:
    """Return a column of text, null where a value is, and whether quotes belong around each."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.json":
            return _documents(column.storage), False
        return (
            _uuids(column.storage)
            if kind.extension_name == "arrow.uuid"
            else _texts(column.storage, odd_floats)
        )
    if pa.types.is_dictionary(kind):
        return _texts(column.dictionary_decode(), odd_floats)
    for is_one, make in _MAKERS:
        if is_one(kind):
            return make(column, odd_floats)
    raise BadDataError(f"values of the type `{kind}`, which JSON has none for")


def _plain(column: Any, _odd: OddFloats) -> tuple[Any, bool]:
    return column.cast(pa.string()), False


def _floats(column: Any, odd_floats: OddFloats) -> tuple[Any, bool]:
    text = _halves(column) if pa.types.is_float16(column.type) else column.cast(pa.string())
    if not pc.all(pc.is_finite(column.cast(pa.float64()))).as_py() and len(column) > column.null_count:
        text = odd_floats(text)
    return text, False


def _halves(column: Any) -> Any:
    return pa.array([None if value is None else _half(value) for value in column.to_pylist()], pa.string())


def _half(value: float) -> str:
    """Write a float of two bytes in as few digits as read back as it."""
    short = (f"{value:.{digits}g}" for digits in range(1, 6))
    return next((text for text in short if _as_half(text) == value), str(value))


def _as_half(text: str) -> float | None:
    try:
        found: float = struct.unpack("e", struct.pack("e", float(text)))[0]
    except OverflowError:
        return None
    return found


def _strings(column: Any, _odd: OddFloats) -> tuple[Any, bool]:
    text = column.cast(pa.string())
    if not pc.any(pc.match_substring_regex(text, _TO_ESCAPE)).as_py():
        return text, True
    escaped = pc.replace_substring(pc.replace_substring(text, "\\", "\\\\"), '"', '\\"')
    has_controls = pc.match_substring_regex(text, _CONTROLS)
    if pc.any(has_controls).as_py():
        mask = has_controls.fill_null(False)
        others = [_encode(value)[1:-1].decode() for value in text.filter(mask).to_pylist()]
        escaped = pc.replace_with_mask(escaped, mask, pa.array(others, pa.string()))
    return escaped, True


def _bytes(column: Any, _odd: OddFloats) -> tuple[Any, bool]:
    encoded = [
        None if value is None else binascii.b2a_base64(value, newline=False) for value in column.to_pylist()
    ]
    return pa.array(encoded, pa.binary()).cast(pa.string()), True


def _uuids(storage: Any) -> tuple[Any, bool]:
    texts = [None if value is None else str(uuid.UUID(bytes=value)) for value in storage.to_pylist()]
    return pa.array(texts, pa.string()), True


def _documents(storage: Any) -> Any:
    """Return documents as they are written, each in one line."""
    return pa.array([None if text is None else _document(text) for text in storage.to_pylist()], pa.string())


def _document(text: str) -> bytes:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        return msgspec.json.format(text.encode(), indent=0) if "\n" in text or "\r" in text else text.encode()
    except (msgspec.DecodeError, RecursionError):
        raise BadDataError("a document that is no JSON") from None


def _moments(column: Any, _odd: OddFloats) -> tuple[Any, bool]:
    kind = column.type
    if kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    return pc.replace_substring(_timed(column), " ", "T"), True


def _timed(column: Any) -> Any:
    """Return moments or times as text, with nine digits of a second only where there are as many."""
    kind = column.type
    if kind.unit != "ns":
        return with_texts(column).cast(pa.string())
    if pa.types.is_time(kind) and not within_a_day(column):
        return with_texts(column)
    micros = column.cast(
        pa.time64("us") if pa.types.is_time(kind) else pa.timestamp("us", kind.tz), safe=False
    )
    is_whole = pc.equal(micros.cast(kind), column)
    texts = micros.cast(pa.string())
    if pc.all(is_whole).as_py() is not False:
        return texts
    return pc.if_else(is_whole, texts, column.cast(pa.string()))


def _days(column: Any, _odd: OddFloats) -> tuple[Any, bool]:
    return with_texts(column).cast(pa.string()), True


def _times(column: Any, _odd: OddFloats) -> tuple[Any, bool]:
    return _timed(column), True


def _durations(column: Any, _odd: OddFloats) -> tuple[Any, bool]:
    numbers = column.view(pa.int64()).to_pylist()
    texts = [None if number is None else duration_text(number, column.type.unit) for number in numbers]
    return pa.array(texts, pa.string()), True


def _structs(column: Any, odd_floats: OddFloats) -> tuple[Any, bool]:
    fields = [(column.type.field(index).name, part) for index, part in enumerate(column.flatten())]
    parts: list[Any] = []
    for number, (name, part) in enumerate(fields):
        parts += [f"{',' if number else '{'}{_encode(name).decode()}:", _tokens(part, odd_floats)]
    objects = _joined(*parts, "}") if parts else pa.array(["{}"] * len(column), pa.string())
    return _null_where_null(column, objects), False


def _lists(column: Any, odd_floats: OddFloats) -> tuple[Any, bool]:
    lists, values = _own_values(column)
    return _null_where_null(column, _joined("[", lists(_tokens(values, odd_floats)), "]")), False


def _other_lists(column: Any, odd_floats: OddFloats) -> tuple[Any, bool]:
    return _lists(column.cast(pa.list_(column.type.value_type)), odd_floats)


def _maps(column: Any, odd_floats: OddFloats) -> tuple[Any, bool]:
    lists, entries = _own_values(column)
    keys, values = entries.flatten()
    keys, _ = _texts(keys, odd_floats)
    _check_keys(column, keys)
    members = _joined(_quoted(_with_nulls(keys)), ":", _tokens(values, odd_floats))
    return _null_where_null(column, _joined("{", lists(members), "}")), False


def _check_keys(column: Any, keys: Any) -> None:
    """Raise `BadDataError` where a key stands twice in one map."""
    ends = column.offsets
    of_entries = pa.ListArray.from_arrays(pc.subtract(ends, ends[0]), keys)
    table = pa.table({"map": pc.list_parent_indices(of_entries), "key": keys})
    if table.group_by(["map", "key"]).aggregate([]).num_rows < len(keys):
        raise BadDataError("a map with the same key twice, which no object of JSON has")


def _own_values(column: Any) -> tuple[Callable[[Any], Any], Any]:
    """Return what joins texts of the values of each list by commas, and those values."""
    offsets = column.offsets
    start = offsets[0].as_py() if len(offsets) else 0
    end = offsets[-1].as_py() if len(offsets) else 0
    arrays = pa.LargeListArray if pa.types.is_large_list(column.type) else pa.ListArray
    begins = pc.subtract(offsets, offsets[0])
    return lambda texts: pc.binary_join(arrays.from_arrays(begins, texts), ","), column.values.slice(
        start, end - start
    )


def _null_where_null(column: Any, texts: Any) -> Any:
    return pc.if_else(column.is_valid(), texts, _NOTHING) if column.null_count else texts


def _nulls(column: Any, _odd: OddFloats) -> tuple[Any, bool]:
    return pa.nulls(len(column), pa.string()), False


_types = pa.types
_MAKERS: Sequence[tuple[Callable[[Any], bool], Callable[[Any, OddFloats], tuple[Any, bool]]]] = (
    (lambda kind: _types.is_integer(kind) or _types.is_boolean(kind) or _types.is_decimal(kind), _plain),
    (_types.is_floating, _floats),
    (
        lambda kind: _types.is_string(kind) or _types.is_large_string(kind) or _types.is_string_view(kind),
        _strings,
    ),
    (_types.is_timestamp, _moments),
    (_types.is_date, _days),
    (_types.is_time, _times),
    (_types.is_duration, _durations),
    (_types.is_struct, _structs),
    (_types.is_map, _maps),
    (lambda kind: _types.is_list(kind) or _types.is_large_list(kind), _lists),
    (
        lambda kind: (
            _types.is_fixed_size_list(kind) or _types.is_list_view(kind) or _types.is_large_list_view(kind)
        ),
        _other_lists,
    ),
    (
        lambda kind: (
            _types.is_binary(kind)
            or _types.is_large_binary(kind)
            or _types.is_binary_view(kind)
            or _types.is_fixed_size_binary(kind)
        ),
        _bytes,
    ),
    (_types.is_null, _nulls),
)
