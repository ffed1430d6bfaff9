"""The schema of a stream by an OpenAPI document: the record that the operation it asks for answers with, or a component by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import nearest
from tap_rest.asking.urls import joined
from tap_rest.openapi.document import Document, read_document
from tap_rest.openapi.operations import answer_of, nearest_paths, operation_at, place_at, place_of_rows
from tap_rest.openapi.types import fields_of
from tap_rest.paths import parse_path, unfiltered
from tap_rest.records.lifting import declared_at
from tap_rest.settings.explode import lists_of
from tap_rest.settings.schema import OpenApi
from tap_rest.settings.stream import StreamSettings

__all__ = ["documented_schema"]


def documented_schema(settings: StreamSettings, said: OpenApi, base_url: str) -> dict[str, Any]:
    """Return what a document says of the records of a stream, in the words of inference.

    Raises:
        ConfigurationError: it cannot be read, or says nothing of them.
    """
    document = read_document(said.openapi)
    if said.component is not None:
        node, where = _component(document, said.component, settings.name), f"component `{said.component}`"
    else:
        node, where = _record(document, settings, base_url), "what it says of the answer"
    for names in (
        lists_of(settings.explode.path) if settings.explode is not None and said.component is None else ()
    ):
        node = place_at(document, node, names, is_list=True)
    schema = fields_of(document, node, settings.primary_keys)
    if not schema["properties"]:
        raise ConfigurationError(
            f"The OpenAPI document {said.openapi} names no fields of the records of stream {settings.name} ({where}); say which component "
            'they are of (`"component"` in `schema`), or take `schema` out: they are inferred then.'
        )
    for name, names in settings.copied.items():
        found = declared_at(schema, names)
        schema["properties"] |= {} if found is None else {name: found}
    return schema


def _component(document: Document, name: str, stream: str) -> Any:
    if name in document.schemas:
        return document.schemas[name]
    near = nearest(name, sorted(document.schemas))
    raise ConfigurationError(
        f"The OpenAPI document {document.file} has no component `{name}`, which `schema` of stream {stream} names"
        f"{f'; did you mean `{near}`?' if near else '.'}"
    )


def _record(document: Document, settings: StreamSettings, base_url: str) -> Any:
    operation = operation_at(document, joined(base_url, settings.path), settings.method)
    if operation is None:
        near = nearest_paths(document, settings.path)[:3]
        raise ConfigurationError(
            f"The OpenAPI document {document.file} has no `{settings.method} {settings.path}`, which stream {settings.name} asks for"
            f"{' (it has ' + ', '.join(f'`{path}`' for path in near) + ')' if near else ''}; say which component its records are of: "
            '`"component"` in `schema`.'
        )
    answer = answer_of(document, operation)
    if settings.rows_at is None:
        found = place_of_rows(document, answer)
        node = None if found is None else found.node
    else:
        node = _at(document, answer, settings.rows_at, settings.inside)
    if node is None:
        raise ConfigurationError(
            f"The OpenAPI document {document.file} does not say what stands at {'the records' if settings.records is None else f'`{settings.records}`'} of "
            f"`{settings.method} {settings.path}`, which stream {settings.name} asks for; say which component they are of: "
            '`"component"` in `schema`.'
        )
    return node


def _at(document: Document, answer: Any, rows_at: str, inside: Sequence[str]) -> Any:
    path = parse_path(unfiltered(rows_at) or rows_at, "records")
    if path.names is None:
        return None
    node = place_at(document, answer, path.names, is_list=False)
    items = place_at(document, node, (), is_list=True)
    return place_at(document, node if items is None else items, inside, is_list=False)
