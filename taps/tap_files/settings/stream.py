"""`streams[]`: which files make a stream, and what its rows are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from singerkit_catalog.admitted import json_types
from singerkit_catalog.schema import properties_of
from singerkit_state.instants import NoInstantError, check_calendar
from tap_files.filecolumns import FILE_COLUMNS
from tap_files.formats.table import FORMATS, Format, format_of_name
from tap_files.listing import Pattern
from tap_files.packed.limits import Limits
from tap_files.packed.packing import archive_kind, inner_name, packing_told
from tap_files.places.addresses import Address, address_of
from tap_files.settings.packed import PACKED, limits_of, packed_problems

__all__ = ["STREAM", "StreamSettings", "stream_problems", "stream_settings"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DEFAULT_COLUMNS = ("_file", "_row")
_OF_VALUES = {"encoding", "nulls", "decimal_comma", "thousands", "trim", "infinity", "errors"} | {
    "short_rows",
    "long_rows",
    "max_row_bytes",
}
"""Settings of formats that say what a text means, or what becomes of a row that is none: all others say where rows and columns are."""

_OF_LINES = ("csv", "fixed_width", "jsonl", "log")
"""Formats in which a last line without its end can wait."""

_OF_TEXTS = ("csv", "fixed_width", "log")
"""Formats whose values are texts, which are held against what `schema` says."""

STREAM: dict[str, Any] = {
    "type": "object",
    "required": ["name", "path"],
    "additionalProperties": False,
    "properties": {
        "name": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The name of the stream.",
        },
        "path": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The files of the stream: a path, or a URL (`file://`), with `*` and `?` within a part, `**` over parts, `[0-9]` and "
            "`{csv,tsv}`. A relative one is of the folder in which the run begins. Parts like `dt=*` make a column `dt`.",
        },
        "format": {
            "type": "string",
            "enum": [*FORMATS],
            "secret": False,
            "description": "What the files hold. Default: what the ending of `path` tells; their content is never asked.",
        },
        **{one.name: one.section for one in FORMATS.values()},
        **PACKED,
        "schema": {
            "type": "object",
            "required": ["properties"],
            "properties": {
                "properties": {"type": "object", "description": "The fields, each with its schema."}
            },
            "secret": False,
            "description": "A JSON Schema whose `properties` say what columns hold (`integer`, `number`, `boolean`, `string`, also with `format` `date` "
            "or `date-time`). Columns that it does not name are found in the files.",
        },
        "primary_keys": {
            "type": "array",
            "items": {"type": "string"},
            "uniqueItems": True,
            "secret": False,
            "description": "The columns whose values tell rows apart, of all files; of rows with one key the one of the newest file stays. Default: "
            "`_file` and `_row`, where both are among `file_columns`, and with `on_changed` `append` `_etag`; else none.",
        },
        "file_columns": {
            "type": "array",
            "items": {"type": "string", "enum": [*FILE_COLUMNS]},
            "uniqueItems": True,
            "secret": False,
            "description": "The columns that say where a row comes from: the path of its file, the number of the record in it (from 1), the line on "
            "which it begins, when the file was modified, its version. Default: `_file` and `_row`, with `on_changed` `append` `_etag`, too.",
        },
        "on_changed": {
            "type": "string",
            "enum": ["replace", "append", "fail"],
            "secret": False,
            "description": "What becomes of a file that was read and has changed since, other than by growing at its end: its rows `replace` those that were "
            "loaded of it, in one commit (needs `_file` among `file_columns`, and a target that takes rows away, as target-postgres and target-duckdb do); `append` sends them beside those, told apart by `_etag`; `fail` ends the run (65). Default: "
            "`replace` where `_file` is there, else `fail`.",
        },
        "on_removed": {
            "type": "string",
            "enum": ["keep", "delete"],
            "default": "keep",
            "secret": False,
            "description": "What becomes of the rows of a file that was read and is not there any more: `delete` takes them from the target (needs `_file` among `file_columns`).",
        },
        "on_error": {
            "type": "string",
            "enum": ["fail", "continue"],
            "default": "fail",
            "secret": False,
            "description": "What becomes of a file that cannot be read: `fail` ends the stream there; `continue` has the others read, and ends the run with its error then.",
        },
        "on_bad_row": {
            "type": "string",
            "enum": ["fail", "set_aside"],
            "default": "fail",
            "secret": False,
            "description": "What becomes of a record that is none (too short, too long, bytes that are no text, a text that is not what `schema` says): `fail` ends the file there; `set_aside` sends it to "
            "the stream `NAME__bad_rows`, with file, record, line, byte, reason and text, and reads on.",
        },
        "bad_row_limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1_000_000,
            "secret": False,
            "description": "Bad rows that one run sets aside; more end it (65). Default: 100.",
        },
        "start_date": {
            "type": "string",
            "format": "date-time",
            "secret": False,
            "description": "Files that were modified before are not read. Default: `start_date` of the config.",
        },
        "minimum_age": {
            "type": "string",
            "pattern": "^[0-9]{1,6}[smhd]$",
            "secret": False,
            "description": "Leave files to a later run that were modified less than so long ago (`60s`, `5m`, `2h`, `1d`), by the clock of this machine: somebody may still be writing them.",
        },
        "done_marker": {
            "type": "string",
            "minLength": 1,
            "pattern": "^[^/]+$",
            "secret": False,
            "description": "Leave files to a later run until they are said to be complete: by a file of this name in their folder (`_SUCCESS`), or, where it begins with a dot, by one beside each with "
            "this behind its name (`.done`).",
        },
        "remembered_files": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1_000_000,
            "default": 10_000,
            "secret": False,
            "description": "Names of files that the state keeps. The oldest fall off; a file that comes later with an older time than theirs is taken for one of them, and not read.",
        },
        "rotation": {
            "type": "string",
            "enum": ["follow", "none"],
            "secret": False,
            "description": "`follow`: files are logs that are renamed, copied and emptied, or packed by and by; what was read of one is found again, whatever it is called by then. Default: `follow` for the format `log`, "
            "else `none`.",
        },
        "grows": {
            "type": "boolean",
            "secret": False,
            "description": "Files are written on and on: a last line without its end waits for a later run. Default: as the format is (logs do).",
        },
    },
}


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """One stream of the config."""

    name: str
    address: Address
    pattern: Pattern
    format: Format
    format_settings: Any
    schema: Mapping[str, Any]
    primary_keys: tuple[str, ...]
    file_columns: tuple[str, ...]
    on_changed: str
    on_removed: str
    on_error: str
    sets_aside: bool
    bad_row_limit: int
    start_date: str | None
    minimum_age: int
    """Seconds."""
    done_marker: str | None
    remembered_files: int
    is_whole: bool
    """Whether the end of a file is its end for good."""
    follows_rotation: bool
    compression: str
    members: str
    limits: Limits
    cut: bytes
    """What decides where rows and columns of a file are."""
    read_by: Mapping[str, bytes]
    """What decides that, and what the texts mean: the settings, by their names in the config; of `path` the place that it leads to."""

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns that say where a row comes from: those of the path, and `file_columns`."""
        return (*self.pattern.partitions, *self.file_columns)


