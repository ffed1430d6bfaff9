"""SCHEMA: its shape, its references, its draft, its names; and what of it the records are checked against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from jsonschema import Draft3Validator, Draft4Validator, Draft7Validator, Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

from singerkit_catalog.schema import draft_of, properties_of, resolve_refs
from singerkit_check.findings import Findings, shown
from singerkit_check.values import kind_of
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import expectation

__all__ = ["Declared", "declare"]

_LONGEST_NAME = 63  # bytes; what PostgreSQL keeps of an identifier
_OLD_INTEGERS = (Draft3Validator, Draft4Validator)  # there 1.0 is no integer
_ANNOTATIONS = {"x-sql-datatype": str, "contentEncoding": str, "x-singer.decimal": bool}


@dataclass(frozen=True)
class Declared:
    """What a SCHEMA message says. ``schema`` has no references any more.

    ``validator`` is None where the schema cannot be used; the records are then checked for their key only.
    """

    stream: str
    message: Mapping[str, Any]
    schema: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    bookmarks: tuple[str, ...] = ()
    validator: Any = None
    is_draft_3: bool = False
    """There `required` and `type` have other forms."""


def declare(message: Mapping[str, Any], stream: str, line: int, findings: Findings) -> Declared:
    """Check a SCHEMA message of ``stream`` and return what its records must be like."""
    schema = message.get("schema")
    where = f"SCHEMA of {shown(stream)}"
    if not isinstance(schema, dict):
        finding = kind_of(schema) if "schema" in message else "none"
        findings.add(
            "schema-shape", line, f"Expected `schema`, an object, got {finding} in the {where}", stream
        )
        schema = {}
    keys = _names(message, "key_properties")
    if keys is None:
        finding = "something else" if "key_properties" in message else "none"
        findings.add(
            "schema-shape",
            line,
            f"Expected `key_properties`, a list of names, got {finding} in the {where}",
            stream,
        )
    bookmarks = (
        _names(message, "bookmark_properties") if message.get("bookmark_properties") is not None else ()
    )
    if bookmarks is None:
        findings.add(
            "bookmark-property",
            line,
            f"Expected `bookmark_properties`, a list of names, got something else in the {where}",
            stream,
        )
    resolved = _without_references(schema, stream, line, findings)
    draft = None if resolved is None else _draft(resolved, stream, line, findings)
    usable = resolved if resolved is not None and draft is not None else {}
    properties = (
        properties_of(resolved if resolved is not None else schema) if isinstance(schema, dict) else {}
    )
    _check_keys(keys or (), properties, stream, line, findings)
    _check_bookmarks(bookmarks or (), properties, stream, line, findings)
    _check_names(stream, properties, line, findings)
    return Declared(
        stream,
        message,
        usable,
        properties if draft is not None else {},
        keys or (),
        bookmarks or (),
        None if draft is None else _validator(draft, usable),
        draft is Draft3Validator,
    )


def _names(message: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    names = message.get(key)
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


# References and draft


def _without_references(
    schema: dict[str, Any], stream: str, line: int, findings: Findings
) -> dict[str, Any] | None:
    if not _has_reference(schema):
        return schema
    try:
        resolved = resolve_refs(schema, shown(stream))
    except ConfigurationError as error:
        findings.add("reference-lost", line, str(error).rstrip("."), stream)
        return None
    except RecursionError:
        findings.add(
            "reference-lost", line, f"Expected references that end, in the schema of {shown(stream)}", stream
        )
        return None
    sentence = f"Expected a schema written out, got a `$ref` in the SCHEMA of {shown(stream)}"
    findings.add("reference", line, sentence, stream)
    return resolved


def _has_reference(node: Any) -> bool:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("$ref"), str):
                return True
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return False


def _draft(schema: Mapping[str, Any], stream: str, line: int, findings: Findings) -> Any:
    """Return the validator class of the draft the schema is written in, None when it is in none."""
    named = draft_of(schema) if schema.get("$schema") else None
    drafts: list[Any] = (
        [named] if named is not None else [Draft7Validator, Draft4Validator, Draft202012Validator]
    )
    for draft in drafts:
        if draft(draft.META_SCHEMA).is_valid(schema):
            return draft
    error = best_match(drafts[0](drafts[0].META_SCHEMA).iter_errors(schema))
    place = ".".join(str(part) for part in error.absolute_path) if error is not None else ""
    wanted = expectation(error) if error is not None else "another schema"
    findings.add(
        "draft",
        line,
        f"Expected a JSON Schema ({wanted}), got something else at {shown(place or 'the top')} of the schema of "
        f"{shown(stream)}; its records were not checked against it",
        stream,
    )
    return None


def _validator(draft: Any, schema: dict[str, Any]) -> Any:
    if draft in _OLD_INTEGERS:
        return draft(schema)
    checker = draft.TYPE_CHECKER.redefine("integer", lambda _checker, value: _is_integer(value))
    return extend(draft, type_checker=checker)(schema)  # type: ignore[no-untyped-call]


def _is_integer(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite() and value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


# Keys, bookmarks, names


def _check_keys(
    keys: Iterable[str], properties: Mapping[str, Any], stream: str, line: int, findings: Findings
) -> None:
    for key in keys:
        if key not in properties:
            holder = next((name for name, value in properties.items() if _holds(name, value, key)), None)
            found = f"it inside {shown(holder)}" if holder is not None else "none of that name"
            findings.add(
                "key-property",
                line,
                f"Expected the key property {shown(key)} at the top level of the schema of {shown(stream)}, got {found}",
                stream,
            )


def _holds(name: str, schema: Any, key: str) -> bool:
    inner = properties_of(schema) if isinstance(schema, Mapping) else {}
    return key in inner or (key.startswith(f"{name}.") and key.removeprefix(f"{name}.") in inner)


def _check_bookmarks(
    names: Iterable[str], properties: Mapping[str, Any], stream: str, line: int, findings: Findings
) -> None:
    for name in names:
        if name not in properties:
            findings.add(
                "bookmark-property",
                line,
                f"Expected the bookmark property {shown(name)} at the top level of the schema of {shown(stream)}, "
                "got none of that name",
                stream,
            )


def _check_names(stream: str, properties: Mapping[str, Any], line: int, findings: Findings) -> None:
    if oddity := _oddity(stream) or ("a slash" if set(stream) & set("/\\") or stream in (".", "..") else ""):
        findings.add(
            "odd-name", line, f"Expected a plain name of a stream, got {oddity} in {shown(stream)}", stream
        )
    by_fold: dict[str, str] = {}
    for name, schema in properties.items():
        if oddity := _oddity(name):
            findings.add(
                "odd-name",
                line,
                f"Expected a plain name of a field, got {oddity} in {shown(name)} of {shown(stream)}",
                stream,
            )
        other = by_fold.setdefault(name.casefold(), name)
        if other != name:
            findings.add(
                "case-name",
                line,
                f"Expected fields that differ by more than case, got {shown(other)} and {shown(name)} in {shown(stream)}",
                stream,
            )
        _check_annotations(name, schema, stream, line, findings)


def _oddity(name: str) -> str:
    if not name.strip():
        return "nothing but blanks"
    if name != name.strip():
        return "outer blanks"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "a control character"
    size = len(name.encode("utf-8", "surrogatepass"))
    return f"{size} bytes" if size > _LONGEST_NAME else ""


def _check_annotations(name: str, schema: Any, stream: str, line: int, findings: Findings) -> None:
    if not isinstance(schema, Mapping):
        return
    for keyword, kind in _ANNOTATIONS.items():
        if keyword in schema and not isinstance(schema[keyword], kind):
            wanted = "a text" if kind is str else "true or false"
            findings.add(
                "annotation",
                line,
                f"Expected {wanted} in `{keyword}`, got {kind_of(schema[keyword])} at {shown(name)} of {shown(stream)}",
                stream,
            )
