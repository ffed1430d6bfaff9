"""`json` of a stream: where the records of a JSON document are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.settings import setting
from tap_files.settings.jsonlines import ENCODING, encoding_problems

__all__ = ["JSON", "JsonSettings", "json_problems", "json_settings"]

_STEP = r"\.[A-Za-z_][\w@-]*|\['[^'\\]+'\]|\[\"[^\"\\]+\"\]"
_PATH = re.compile(rf"\$(?:{_STEP})*(?:\[\*\])?")
_NAME = re.compile(r"\.([A-Za-z_][\w@-]*)|\['([^']+)'\]|\[\"([^\"]+)\"\]")

JSON = setting.group(
    "Where the records of a JSON document are. Needs `format` `json`.",
    {
        "records": setting.name(
            "The JSONPath of an array of records, or of one record, of names alone: `$.data.rows[*]`, `$['odd name']`. Default: `$[*]`, the items "
            "of an array; of documents that are objects each is a record."
        ),
        "encoding": ENCODING,
    },
)


@dataclass(frozen=True)
class JsonSettings:
    """`json` of a stream; ``names``: the members down to the records."""

    names: tuple[str, ...] = ()
    encoding: str | None = None


def json_settings(said: Mapping[str, Any], _path: str) -> JsonSettings:
    """Return what the section says, of a config that fits its schema."""
    return JsonSettings(_names(said.get("records", "$")), said.get("encoding"))


def _names(path: str) -> tuple[str, ...]:
    return tuple(next(filter(None, groups)) for groups in _NAME.findall(path))


def json_problems(said: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what a schema cannot say about the section, at ``place`` of the config."""
    if not _PATH.fullmatch(said.get("records", "$")):
        yield (
            f"Expected a JSONPath of names, as `$.data.rows[*]`, at `{place}.records`, got `{said['records']}`; what stands in lists inside "
            "records can be unnested by the target"
        )
    yield from encoding_problems(said, place)
