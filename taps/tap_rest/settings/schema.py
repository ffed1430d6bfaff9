"""`schema` and `schema_overrides`: what the records of a stream are declared to be, as a whole, by a document, or field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator

from singerkit_catalog.compiled import is_annotation
from singerkit_shell.validate import nearest
from tap_rest.settings import setting
from tap_rest.settings.fields import field_problem, names_of

__all__ = [
    "OVERRIDES",
    "SCHEMA",
    "OpenApi",
    "openapi_of",
    "overridden",
    "override_problems",
    "schema_problems",
]

SCHEMA: dict[str, Any] = {
    "type": ["object", "string"],
    "secret": False,
    "description": "JSON Schema of a record, or the path of a file with it, or what an OpenAPI document says of it (`openapi`). Default: inferred.",
    "additionalProperties": {},  # all that JSON Schema has
    "properties": {
        "openapi": setting.name(
            "Path of an OpenAPI document (3.0, 3.1, or Swagger 2.0; JSON or YAML): what it says of the records, beside what they show. The "
            "operation is found by the stream's `path` and `method`.",
            minLength=1,
        ),
        "component": setting.name(
            "The component of the document that a record is, where the operation does not tell.", minLength=1
        ),
    },
}
_OF_DOCUMENT = ("openapi", "component")
OVERRIDES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "object", "minProperties": 1},
    "minProperties": 1,
    "secret": False,
    "description": "JSON Schema of single fields (`zip`, or `address.zip` inside another), in the place of what is inferred or declared of them; "
    "all else of the schema stays. Inside arrays under `items`: "
    '`{"lines": {"items": {"properties": {"sku": {"type": "string"}}}}}`.',
}
_KEYWORDS = frozenset(Draft202012Validator.META_SCHEMA.get("properties", ())) | {
    *("type", "enum", "const", "format", "properties", "items", "required", "additionalProperties"),
    *("patternProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems"),
    *(
        "minProperties",
        "maxProperties",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "contentEncoding",
        "contentMediaType",
    ),
}


class OpenApi(msgspec.Struct, frozen=True):
    """`schema` by a document."""

    openapi: str
    component: str | None = None


def openapi_of(schema: Any) -> OpenApi | None:
    """Return `schema` of a stream as one by a document; None: it is another."""
    return msgspec.convert(schema, OpenApi) if isinstance(schema, Mapping) and "openapi" in schema else None


def schema_problems(stream: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what is wrong with `schema` and `schema_overrides` of a stream."""
    yield from override_problems(stream, place)
    schema, where = stream.get("schema"), f"{place}.schema"
    if not isinstance(schema, Mapping) or schema.keys().isdisjoint(_OF_DOCUMENT):
        return
    if "openapi" not in schema:
        yield f"`{where}.component` has no effect without `{where}.openapi`"
    for key in schema.keys() - set(_OF_DOCUMENT):
        yield f"`{where}.{key}` does not go with `{where}.openapi`: the document says what records are, and `{place}.schema_overrides` says it of single fields"
    if stream.get("format") in ("csv", "xml") or stream.get("layout", "objects") != "objects":
        yield f"`{where}.openapi` has no effect on rows that are no JSON objects; take it out, or declare a schema"
    for key in ("graphql", "job", "jmespath"):
        if key in stream and "component" not in schema:
            yield f"Expected the key `{where}.component` beside `{place}.{key}`, whose rows no operation of the document describes"


_NAMED = ("properties", "patternProperties")
_INSIDE = ("items", "additionalProperties", "not")


def overridden(overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return overrides that have no `override_problems` as properties of an object, each inside those above it."""
    properties: dict[str, Any] = {}
    for text, override in overrides.items():
        *above, name = names_of(text)
        level = properties
        for outer in above:
            level = level.setdefault(outer, {}).setdefault("properties", {})
        level[name] = {**override, **level.get(name, {})}
    return properties


def override_problems(stream: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what is wrong with the overrides of a stream."""
    taken: dict[tuple[str, ...], str] = {}
    for text, override in stream.get("schema_overrides", {}).items():
        where = f"{place}.schema_overrides.{text}"
        wrong = field_problem(text, where) or [*_of_schema(override, where)]
        yield from wrong
        if wrong:
            continue
        names = names_of(text)
        other = taken.setdefault(names, text)
        if other != text:
            yield f"`{where}` and `{place}.schema_overrides.{other}` are one field; take one of them out"
        for outer, above in taken.items():
            if _says_inside(names, outer, stream["schema_overrides"][above]):
                yield f"`{where}` stands in `{place}.schema_overrides.{above}`, too; take one of them out"


def _says_inside(names: tuple[str, ...], outer: tuple[str, ...], override: Mapping[str, Any]) -> bool:
    """Tell whether the override of a field above says something of this one, too."""
    if len(outer) >= len(names) or names[: len(outer)] != outer:
        return False
    node: Any = override
    for name in names[len(outer) :]:
        inside = node.get("properties") if isinstance(node, Mapping) else None
        if not isinstance(inside, Mapping) or name not in inside:
            return False
        node = inside[name]
    return True


def _of_schema(schema: Any, where: str) -> Iterator[str]:
    """Yield what is no JSON Schema, a reference, or a keyword that nobody knows, which would say nothing."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield f"Expected a JSON Schema at `{where}`, got one with {error.message} at `{error.json_path}`"
        return
    if isinstance(schema, Mapping):
        yield from _unknown_keywords(schema, where)


def _unknown_keywords(schema: Mapping[str, Any], where: str) -> Iterator[str]:
    for key, value in schema.items():
        if key == "$ref":
            yield f"`{where}` refers to another schema, which cannot be told of a single field; write it out in place"
        elif key not in _KEYWORDS and not is_annotation(key):
            near = nearest(key, sorted(_KEYWORDS))
            yield f"There is no keyword `{key}` of JSON Schema at `{where}`{f'; did you mean `{near}`?' if near else ''}"
        for name, inner in value.items() if key in _NAMED else ():
            if isinstance(inner, Mapping):
                yield from _unknown_keywords(inner, f"{where}.{key}.{name}")
        if key in _INSIDE and isinstance(value, Mapping):
            yield from _unknown_keywords(value, f"{where}.{key}")