def stream_settings(said: Mapping[str, Any]) -> StreamSettings:
    """Return the settings of a stream that `stream_problems` has nothing against."""
    address = address_of(said["path"])
    form = _format(said)
    assert form is not None  # noqa: S101  stream_problems has looked
    columns = _file_columns(said)
    section = _without_defaults(form, said)
    return StreamSettings(
        name=said["name"],
        address=address,
        pattern=Pattern(address.pattern),
        format=form,
        format_settings=form.settings_of(said.get(form.name, {}), said["path"]),
        schema=properties_of(said.get("schema", {})),
        primary_keys=_primary_keys(said),
        file_columns=columns,
        on_changed=said.get("on_changed", "replace" if "_file" in columns else "fail"),
        on_removed=said.get("on_removed", "keep"),
        on_error=said.get("on_error", "fail"),
        sets_aside=said.get("on_bad_row") == "set_aside",
        bad_row_limit=said.get("bad_row_limit", 100),
        start_date=said.get("start_date"),
        minimum_age=_seconds(said.get("minimum_age", "0s")),
        done_marker=said.get("done_marker"),
        remembered_files=said.get("remembered_files", 10_000),
        is_whole=not said.get("grows", form.grows or _follows_rotation(said, form)),
        follows_rotation=_follows_rotation(said, form),
        compression=said.get("compression", "auto"),
        members=said.get("members", "*"),
        limits=limits_of(said),
        cut=_written(form, said, {key: section[key] for key in section.keys() - _OF_VALUES}),
        read_by=_read_by(address, form, said, section),
    )


