"""`tokenise`: a value as a token, and a stream of its own from which those who may can tell the value of a token."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from singerkit_map.block import Block
from singerkit_map.contract import BadValue, Impossible, Shape
from singerkit_map.jsontexts import texts
from singerkit_map.operations.hmacs import Keyed
from singerkit_map.operations.words import ON_VALUE, refused
from singerkit_map.values.canonical import SCALARS, canonical_text
from singerkit_map.values.fieldschemas import text_field
from singerkit_map.values.keys import KEY, KEY_ID, Key

__all__ = ["SETTINGS", "made"]

_APART = b"singerkit token:"
"""Stands before what is hashed: a token and an `hmac` by the same key do not tell that they are of one value."""
SETTINGS: Mapping[str, Any] = {
    "description": (
        "A token in the place of a value: the same one wherever the value stands, in each run, which tells nothing without the key. Beside it a stream of its own has a record for each token with its "
        "value, so that the target has a table of both: grant it to those who may know. It goes before the rows that use it, in the same unit of commit, and has the token as its key. "
        "A text that not every target can store (NUL, half a surrogate pair) is a bad value."
    ),
    "properties": {
        **ON_VALUE,
        "key": KEY,
        "key_id": KEY_ID,
        "format": {
            "enum": ["text", "uuid"],
            "default": "text",
            "description": "`text`: `tok_` and 32 hexadecimal digits; `uuid`: a UUID (version 8), for columns that hold those.",
        },
        "tokens": {
            "type": "string",
            "minLength": 1,
            "description": "The name of the stream of tokens. Default: that of the stream with `__tokens` behind it.",
        },
    },
    "required": ["field", "key"],
    "examples": [
        {
            "said": {"op": "tokenise", "field": "email", "key": {"env": "MAP_KEY"}},
            "before": {"email": "a"},
            "after": {"email": "tok_28c29efdbe2a9e60165b025203fd4529"},
        }
    ],
}


def made(said: Mapping[str, Any], place: str) -> Tokenising:
    if said.get("format") == "uuid" and "key_id" in said:
        raise refused(
            "Expected no name of a key with `format: uuid`, where it has no place, got one", place, "key_id"
        )
    key = Key(said["key"], said.get("key_id"), f"{place}.key")
    token_of, shown = (
        (_uuid_of(key), {"format": "uuid"}) if said.get("format") == "uuid" else (_text_of(key), {})
    )
    met: dict[str, str] = {}

    def value(seen: object) -> str:
        text = _storable(canonical_text(seen))
        token = token_of(text)
        met[token] = text
        return token

    def schema_of(schema: Mapping[str, Any]) -> dict[str, Any]:
        return {**text_field(schema), **shown}

    return Tokenising(
        place,
        said["field"],
        value,
        schema_of,
        said.get("as"),
        takes=SCALARS,
        protects=True,
        keeps_keys=True,
        fingerprint=key.fingerprint,
        tokens=said.get("tokens"),
        shown=shown,
        met=met,
    )


@dataclass(frozen=True)
class Tokenising(Keyed):
    """Puts what it has met beside the block."""

    tokens: str | None = None
    """The name of their stream, where the config says it."""
    shown: Mapping[str, str] = field(default_factory=dict)
    """What the schema of a token says beside its type."""
    met: dict[str, str] = field(default_factory=dict)
    """The values of the block by their tokens."""

    def outcome(self, shape: Shape) -> Shape:
        if self._stream(shape) == shape.stream:
            raise Impossible("the stream of tokens would have the name of the stream itself", "tokens")
        return super().outcome(shape)

    def apply(self, block: Block, before: Shape, /) -> None:
        self.met.clear()
        super().apply(block, before)
        records = texts([{"token": token, "value": text} for token, text in self.met.items()])
        block.beside.setdefault(self._stream(before), []).extend(records)

    def side_streams(self, before: Shape) -> dict[str, tuple[Mapping[str, Any], Sequence[str]]]:
        """Return the stream of tokens, with its schema and its key."""
        properties = {"token": {"type": "string", **self.shown}, "value": {"type": "string"}}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        return {self._stream(before): (schema, ("token",))}

    def _stream(self, shape: Shape) -> str:
        return self.tokens or f"{shape.stream}__tokens"


def _storable(text: str) -> str:
    """Return a text that each target can store: else its token would be without it, and it in the dead letters.

    Raises:
        BadValue: it holds NUL or half a surrogate pair.
    """
    if "\0" in text or any("\ud800" <= one <= "\udfff" for one in text if one > "\ud7ff"):
        raise BadValue(
            "expected text that can be stored beside its token, got one with NUL or half a surrogate pair"
        )
    return text


def _text_of(key: Key) -> Callable[[str], str]:
    return lambda text: f"{key.prefix}tok_{_digits(key, text)}"


def _uuid_of(key: Key) -> Callable[[str], str]:
    def token(text: str) -> str:
        # As UUID(version=8), which Python below 3.14 refuses: four bits say the version, two the variant.
        number = int(_digits(key, text), 16)
        number = number & ~(0xF << 76) | (8 << 76)
        number = number & ~(0x3 << 62) | (2 << 62)
        return str(uuid.UUID(int=number))

    return token


def _digits(key: Key, text: str) -> str:
    [digits] = key.hashed([_APART + text.encode()])
    return digits[:32]
