"""One line as JSON, exactly as it is written, with what is odd about it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import MAX_EMAX, Decimal, DecimalException
from typing import Any

__all__ = ["LineError", "Oddities", "keys_in", "kind_of", "read_line"]

_LONGEST_INTEGER = 4000  # digits; Python refuses to convert longer ones
_BEYOND_ALL = Decimal(f"1e{MAX_EMAX}")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class LineError(Exception):
    """A line that is no JSON value; ``check`` names what it breaks, the text says how, without its content."""

    def __init__(self, check: str, sentence: str) -> None:
        super().__init__(sentence)
        self.check = check


@dataclass
class Oddities:
    """What a line has that JSON readers do not agree on. ``duplicates`` names keys, not values."""

    duplicates: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    has_surrogate: bool = False


def read_line(line: bytes) -> tuple[Any, Oddities]:
    """Return the value of a line and what is odd about it. Numbers are int or Decimal, every digit kept.

    Raises:
        LineError: the line is not UTF-8, not JSON, or nested too deeply.
    """
    odd = Oddities()
    try:
        text = line.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _object(pairs, odd),
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=lambda name: _constant(name, odd),
        )
    except UnicodeDecodeError as error:
        raise LineError(
            "utf8", f"Expected UTF-8, got other bytes at byte {error.start + 1} of the line"
        ) from None
    except RecursionError:
        raise LineError("depth", "Expected values nested less deeply; the line was not checked") from None
    except json.JSONDecodeError as error:
        raise LineError(
            "json", f"Expected JSON, got other text ({_fault(error.msg)} at column {error.colno})"
        ) from None
    odd.has_surrogate = bool(_SURROGATE.search(text)) and not _is_encodable(value)
    return value, odd


def _fault(message: str) -> str:
    return message[:1].lower() + message[1:].removesuffix(" at")


def _object(pairs: list[tuple[str, Any]], odd: Oddities) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        odd.duplicates += [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    return made


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except DecimalException:
        return _BEYOND_ALL


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) < _LONGEST_INTEGER else Decimal(text)


def _constant(name: str, odd: Oddities) -> Decimal:
    odd.constants.append(name)
    return Decimal(name)


def _is_encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def keys_in(value: Any) -> int:
    """Count the keys of all objects in a value, at every depth."""
    count = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            count += len(one)
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return count


def kind_of(value: Any) -> str:
    """Name the JSON type of a value, for sentences that must not show it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    names = ((str, "a text"), (dict, "an object"), (list, "an array"), (int, "an integer"))
    return next((name for kind, name in names if isinstance(value, kind)), "a number")
