"""The STATE value: the mark our taps put into it, what counts as empty, its text (SINGER-RULES ST01-ST17).

A STATE value is a JSON object that belongs to the tap; a target stores it and never looks inside, apart from
the mark (docs/architecture.md, "Agreements").
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal, DecimalException
from itertools import chain
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any, NoReturn

__all__ = [
    "MARK_KEY",
    "Mark",
    "after",
    "before_map",
    "behind_map",
    "comparable",
    "decode",
    "digest",
    "encode",
    "is_empty",
    "is_utf8",
    "read_mark",
    "with_mark",
    "without_mark",
]

MARK_KEY = "_singerkit"
"""The reserved top-level key of the mark; other taps and targets pass it through."""

FORMER = 100
"""How many former states a place knows again."""

_SCALARS = {str, int, bool, type(None)}
_encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Mark:
    """What a run of our taps says about itself in each of its STATEs (DESIGN 5, "End of input")."""

    run: str
    pipeline: str
    complete: bool
    resumes: str | None = None
    """Where the run's first state came from: ``file``, ``missing`` (a file that is not there), ``url``, or None when it
    was given none."""
    location: str | None = None
    """In the first STATE: the file or URL, without a password, that it came from."""
    divided: Mapping[str, int | None] | None = None
    """Of a shard: the streams of which it reads a part, each with the version of its last load where all of that has come."""
    moving: Sequence[str] | None = None
    """Those of them whose rows may be of another shard when they change, which may have a newer version in hand."""
    map: str | Sequence[str] | None = None
    target_map: str | None = None
    """Which map the rows went through in the pipe, of several all in their order, and which in the target."""
    renamed: Sequence[Sequence[str]] | None = None
    """The streams that a map calls otherwise: how it does, and how their bookmarks do."""


def read_mark(value: Any) -> Mark | None:
    """Return the mark in a STATE value; None when there is none, or when it is not one of ours."""
    mark = value.get(MARK_KEY) if isinstance(value, dict) else None
    if not isinstance(mark, dict):
        return None
    run, pipeline, complete = mark.get("run"), mark.get("pipeline"), mark.get("complete")
    if isinstance(run, str) and isinstance(pipeline, str) and isinstance(complete, bool):
        resumes, location = (
            text if isinstance(text := mark.get(key), str) else None for key in ("resumes", "location")
        )
        divided, moving = _divided(mark.get("divided")), mark.get("moving")
        names = tuple(str(name) for name in moving) if isinstance(moving, list) else None
        in_target = mark.get("target_map")
        return Mark(
            run,
            pipeline,
            complete,
            resumes,
            location,
            divided,
            names,
            _maps(mark.get("map")),
            in_target if isinstance(in_target, str) else None,
            _renamed(mark) or None,
        )
    return None


def _maps(said: Any) -> str | list[str] | None:
    if isinstance(said, list):
        return [one for one in said if isinstance(one, str)] or None
    return said if isinstance(said, str) else None


def _renamed(mark: Any) -> list[list[str]]:
    said = mark.get("renamed") if isinstance(mark, dict) else None
    pairs = said if isinstance(said, list) else []
    return [
        one
        for one in pairs
        if isinstance(one, list) and len(one) == 2 and all(isinstance(name, str) for name in one)
    ]


def behind_map(value: Any) -> Any:
    """Return a STATE value with its bookmarks under the names that their streams have behind a map (`rename_stream`), as its mark says.

    What a target has loaded is held against such a value; what is stored, and what the tap reads again, has the tap's own names.
    """
    renamed = _renamed(value.get(MARK_KEY)) if isinstance(value, dict) else []
    bookmarks = value.get("bookmarks") if renamed else None
    if not isinstance(bookmarks, dict):
        return value
    behind = {tap: name for name, tap in renamed if tap in bookmarks}
    others = {name: part for name, part in bookmarks.items() if name not in behind}
    return {**value, "bookmarks": others | {behind[name]: bookmarks[name] for name in behind}}


def before_map(value: Any, stream: str) -> str:
    """Return the name that the bookmark of a stream has in a STATE value, whose mark says how a map calls it."""
    renamed = _renamed(value.get(MARK_KEY)) if isinstance(value, dict) else []
    return next((tap for name, tap in renamed if name == stream), stream)


def _divided(said: Any) -> dict[str, int | None] | None:
    if not isinstance(said, list):
        return None
    pairs = [one if isinstance(one, list) and len(one) == 2 else [one, None] for one in said]
    return {str(name): version if type(version) is int else None for name, version in pairs}


def with_mark(value: dict[str, Any], mark: Mark) -> dict[str, Any]:
    """Return a shallow copy of ``value`` with ``mark`` as its last key; an older mark is replaced."""
    said = {name: item for name, item in asdict(mark).items() if item is not None}
    if mark.divided is not None:  # no object in the object: `history` leaves the mark out by its text
        said["divided"] = [[name, version] for name, version in mark.divided.items()]
    return without_mark(value) | {MARK_KEY: said}


def without_mark(value: dict[str, Any]) -> dict[str, Any]:
    """Return a shallow copy of ``value`` without its mark."""
    return {key: item for key, item in value.items() if key != MARK_KEY}


def is_empty(value: Any) -> bool:
    """Tell whether ``value`` says nothing: it never erases a good state (SINGER-RULES ST16, FAULTS M4).

    Empty are None, ``{}``, an object with nothing but a mark, and ``{"bookmarks": {}}`` with or without one.
    """
    if not isinstance(value, dict):
        return value is None
    rest = without_mark(value)
    return not rest or (rest.keys() == {"bookmarks"} and rest["bookmarks"] in (None, {}))


def digest(value: Any) -> str:
    """Return what `after` keeps of a STATE value: the same for all texts of it, whatever its mark says."""
    try:
        text = _sorted(comparable(value))
    except (RecursionError, ValueError):  # hundreds of levels deep: no state of any tap, and like no other
        text = uuid.uuid4().hex
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def comparable(value: Any) -> Any:
    """Return a STATE value without its mark, and with its bookmarks in one shape.

    Our taps write what they have read as ``{key: value}``, as singer-python does, in the shape of singer-sdk.
    """
    if not isinstance(value, dict):
        return value
    plain = without_mark(value)
    bookmarks = plain.get("bookmarks")
    if isinstance(bookmarks, dict):
        plain["bookmarks"] = {name: _comparable_part(part) for name, part in bookmarks.items()}
    return plain


def _comparable_part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    plain = {key: item for key, item in part.items() if item is not None}
    if isinstance(plain.get("partitions"), list):
        plain["partitions"] = [_comparable_part(entry) for entry in plain["partitions"]]
    key = plain.get("replication_key")
    if isinstance(key, str) and "replication_key_value" in plain and key not in plain:
        plain[key] = plain.pop("replication_key_value")
        del plain["replication_key"]
    return plain


def _sorted(value: Any) -> str:
    if isinstance(value, dict):
        items = sorted((encode(key), _sorted(item)) for key, item in value.items())
        return "{" + ",".join(f"{key}:{item}" for key, item in items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_sorted, value)) + "]"
    return encode(value)


def after(former: Sequence[str], text: str | None) -> tuple[str, ...]:
    """Return the digests of the former states of a place, newest first, when ``text`` has been replaced there."""
    try:
        new = None if text is None else digest(decode(text))
    except ValueError:  # torn, and no start of any run
        new = None
    return tuple(former) if new is None else (new, *(old for old in former if old != new))[:FORMER]


def is_utf8(text: str) -> bool:
    """Tell whether ``text`` was UTF-8, when it was read with ``errors="surrogateescape"``."""
    return _SURROGATE.search(text) is None


def decode(text: str, objects: Callable[[Iterable[tuple[str, Any]]], Any] | None = None) -> Any:
    """Return the value of one JSON text. Numbers stay exact: int of any size, Decimal for all others.

    ``objects`` makes an object of its keys and values; what it raises is raised.

    Raises:
        ValueError: the text is not JSON (NaN and Infinity are not either), or too deep or too long a number.
    """
    try:
        return json.loads(
            text, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=objects
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except DecimalException:
        raise ValueError("it holds a number that is out of range") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def encode(value: Any) -> str:
    """Return ``value`` as one line of JSON that `decode` turns into an equal value again.

    Takes what `decode` gives, and floats. The text is always valid UTF-8: half surrogate pairs are escaped.

    Raises:
        ValueError: NaN, Infinity, a value nested too deeply, or an integer beyond Python's digit limit.
        TypeError: a value that JSON has no form for, or a key that is not text.
    """
    # Not msgspec: it writes NaN as null and refuses half surrogates; states are small, exactness comes first.
    parts: list[str] = []
    try:
        _write(value, parts.append)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return "".join(parts)


def _plain_text(value: Any) -> str | None:
    """Return the text of a list of scalars, or of an object of such lists, all at once: a state has tens of thousands of them; None: it is something else."""
    if type(value) is dict:
        is_plain = (
            {*map(type, value)} == {str}
            and {*map(type, value.values())} == {list}
            and {*map(type, chain.from_iterable(value.values()))} <= _SCALARS
        )
    else:
        is_plain = type(value) is list and {*map(type, value)} <= _SCALARS
    text = _encoder.encode(value) if is_plain else None
    return None if text is None or not (text.isascii() or is_utf8(text)) else text


def _write(value: Any, put: Callable[[str], None]) -> None:
    plain = _plain_text(value)
    if plain is not None:
        put(plain)
    elif isinstance(value, dict):
        put("{")
        for index, (key, item) in enumerate(value.items()):
            put(("," if index else "") + _text(_key(key)) + ":")
            _write(item, put)
        put("}")
    elif isinstance(value, list | tuple):
        put("[")
        for index, item in enumerate(value):
            put("," if index else "")
            if type(item) is str:  # a state remembers rows by thousands of short texts
                put(_text(item))
            else:
                _write(item, put)
        put("]")
    else:
        put(_scalar(value))


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"Expected text as a key of a STATE value, got `{type(key).__name__}`")


def _scalar(value: Any) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)
    if isinstance(value, float | Decimal):
        raise ValueError("NaN and Infinity have no JSON form")
    raise TypeError(f"Expected a JSON value in a STATE value, got `{type(value).__name__}`")


def _text(value: str) -> str:
    has_half_pairs = not value.isascii() and _SURROGATE.search(value)
    return (encode_basestring_ascii if has_half_pairs else encode_basestring)(value)
