"""Lines of the config, as errors and warnings advise them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from singerkit_shell.secrets import redactor
from tap_rest.settings.pagination import Pagination

__all__ = ["line_of", "line_part", "said_in"]


def said_in(settings: Pagination) -> dict[str, Any]:
    """Return what the config says."""
    said: dict[str, Any] = msgspec.to_builtins(settings)
    del said["size_in"]
    if said["in"] in ("query", "placeholder"):
        del said["in"]
    return {key: value for key, value in said.items() if value is not None and value is not False}


def line_of(pagination: Mapping[str, Any]) -> str:
    return f'"pagination": {redactor.mask_foreign(json.dumps(pagination))}'


def line_part(key: str, value: str) -> str:
    return f"{json.dumps(key)}: {json.dumps(value)}"
