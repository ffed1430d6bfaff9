"""`hmac`: a value as a text by which it is known again, and from which nobody without the key gets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from singerkit_map.contract import OfValue
from singerkit_map.operations.words import ON_VALUE
from singerkit_map.values.canonical import SCALARS, canonical_text
from singerkit_map.values.fieldschemas import text_field
from singerkit_map.values.keys import KEY, KEY_ID, Key, utf8

__all__ = ["SETTINGS", "Keyed", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": (
        "HMAC-SHA256 with a key, as 64 hexadecimal digits: equal values stay equal, on every machine, and rows can still be joined by them. Numbers count by "
        "their value (1, 1.0 and 1e0 are `1`), booleans are `true` and `false`, text is taken as it is: put `normalise` before it where spellings differ."
    ),
    "properties": {**ON_VALUE, "key": KEY, "key_id": KEY_ID},
    "required": ["field", "key"],
    "examples": [
        {
            "said": {
                "op": "hmac",
                "field": "email",
                "key": {"env": "MAP_KEY"},
                "key_id": "k1",
                "as": "email_id",
            },
            "before": {"email": "a"},
            "after": {
                "email": "a",
                "email_id": "k1:aa2187723645a252148bbf3aad0e20d4c3a2861235bb65a264967af9d46faec2",
            },
        }
    ],
}

_QUOTE, _ESCAPE = b'"\\'


@dataclass(frozen=True)
class Keyed(OfValue):
    """An operation whose result depends on a key, which ``fingerprint`` tells from others."""

    fingerprint: str = ""


def made(said: Mapping[str, Any], place: str) -> Keyed:
    key = Key(said["key"], said.get("key_id"), f"{place}.key")

    opening = '"' + key.prefix

    def value(seen: object) -> str:
        [digits] = key.hashed([utf8(seen if type(seen) is str else canonical_text(seen))])
        return key.prefix + digits

    def of_texts(texts: Sequence[bytes]) -> list[bytes | None]:
        plain = [text[1:-1] for text in texts if text[0] == _QUOTE and _ESCAPE not in text]
        made = [f'{opening}{digits}"'.encode() for digits in key.hashed(plain)]
        if len(made) == len(texts):
            return made  # type: ignore[return-value]
        following = iter(made)
        return [next(following) if text[0] == _QUOTE and _ESCAPE not in text else None for text in texts]

    return Keyed(
        place,
        said["field"],
        value,
        text_field,
        said.get("as"),
        takes=SCALARS,
        protects=True,
        keeps_keys=True,
        fingerprint=key.fingerprint,
        of_texts=of_texts,
    )
