"""Values that come as text, as CSV and XML have nothing else: they stay text, unless the schema of the stream says otherwise.

A text becomes a number, true, false, an array or an object where the schema admits no text and the text is one; any other stays as it is, for
the target to refuse by name. Of a number the text is kept: `1.10` stays `1.10`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_catalog.admitted import types_of
from singerkit_catalog.schema import properties_of

__all__ = ["TextReader", "readers_of"]

TextReader = Callable[[str], Any]
_NUMBER = re.compile(r"\s*-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\s*", re.ASCII)
_FLAGS = {"true": True, "false": False}
_OPENINGS = {"array": "[", "object": "{"}


def readers_of(schema: Mapping[str, Any]) -> dict[str, TextReader]:
    """Return what makes values of texts, for those properties of a schema that admit no text."""
    found = {name: _reader_of(prop) for name, prop in properties_of(schema).items()}
    return {name: reader for name, reader in found.items() if reader is not None}


def _reader_of(prop: Mapping[str, Any]) -> TextReader | None:
    kinds = types_of(prop) - {"null"}
    if not kinds or "string" in kinds:
        return None
    is_number = bool(kinds & {"integer", "number"})
    is_flag = "boolean" in kinds
    openings = tuple(_OPENINGS[kind] for kind in kinds if kind in _OPENINGS)

    def read(text: str) -> Any:
        if is_number and _NUMBER.fullmatch(text):
            return Raw(text.strip().encode())
        if is_flag and text.strip().lower() in _FLAGS:
            return _FLAGS[text.strip().lower()]
        if openings and text.lstrip().startswith(openings):
            return _json_or_text(text)
        return text

    return read


def _json_or_text(text: str) -> Any:
    raw = text.encode()
    try:
        msgspec.json.decode(raw, type=Raw)
    except (msgspec.DecodeError, RecursionError):
        return text
    return Raw(raw)
