"""A config for one path or URL, from what its files show: a name, a format, and how CSV is written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import PurePosixPath
from typing import Any

from singerkit_shell.errors import UsageError
from singerkit_shell.validate import config_problems
from tap_files.config import CONFIG_SCHEMA, config_conflicts
from tap_files.formats.table import FORMATS, format_of_name
from tap_files.packed.packing import archive_kind, archive_of, inner_name
from tap_files.preview.dialects import dialect_of, text_of
from tap_files.preview.logpatterns import pattern_of
from tap_files.settings.log import PATTERNS

__all__ = ["START_BYTES", "config_of_path", "ending_of_members", "format_of_content", "proposed", "readable"]

START_BYTES = 1 << 18
"""Bytes of a file that are looked at."""

_MAGICS = ((b"PAR1", "parquet"), (b"Obj\x01", "avro"), (b"PK\x03\x04", "xlsx"), (b"\xd0\xcf\x11\xe0", "xlsx"))
_ANY_PATTERN = {"pattern": "logfmt"}
_WILD = re.compile(r"[*?\[{].*", re.DOTALL)


def config_of_path(path: str, form: str | None) -> dict[str, Any]:
    """Return a config that reads ``path`` alone.

    Raises:
        UsageError: it is no path that a config could have.
    """
    stream: dict[str, Any] = {"name": _name_of(path), "path": path}
    if form is not None:
        stream["format"] = form
    config: dict[str, Any] = {"streams": [stream]}
    tried = deepcopy(readable(config))  # defaults are put into it
    problems = config_problems(tried, CONFIG_SCHEMA) or config_conflicts(tried)
    if problems:
        raise UsageError(_worded(problems[0]))
    return config


def readable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config of `config_of_path` with what it takes to open its files: a format, and of logs a pattern, whatever their content is."""
    [stream] = config["streams"]
    known = format_of_name(inner_name(stream["path"]))
    form = stream.get("format", "csv" if known is None else known.name)
    more = {"log": _ANY_PATTERN} if form == "log" else {}
    return {**config, "streams": [{**more, "format": form, **stream}]}


def _worded(problem: str) -> str:
    """Return what is wrong with a path, without the places of a config that nobody has written yet."""
    said = f"{problem.removesuffix(' at `streams[0].path`').replace('`streams[0].', '`')}; nothing was read."
    if not problem.startswith("Expected the key"):
        return said
    return f"{said} That is not guessed: write a config that says it, and look at it with `tap-files preview --config FILE`."


def _name_of(path: str) -> str:
    """Return the name of a stream: that of the file, or where its name is a wildcard that of the folder."""
    parts = [part for part in re.sub(r"^[a-z0-9+.-]+://", "", path).split("/") if part and "=" not in part]
    for part in reversed(parts):
        plain = re.sub(r"\W+", "_", _WILD.sub("", part).split(".")[0]).strip("_")
        if plain:
            return plain
    return "rows"


def ending_of_members(path: str, names: Sequence[str]) -> str | None:
    """Return the ending that most members of archives have whose format it tells (`.csv`, `.csv.gz`); None: none has one, or ``path`` names no archives."""
    if archive_kind(path) is None:
        return None
    members = [
        name for name in names if archive_of(name) != name and format_of_name(inner_name(name)) is not None
    ]
    endings = Counter(
        PurePosixPath(inner_name(name)).suffix + name[len(inner_name(name)) :] for name in members
    )
    return endings.most_common(1)[0][0] if endings else None


def format_of_content(start: bytes) -> str:
    """Return the format that the first bytes of a file look like; text that looks like no other is taken for CSV."""
    for magic, name in _MAGICS:
        if start.startswith(magic) and name in FORMATS:
            return name
    text, _, _ = text_of(start)
    begin = text.lstrip()
    if begin.startswith("{") and "jsonl" in FORMATS and re.search(r"\}\s*\n\s*\{", begin):
        return "jsonl"
    if begin.startswith(("{", "[")) and "json" in FORMATS:
        return "json"
    return "csv" if pattern_of(text, is_cut=len(start) >= START_BYTES) is None else "log"


def proposed(
    config: Mapping[str, Any], name: str, start: bytes, *, is_told: bool
) -> tuple[dict[str, Any], list[str]]:
    """Return the config with what the beginning of a file shows, and doubts about it; ``is_told``: its format is known without it."""
    [stream] = config["streams"]
    doubts = []
    if not is_told:
        stream = {**stream, "format": format_of_content(start)}
        doubts.append(f"The ending of {name} tells no format: its content looks like `{stream['format']}`.")
    path = stream.get("members", stream["path"])
    known = format_of_name(inner_name(path))
    form = stream.get("format", known.name if known is not None else "")
    if form in ("csv", "log"):
        section, more = _dialect(path, start) if form == "csv" else _look(start)
        stream = {**stream, **({form: section} if section else {})}
        doubts += more
    return {**config, "streams": [stream]}, doubts


def _look(start: bytes) -> tuple[dict[str, Any], list[str]]:
    text, encoding, doubts = text_of(start)
    found = pattern_of(text, is_cut=len(start) >= START_BYTES)
    if found is None:
        raise UsageError(
            f"No known pattern of `log` ({', '.join(PATTERNS)}) fits half of the first lines; an expression for them is not guessed: write a config with `log.expression`, and look at it with `tap-files preview --config FILE`. Nothing was read further."
        )
    section = {"pattern": found[0]} | ({"encoding": encoding} if encoding is not None else {})
    return section, [*doubts, *found[1]]


def _dialect(path: str, start: bytes) -> tuple[dict[str, Any], list[str]]:
    text, encoding, doubts = text_of(start)
    name = path.lower().rpartition("/")[2]
    default = "\t" if ".tsv" in name or ".tab" in name else ","
    dialect = dialect_of(text, default, is_cut=len(start) >= START_BYTES)
    section = dialect.section | ({"encoding": encoding} if encoding is not None else {})
    return section, [*doubts, *dialect.doubts]
