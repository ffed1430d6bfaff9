"""A map as a config has it becomes operations by stream; what is wrong with it is told before anything is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from singerkit_catalog.patterns import most_exact, unmatched
from singerkit_map.contract import Operation
from singerkit_map.operations.table import OPERATIONS
from singerkit_map.settings import DEFAULTS
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import line_of, nearest, schema_problems
from singerkit_state.value import encode

__all__ = ["MapConfig", "map_problems", "operation_schema", "read_map"]


@dataclass(frozen=True)
class MapConfig:
    """The operations of a map by glob; ``at``: where it stands in the config, ``fingerprint``: the same for maps that do the same."""

    by_pattern: Mapping[str, tuple[Operation, ...]]
    at: str
    on_error: str
    fails_if_changed: bool
    fingerprint: str

    def of(self, stream: str) -> tuple[Operation, ...]:
        """Return the operations of a stream.

        Raises:
            ConfigurationError: two patterns are as exact as each other, and say different things.
        """
        return most_exact(self.by_pattern, stream, f"{self.at}.streams".removeprefix(".")) or ()

    def unmatched(self, streams: Sequence[str]) -> list[str]:
        """Return the globs that match none of the streams."""
        return unmatched(self.by_pattern, streams)


def map_problems(said: Mapping[str, Any], at: str) -> list[str]:
    """Return a sentence without its full stop for each operation that is wrong; the rest of a map is judged by its JSON Schema."""
    problems: list[str] = []
    for pattern, listed in said.get("streams", {}).items():
        for number, one in enumerate(listed):
            problems += _problems(one, (*_steps(at), "streams", pattern, number))
    return problems


def _problems(said: dict[str, Any], path: tuple[str | int, ...]) -> list[str]:
    op = said["op"]
    place = _place(path)
    if op not in OPERATIONS:
        near = nearest(op, list(OPERATIONS))
        hint = (
            f"; did you mean `{near}`?"
            if near
            else f"; there are {', '.join(f'`{name}`' for name in OPERATIONS)}"
        )
        return [f"There is no operation `{op[:40]}` at `{place}.op`{line_of(f'{place}.op')}{hint}"]
    return schema_problems(said, operation_schema(op), at=path)


def read_map(said: Mapping[str, Any], at: str = "map") -> MapConfig:
    """Return what a config says, which its JSON Schema allows; ``at``: the key of the config in which it stands, empty for the config itself.

    Raises:
        ConfigurationError: an operation is wrong.
    """
    problems = map_problems(said, at)
    if problems:
        raise ConfigurationError(f"{'; '.join(problems)}. Nothing was read.")
    by_pattern: dict[str, tuple[Operation, ...]] = {}
    words: dict[str, list[Any]] = {}
    for pattern, listed in said.get("streams", {}).items():
        made = [
            OPERATIONS[one["op"]].made(one, _place((*_steps(at), "streams", pattern, number)))
            for number, one in enumerate(listed)
        ]
        by_pattern[pattern] = tuple(made)
        words[pattern] = [_identity(one, operation) for one, operation in zip(listed, made, strict=True)]
    given = {**DEFAULTS, **said}
    return MapConfig(
        by_pattern,
        at,
        on_error=given["on_error"],
        fails_if_changed=given["on_map_change"] == "fail",
        fingerprint=_fingerprint([words, given["on_error"]]),
    )


def _identity(said: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    """Return what decides what an operation does, with no secret in it."""
    secret = {
        name
        for name, one in OPERATIONS[said["op"]].settings["properties"].items()
        if one.get("secret") is True
    }
    told = {name: value for name, value in said.items() if name not in secret}
    return told | {"fingerprint": getattr(operation, "fingerprint", "")}


def _fingerprint(words: Any) -> str:
    return hashlib.sha256(encode(_sorted(words)).encode()).hexdigest()[:16]


def _sorted(words: Any) -> Any:
    """Objects in one order, but for those that say one of a field's order (`rename`): they are few and short."""
    if isinstance(words, dict):
        return {name: _sorted(words[name]) for name in sorted(words)}
    return [_sorted(one) for one in words] if isinstance(words, list) else words


def _steps(at: str) -> tuple[str, ...]:
    return (at,) if at else ()


def _place(path: Sequence[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def operation_schema(op: str) -> dict[str, Any]:
    """Return the JSON Schema of what a config says of an operation."""
    settings = OPERATIONS[op].settings
    return {
        "type": "object",
        "required": ["op", *settings.get("required", ())],
        "properties": {"op": {"type": "string", "secret": False}, **settings["properties"]},
    }
