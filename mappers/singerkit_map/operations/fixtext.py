"""`fix_text`: text that was decoded by a wrong encoding (`MÃ¼nchen`) is mended; right text is left alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from singerkit_map.contract import TEXT, OfValue
from singerkit_map.operations.words import ON_VALUE, extra_of
from singerkit_map.values.fieldschemas import text_field

__all__ = ["SETTINGS", "fixer", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": (
        "UTF-8 that somebody has read as Latin-1, Windows-1252 and the like (`MÃ¼nchen`, `donâ€™t`) is UTF-8 again, also where it happened twice. Nothing else is changed: "
        "no quotes, no ligatures, no HTML. Needs `singerkit[clean]`."
    ),
    "properties": dict(ON_VALUE),
    "required": ["field"],
    "examples": [
        {
            "said": {"op": "fix_text", "field": "city"},
            "before": {"city": "MÃ¼nchen"},
            "after": {"city": "München"},
        }
    ],
}
_ROUNDS = 4
MAY_BE_BAD = re.compile("[\x80-\x9f\ufffd\u0152\u0153\u00c2\u00c3]|[^\x00-\x7f]\\s?[^\x00-\x7f]")
"""What ftfy takes for bad has two letters beyond ASCII side by side, or one of these; a single umlaut in a word has not to be judged."""


def made(said: Mapping[str, Any], place: str) -> OfValue:
    return OfValue(place, said["field"], fixer(place), text_field, said.get("as"), takes=TEXT)


def fixer(place: str) -> Callable[[str], str]:
    """Return what mends one text.

    Raises:
        ConfigurationError: ftfy is not installed.
    """
    ftfy = extra_of("ftfy", "fix_text", place)
    is_bad = extra_of("ftfy.badness", "fix_text", place).is_bad
    # Text of which nothing is left but a replacement character is not made up again.
    settings = ftfy.TextFixerConfig(explain=False, replace_lossy_sequences=False)

    def fixed(text: str) -> str:
        if text.isascii() or not MAY_BE_BAD.search(text) or not is_bad(text):
            return text
        for _ in range(_ROUNDS):
            before, text = text, ftfy.fix_encoding(text, settings)
            if text == before:
                break
        return text

    return fixed
