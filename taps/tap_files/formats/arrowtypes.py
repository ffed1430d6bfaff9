"""From a type of Arrow to the JSON Schema of what `singerkit_wire.columnjson` makes of its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tap_files.formats.contract import UnreadableFile

__all__ = ["ANY_JSON", "schema_of_fields"]

ANY_JSON = ["null", "boolean", "number", "string", "array", "object"]
"""The types of a value that may be any JSON."""


def schema_of_fields(fields: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the schemas of columns, or of what stands in an object, by name.

    Raises:
        UnreadableFile: two of them have one name, or JSON has no value for one.
    """
    names = [field.name for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UnreadableFile(
            f"Expected columns with different names, got two that are called `{twice}`, of which nobody could tell which is meant; "
            "have it written with other names."
        )
    return {field.name: _schema(field.type, field.name) for field in fields}


def _schema(kind: Any, name: str) -> dict[str, Any]:
    if isinstance(kind, pa.BaseExtensionType):
        own = _EXTENSIONS.get(kind.extension_name)
        return dict(own) if own is not None else _schema(kind.storage_type, name)
    if pa.types.is_dictionary(kind):
        return _schema(kind.value_type, name)
    if pa.types.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return {"type": ["null", "object"], "properties": schema_of_fields(fields)}
    if pa.types.is_map(kind):
        return {"type": ["null", "object"], "additionalProperties": _schema(kind.item_type, name)}
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        return {"type": ["null", "array"], "items": _schema(kind.value_type, name)}
    for is_one, type_, more in _SCALARS:
        if is_one(kind):
            return {"type": ["null", type_], **more}
    if pa.types.is_null(kind):
        return {"type": ["null"]}
    raise UnreadableFile(
        f"Expected columns of types that JSON has values for, got `{kind}` in `{name}`; leave it out with `select`, or have it written otherwise."
    )


_EXTENSIONS: Mapping[str, Mapping[str, Any]] = {
    "arrow.json": {"type": ANY_JSON},
    "arrow.uuid": {"type": ["null", "string"], "format": "uuid"},
}

_types = pa.types
_SCALARS: Sequence[tuple[Callable[[Any], bool], str, Mapping[str, Any]]] = (
    (_types.is_boolean, "boolean", {}),
    (_types.is_integer, "integer", {}),
    (_types.is_decimal, "number", {}),
    (_types.is_floating, "number", {"format": "double"}),
    (_types.is_timestamp, "string", {"format": "date-time"}),
    (_types.is_date, "string", {"format": "date"}),
    (_types.is_time, "string", {"format": "time"}),
    (_types.is_duration, "string", {}),
    (_types.is_string, "string", {}),
    (_types.is_large_string, "string", {}),
    (_types.is_string_view, "string", {}),
    (_types.is_binary, "string", {"contentEncoding": "base64"}),
    (_types.is_large_binary, "string", {"contentEncoding": "base64"}),
    (_types.is_binary_view, "string", {"contentEncoding": "base64"}),
    (_types.is_fixed_size_binary, "string", {"contentEncoding": "base64"}),
)
