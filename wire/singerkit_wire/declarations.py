"""A SCHEMA message becomes a `Stream`: references resolved, the schema checked, columns classified."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from singerkit_catalog.plainschemas import is_plainly_valid
from singerkit_catalog.schema import draft_of, resolve_refs
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.validate import nearest
from singerkit_state.value import decode
from singerkit_wire.drafts import modern
from singerkit_wire.messages import Message, decoded
from singerkit_wire.stream import Stream, stream_of

__all__ = ["Declaration", "declared_schema", "declared_stream", "read_declaration"]


class Declaration(msgspec.Struct):
    """A SCHEMA message as it came; equal ``fingerprint``, equal stream. ``apart``, ``lists_of`` and ``unnamed`` are what
    `singerkit_target.unnesting` says in it."""

    stream: str
    schema: msgspec.Raw
    key_properties: list[str] | None = None
    bookmark_properties: Any = None
    inferred: Any = None
    goes_on: Any = None
    tokens: Any = None
    apart: Any = None
    lists_of: str | None = None
    unnamed: bool = False

    @property
    def fingerprint(self) -> bytes:
        return (
            bytes(self.schema)
            + repr([self.key_properties, self.inferred, self.apart, self.lists_of, self.unnamed]).encode()
        )


def read_declaration(message: Message) -> Declaration:
    """Return what a SCHEMA message says.

    Raises:
        BadDataError: it is no such message.
    """
    declaration: Declaration = decoded(message, Declaration)
    return declaration


def declared_stream(
    declaration: Declaration,
    number: int,
    *,
    keeps_text: bool,
    max_columns: int | None,
    key: Sequence[str] | None = None,
) -> Stream:
    """Return the stream that the SCHEMA message at line ``number`` declares; ``key`` is the one that the config gives it in the place of its own.

    Raises:
        ConfigurationError: it does not have that.
        BadDataError: the schema is not valid, has too many properties, or does not fit its key.
    """
    schema = declared_schema(declaration, number)
    key = key if declaration.lists_of is None else None
    if key is not None:
        _check_chosen_key(declaration.stream, key, schema.get("properties") or {})
    stream = stream_of(
        declaration.stream,
        schema,
        tuple(dict.fromkeys(declaration.key_properties or ())) if key is None else tuple(key),
        keeps_text=keeps_text,
        inferred=declaration.inferred if isinstance(declaration.inferred, list) else (),
        apart=declaration.apart if isinstance(declaration.apart, list) else (),
        lists_of=declaration.lists_of,
        is_unnamed=declaration.unnamed,
    )
    if max_columns is not None and len(stream.columns) > max_columns:
        raise BadDataError(
            f"Expected at most {max_columns} properties, got {len(stream.columns)} in the schema of "
            f"stream `{stream.name}` at line {number}; select fewer fields in the tap, then run again."
        )
    return stream


def _check_chosen_key(stream: str, key: Sequence[str], fields: Collection[str]) -> None:
    for name in key:
        if name not in fields:
            near = nearest(name, list(fields))
            hint = f" (did you mean `{near}`?)" if near else ""
            raise ConfigurationError(
                f"Expected a field of stream `{stream}` at `key_properties`, got `{name}`{hint}; nothing of this stream was written: "
                "correct the config, then run again."
            )


def declared_schema(declaration: Declaration, number: int) -> Mapping[str, Any]:
    """Return the schema that the SCHEMA message at line ``number`` declares, with its references resolved.

    Raises:
        BadDataError: it is not valid.
    """
    name = declaration.stream
    try:
        schema = decode(str(bytes(declaration.schema), "utf-8"))
    except ValueError as error:
        raise BadDataError(f"The schema of stream `{name}` at line {number} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise BadDataError(f"Expected a JSON object as schema of stream `{name}` at line {number}.")
    try:
        resolved = resolve_refs(schema, f"stream `{name}`")
        return _checked(modern(resolved), name, number)
    except ConfigurationError as error:
        raise BadDataError(f"{error} (line {number})") from None
    except RecursionError:
        raise BadDataError(
            f"Expected a schema of stream `{name}` with less nesting at line {number}; leave the field "
            "out with `select`, then run again."
        ) from None


def _checked(schema: Mapping[str, Any], stream: str, number: int) -> Mapping[str, Any]:
    """Return ``schema`` when it is a valid JSON Schema of an object."""
    if not is_plainly_valid(schema):
        _check_by_draft(schema, stream, number)
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise BadDataError(
            f"Expected an object of properties in the schema of stream `{stream}` at line {number}."
        )
    return schema


def _check_by_draft(schema: Mapping[str, Any], stream: str, number: int) -> None:
    from jsonschema import SchemaError

    try:
        draft_of(schema).check_schema(dict(schema))
        _check_patterns_together(schema)
    except SchemaError as error:
        raise BadDataError(
            f"The schema of stream `{stream}` at line {number} is not a valid JSON Schema: {error.message}."
        ) from None


def _check_patterns_together(schema: Any) -> None:
    """jsonschema finds the other properties of an object by all of its patterns as one, which they may not make.

    Raises:
        SchemaError: they do not.
    """
    from jsonschema import SchemaError

    if isinstance(schema, Mapping):
        patterns = schema.get("patternProperties")
        if isinstance(patterns, Mapping) and schema.keys() & {
            "additionalProperties",
            "unevaluatedProperties",
        }:
            try:
                re.compile("|".join(patterns))
            except re.error as error:
                raise SchemaError(
                    f"the names in `patternProperties` are no pattern together ({error})"
                ) from None
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _check_patterns_together(part)