def _file_columns(said: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(said.get("file_columns", _default_columns(said)))


def _primary_keys(said: Mapping[str, Any]) -> tuple[str, ...]:
    columns = _default_columns(said)
    return tuple(said.get("primary_keys", columns if {*columns} <= {*_file_columns(said)} else ()))


def _default_columns(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that tell a row from all others; where versions of a file stand side by side, the version is one."""
    return (*DEFAULT_COLUMNS, "_etag") if said.get("on_changed") == "append" else DEFAULT_COLUMNS


def _without_defaults(form: Format, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section of the format, less what would hold anyway, so that saying it changes nothing."""
    section = said.get(form.name, {})
    props = form.section.get("properties", {})
    defaults = {key: prop["default"] for key, prop in props.items() if "default" in prop}
    if form.name == "csv":  # whose other defaults depend on the path, and on each other
        defaults["delimiter"] = form.settings_of({}, said["path"]).delimiter
        if "names" not in section:
            defaults["header"] = "first"
    return {key: value for key, value in section.items() if key not in defaults or value != defaults[key]}


def _written(form: Format, said: Mapping[str, Any], section: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode([form.name, section, _compression(said)], order="deterministic")


def _read_by(
    address: Address, form: Format, said: Mapping[str, Any], section: Mapping[str, Any]
) -> dict[str, bytes]:
    found = {
        "path": f"{address.root} {address.shown}",
        "format": form.name,
        "compression": _compression(said),
    }
    found |= {f"{form.name}.{key}": value for key, value in section.items()}
    return {name: msgspec.json.encode(value, order="deterministic") for name, value in found.items()}


def _compression(said: Mapping[str, Any]) -> str:
    """Return `compression`, as `auto` where it says what the ending of `path` tells anyway."""
    word, path = said.get("compression", "auto"), said["path"]
    is_told = archive_kind(path) is None and word == packing_told(path)
    return "auto" if is_told else str(word)


def _follows_rotation(said: Mapping[str, Any], form: Format) -> bool:
    return bool(said.get("rotation", "follow" if form.name == "log" else "none") == "follow")


def _seconds(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]]


def _format(said: Mapping[str, Any]) -> Format | None:
    if "format" in said:
        return FORMATS[said["format"]]
    # Of an archive it is what its members are called.
    path = said["path"] if archive_kind(said["path"]) is None else said.get("members", "")
    return format_of_name(inner_name(path))


def stream_problems(said: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what a JSON Schema cannot say about a stream."""
    try:
        pattern = Pattern(address_of(said["path"]).pattern)
    except ValueError as error:
        yield f"{error} at `{place}.path`"
        return
    form = _format(said)
    if form is None:
        folder = (
            f"; if the path is a folder, name the files in it, like `{said['path']}/*.csv`"
            if pattern.is_one_file and "." not in pattern.text.rpartition("/")[2]
            else ""
        )
        yield f"Expected the key `{place}.format`, since the ending of `{place}.path` tells none; one of {', '.join(FORMATS)}{folder}"
        return
    for other in FORMATS:
        if other in said and other != form.name:
            yield f"`{place}.{other}` has no effect on files of the format `{form.name}`"
    yield from packed_problems(said, place)
    if _follows_rotation(said, form) and said.get("on_removed") == "delete":
        yield f"`{place}.on_removed` `delete` does not go with `{place}.rotation` `follow`: logs go in time, and their rows stay"
    if said.get("rotation") == "follow" and not form.is_text:
        yield f"`{place}.rotation` `follow` has no effect on files of the format `{form.name}`, which are no logs"
    if _follows_rotation(said, form) and "on_changed" in said:
        yield f"`{place}.on_changed` has no effect with `{place}.rotation` `follow`: what was read of a log is found again, and anything else is another log"
    if said.get("grows") and form.name not in _OF_LINES:
        yield f"`{place}.grows` has no effect on files of the format `{form.name}`, whose records are no lines"
    if form.name not in said and (form.section.get("required") or form.section.get("minProperties")):
        yield f"Expected the key `{place}.{form.name}`, which the format `{form.name}` needs"
    if form.name in said:
        yield from form.problems(said[form.name], f"{place}.{form.name}")
    columns = _file_columns(said)
    if "_file" not in columns:
        for setting, word in (("on_changed", "replace"), ("on_removed", "delete")):
            if said.get(setting) == word:
                yield f"`{place}.{setting}` `{word}` needs `_file` among `{place}.file_columns`, by which the target finds the rows of a file"
    keys = {*_primary_keys(said)}
    if said.get("on_changed") == "append" and keys & {"_row", "_line"} and not keys & {"_etag", "_modified"}:
        yield (
            f"`{place}.on_changed` `append` keeps each version of a file, and `{place}.primary_keys` tells none from another, so that rows of both would stand mixed in the target; "
            f"add `_etag` to `{place}.primary_keys` and `{place}.file_columns`, or leave both out"
        )
    if "bad_row_limit" in said and said.get("on_bad_row") != "set_aside":
        yield f"`{place}.bad_row_limit` has no effect without `{place}.on_bad_row` `set_aside`"
    if "start_date" in said:
        yield from _date_problems(said["start_date"], f"{place}.start_date")
    for name in pattern.partitions:
        if name in FILE_COLUMNS:
            yield f"`{name}=` of `{place}.path` has the name of a column of `file_columns`"
    for name in said.get("primary_keys", ()):
        if name in FILE_COLUMNS and name not in columns:
            yield f"`{name}` of `{place}.primary_keys` is not among `{place}.file_columns`"
    for name, prop in properties_of(said.get("schema", {})).items():
        if name in FILE_COLUMNS:
            yield f"`{place}.schema` says what `{name}` is, which is a column of `file_columns`"
        word = prop.get("format")
        is_text = form.name in _OF_TEXTS and "string" in json_types(prop)
        if is_text and word not in (None, "date", "date-time"):
            yield f"`{place}.schema.properties.{name}.format` `{word}` is held against no text of the format `{form.name}`; take `date` or `date-time`, or leave it out"


def _date_problems(said: str, place: str) -> Iterator[str]:
    try:
        check_calendar(said)
    except NoInstantError:
        yield f"Expected a date-time like `2024-01-01T00:00:00Z`, got `{said}` at `{place}`"
