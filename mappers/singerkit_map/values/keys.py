"""Keys of `hmac` and `tokenise`: long enough, never shown, and told apart without being told."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor

__all__ = ["KEY", "KEY_ID", "Key", "utf8"]

KEY: dict[str, Any] = {
    "type": "string",
    "secret": True,
    "description": (
        'The key: `{"env": "MAP_KEY"}` or `{"file": "map.key"}`, of 128 bits or more: 32 hexadecimal digits, 39 decimal ones, or 22 characters '
        "of others, as `openssl rand -hex 32` makes them. It is taken as the text that it is."
    ),
}
KEY_ID: dict[str, Any] = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_.-]{1,32}$",
    "says": "letters, digits, `_`, `.` and `-`, 32 at most",
    "description": (
        "A name of the key, which stands before each result (`k2:9f86d0...`), so that results of two keys are never taken for equal."
    ),
}
_BITS = 128
_FEWEST_CHARACTERS = 8
"""Different ones: a key of one character, however long, is none."""
_DECIMAL, _HEXADECIMAL = re.compile(r"[0-9]*+"), re.compile(r"[0-9a-f]*+|[0-9A-F]*+")


class Key:
    """A key, checked and masked in everything that is printed from now on; ``place`` names it in errors. ``prefix`` stands before each result.

    Raises:
        ConfigurationError: it holds too little.
    """

    def __init__(self, text: str, key_id: str | None, place: str) -> None:
        redactor.add(text)
        if _bits(text) < _BITS or len(set(text)) < _FEWEST_CHARACTERS:
            raise ConfigurationError(
                f"Expected a key of at least {_BITS} bits (32 hexadecimal digits, or 22 characters of others), got a weaker one at "
                f"`{place}`; nothing was read: make one with `openssl rand -hex 32`, and keep it where the results must stay the same."
            )
        self.prefix = f"{key_id}:" if key_id else ""
        self._halves = _halves(utf8(text))

    def hashed(self, texts: Iterable[bytes]) -> list[str]:
        """Return the HMAC-SHA256 of each text, in hexadecimal digits; all in one loop, as there are many."""
        copy_inner, copy_outer = (half.copy for half in self._halves)
        found: list[str] = []
        for text in texts:
            inner, outer = copy_inner(), copy_outer()
            inner.update(text)
            outer.update(inner.digest())
            found.append(outer.hexdigest())
        return found

    @property
    def fingerprint(self) -> str:
        """What tells this key from another, and nothing else about it."""
        return self.prefix + self.hashed([b"singerkit: which key this is"])[0][:8]


def utf8(text: str) -> bytes:
    """Return the UTF-8 of a text, in which half of a surrogate pair may stand."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _halves(key: bytes) -> tuple[Any, Any]:
    """Return SHA-256 at work behind the key as RFC 2104 has it, inside and outside: taken once, a digest costs half of what `hmac` takes."""
    block = hashlib.sha256().block_size
    padded = (hashlib.sha256(key).digest() if len(key) > block else key).ljust(block, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in padded)), hashlib.sha256(
        bytes(byte ^ 0x5C for byte in padded)
    )


def _bits(text: str) -> float:
    """Return how many bits a text holds at most, judged by the characters that it is made of."""
    each = math.log2(10) if _DECIMAL.fullmatch(text) else 4 if _HEXADECIMAL.fullmatch(text) else 6
    return each * len(text)
