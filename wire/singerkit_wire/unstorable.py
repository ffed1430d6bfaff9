"""Values that JSON admits and a store does not: one policy, the same at every depth, keys included."""

from __future__ import annotations

import enum
import math
import re
from decimal import Decimal
from typing import Any

from singerkit_wire.domain import Domain

__all__ = ["Policy", "Unstorable", "storable"]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


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


def storable(value: Any, path: str, policy: Policy, domain: Domain) -> Any:
    """Return ``value`` as the policy wants what ``domain`` does not hold; ``path`` says where it stands, for errors.

    Replace puts U+FFFD for each character; null drops the whole string. An object key cannot be null: it is
    replaced under both. Numbers that are not JSON, or out of range, become null under both.

    Raises:
        Unstorable: under fail and quarantine; two keys of an object become one.
    """
    if isinstance(value, str):
        return _storable_text(value, path, policy, domain, is_key=False)
    if isinstance(value, dict):
        found = {
            _storable_text(key, path, policy, domain, is_key=True): storable(
                item, f"{path}.{key}", policy, domain
            )
            for key, item in value.items()
        }
        if len(found) < len(value):
            raise Unstorable(
                _UNSTORABLE.sub("\ufffd", path),
                "Expected keys that stay different when what cannot be stored in them is replaced, got two that do not",
            )
        return found
    if isinstance(value, list):
        return [storable(item, f"{path}[{index}]", policy, domain) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        if policy in (Policy.FAIL, Policy.QUARANTINE):
            raise Unstorable(path, f"Expected a JSON number, got `{value}`")
        return None
    if isinstance(value, Decimal) and not domain.numbers.hold(value):
        if policy in (Policy.FAIL, Policy.QUARANTINE):
            raise Unstorable(path, domain.numbers.refusal(value))
        return None
    return value


def _storable_text(text: str, path: str, policy: Policy, domain: Domain, *, is_key: bool) -> str | None:
    unstorable = _SURROGATE if domain.holds_nul else _UNSTORABLE
    found = unstorable.search(text)
    if found is None:
        return text
    if policy is Policy.REPLACE or (is_key and policy is Policy.NULL):
        return unstorable.sub("\ufffd", text)
    if policy is Policy.NULL:
        return None
    character = "a NUL character" if found.group() == "\x00" else "a lone surrogate"
    place = " in a key" if is_key else ""
    raise Unstorable(
        _UNSTORABLE.sub("\ufffd", path), f"Expected text that can be stored, got {character}{place}"
    )
