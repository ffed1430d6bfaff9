"""Values that JSON admits and PostgreSQL does not: one policy, the same at every depth, keys included."""

from __future__ import annotations

import enum
import math
import re
from typing import Any

__all__ = ["Policy", "Unstorable", "storable"]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Policy(enum.Enum):
    """What to do with a NUL, a lone surrogate, NaN, an infinity or a date out of range."""

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
    replaced under both. Numbers that are not JSON become null under both.

    Raises:
        Unstorable: under fail and quarantine.
    """
    if isinstance(value, str):
        return _storable_text(value, path, policy, is_key=False)
    if isinstance(value, dict):
        return {
            _storable_text(key, path, policy, is_key=True): storable(item, f"{path}.{key}", policy)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [storable(item, f"{path}[{index}]", policy) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        if policy in (Policy.FAIL, Policy.QUARANTINE):
            raise Unstorable(path, f"Expected a JSON number, got `{value}`")
        return None
    return value


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
        _UNSTORABLE.sub("\ufffd", path), f"Expected text that PostgreSQL can store, got {character}{place}"
    )
