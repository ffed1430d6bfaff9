"""An operation as a config says it: tried on a value, and on the schema of a field."""

from __future__ import annotations

from typing import Any

from singerkit_map.contract import BadValue
from singerkit_map.operations.table import OPERATIONS

__all__ = ["BAD", "KEY", "Bad", "made", "value"]

KEY = "0123456789abcdef0123456789abcdef"


class Bad:
    """What a value is that an operation refuses: equal to any other that is bad."""

    def __repr__(self) -> str:
        return "bad"


BAD = Bad()


def made(op: str, **said: Any) -> Any:
    given = {"field": "f", **said}
    if op in ("hmac", "tokenise"):
        given.setdefault("key", KEY)
    return OPERATIONS[op].made(given, f"map.streams.s[0]({op})")


def value(operation: Any, given: Any) -> Any:
    """Return what an operation makes of a value, or BAD; its reason may not hold the value."""
    reason = ""
    try:
        return operation.value(given)
    except BadValue as bad:
        reason = str(bad)
    assert not (isinstance(given, str) and len(given) > 3 and given in reason), reason
    return BAD
