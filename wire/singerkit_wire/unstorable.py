"""Values that JSON admits and PostgreSQL does not: one policy, the same at every depth, keys included."""

from __future__ import annotations

import enum
import math
import re
from decimal import Decimal
from typing import Any

__all__ = ["TOO_LARGE", "Policy", "Unstorable", "fits_numeric", "storable"]

TOO_LARGE = "Expected a number that PostgreSQL's numeric can hold, got one out of range"
_NUMERIC_DIGITS_BEFORE = 131_072
_NUMERIC_DIGITS_AFTER = 16_383
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Policy(enum.Enum):
    """What to do with a NUL, a lone surrogate, NaN, an infinity, or a date or number out of range."""

    FAIL = "fail"
    QUARANTINE = "quarantine"
    REPLACE = "replace"
    NULL = "null"


class Unstorable(Exception):
    """A value was met that the policy neither replaces nor drops."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


def storable(value: Any, path: str, policy: Policy) -> Any:
    """Return ``value`` as the policy wants it; ``path`` says where it stands, for errors.

    Replace puts U+FFFD for each character; null drops the whole string. An object key cannot be null: it is
    replaced under both. Numbers that are not JSON, or out of range, become null under both.

    Raises:
        Unstorable: under fail and quarantine; two keys of an object become one.
    """
    if isinstance(value, str):
        return _storable_text(value, path, policy, is_key=False)
    if isinstance(value, dict):
        found = {
            _storable_text(key, path, policy, is_key=True): storable(item, f"{path}.{key}", policy)
            for key, item in value.items()
        }
        if len(found) < len(value):
            raise Unstorable(
                _UNSTORABLE.sub("\ufffd", path),
                "Expected keys that stay different when what cannot be stored in them is replaced, got two that do not",
            )
        return found
    if isinstance(value, list):
        return [storable(item, f"{path}[{index}]", policy) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        if policy in (Policy.FAIL, Policy.QUARANTINE):
            raise Unstorable(path, f"Expected a JSON number, got `{value}`")
        return None
    if isinstance(value, Decimal) and not fits_numeric(value):
        if policy in (Policy.FAIL, Policy.QUARANTINE):
            raise Unstorable(path, TOO_LARGE)
        return None
    return value


def fits_numeric(value: Decimal) -> bool:
    """Tell whether PostgreSQL's numeric holds a finite number with every digit."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101  finite numbers have one
    return len(digits) + exponent <= _NUMERIC_DIGITS_BEFORE and -exponent <= _NUMERIC_DIGITS_AFTER


def _storable_text(text: str, path: str, policy: Policy, *, is_key: bool) -> str | None:
    found = _UNSTORABLE.search(text)
    if found is None:
        return text
    if policy is Policy.REPLACE or (is_key and policy is Policy.NULL):
        return _UNSTORABLE.sub("\ufffd", text)
    if policy is Policy.NULL:
        return None
    character = "a NUL character" if found.group() == "\x00" else "a lone surrogate"
    place = " in a key" if is_key else ""
    raise Unstorable(
        _UNSTORABLE.sub("\ufffd", path), f"Expected text that can be stored, got {character}{place}"
    )
