"""The operations by the name that a config gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_map.contract import Operation
from singerkit_map.operations import (
    cast,
    constant,
    copies,
    country,
    date,
    dedupe,
    default,
    drop,
    explode,
    filters,
    fixtext,
    flatten,
    hmacs,
    jsontext,
    keep,
    labels,
    mask,
    normalise,
    parseurl,
    phone,
    python,
    redact,
    rename,
    streams,
    timezone,
    tokenise,
    truncate,
)

__all__ = ["OPERATIONS", "Row"]


@dataclass(frozen=True)
class Row:
    """An operation: the JSON Schema of what a config says of it, and what makes it of that."""

    settings: Mapping[str, Any]
    made: Callable[[Mapping[str, Any], str], Operation]


OPERATIONS: Mapping[str, Row] = {
    "rename": Row(rename.SETTINGS, rename.made),
    "drop": Row(drop.SETTINGS, drop.made),
    "keep": Row(keep.SETTINGS, keep.made),
    "copy": Row(copies.SETTINGS, copies.made),
    "constant": Row(constant.SETTINGS, constant.made),
    "cast": Row(cast.SETTINGS, cast.made),
    "country": Row(country.SETTINGS, country.made),
    "date": Row(date.SETTINGS, date.made),
    "default": Row(default.SETTINGS, default.made),
    "fix_text": Row(fixtext.SETTINGS, fixtext.made),
    "hmac": Row(hmacs.SETTINGS, hmacs.made),
    "json": Row(jsontext.SETTINGS, jsontext.made),
    "labels": Row(labels.SETTINGS, labels.made),
    "mask": Row(mask.SETTINGS, mask.made),
    "normalise": Row(normalise.SETTINGS, normalise.made),
    "parse_url": Row(parseurl.SETTINGS, parseurl.made),
    "phone": Row(phone.SETTINGS, phone.made),
    "redact": Row(redact.SETTINGS, redact.made),
    "timezone": Row(timezone.SETTINGS, timezone.made),
    "tokenise": Row(tokenise.SETTINGS, tokenise.made),
    "truncate": Row(truncate.SETTINGS, truncate.made),
    "filter": Row(filters.SETTINGS, filters.made),
    "explode": Row(explode.SETTINGS, explode.made),
    "flatten": Row(flatten.SETTINGS, flatten.made),
    "dedupe": Row(dedupe.SETTINGS, dedupe.made),
    "rename_stream": Row(streams.RENAME_SETTINGS, streams.renamed),
    "drop_stream": Row(streams.DROP_SETTINGS, streams.dropped),
    "python": Row(python.SETTINGS, python.made),
}
