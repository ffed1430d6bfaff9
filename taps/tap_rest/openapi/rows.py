"""What a draft says of the rows of a stream: the field that tells them apart, the one that tells when they changed, and the parameter by it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from singerkit_catalog.admitted import types_of
from tap_rest.incremental import is_of_creation
from tap_rest.names import plain_name
from tap_rest.openapi.document import Document, Node
from tap_rest.openapi.types import merged_node
from tap_rest.preview.proposing import CHANGED, KEYS

__all__ = ["filter_of", "key_of", "since_of", "time_of_change"]

_FROM = re.compile(r"(since|after|from|min|gte|gt|start|begin)")
_SINCE = ("since", "modifiedsince", "updatedsince", "changedsince", "ifmodifiedsince")


def key_of(properties: Mapping[str, Any], stream: str) -> str | None:
    """Return the field that is named as keys are: `id` and its like, or the name of the stream's rows with it (`user_id` of users)."""
    fit = [
        name
        for name, prop in properties.items()
        if types_of(prop) - {"null"} in ({"string"}, {"integer"}, {"string", "integer"})
    ]
    plain = {plain_name(name): name for name in reversed(fit)}
    one = plain_name(stream).removesuffix("s")
    wanted = (
        *KEYS[:3],
        f"{one}id",
        f"{one}uuid",
        f"{one}key",
        *KEYS[3:],
        "name" if one.endswith("type") else "",
    )
    return next((plain[name] for name in wanted if name in plain), None)


def time_of_change(properties: Mapping[str, Any]) -> str | None:
    """Return the field that tells when a row was changed."""
    for name, prop in properties.items():
        types = types_of(prop) - {"null"}
        is_time = prop.get("format") in ("date-time", "date") or types in ({"integer"}, {"string"})
        if CHANGED.search(plain_name(name)) and not is_of_creation(name) and is_time and not _is_person(name):
            return name
    return None


def _is_person(name: str) -> bool:
    return plain_name(name).endswith(("by", "byid", "user", "userid", "count", "reason"))


def filter_of(document: Document, parameters: Mapping[str, Node], changed: str) -> dict[str, Any] | None:
    """Return `incremental` for a field, by the parameter that asks for what was changed since."""
    for name, said in parameters.items():
        plain = re.sub(r"[$_\- .]", "", name.lower())
        by_change = CHANGED.search(plain) and _FROM.search(plain)
        if by_change or plain in _SINCE or (plain.startswith(plain_name(changed)) and _FROM.search(plain)):
            return {"param": name, **_format_of(said)}
        if plain == plain_name(changed):
            members = _members(document, said)
            inside = next(
                (one for one in ("gte", "gt", "after", "since", "from", "min") if one in members), None
            )
            if inside is not None:
                return {"param": f"{name}[{inside}]", **_format_of(merged_node(document, members[inside]))}
    return None


def since_of(parameters: Mapping[str, Node]) -> str | None:
    """Return the parameter that is named as those are by which an API is asked for what has changed."""
    for name in parameters:
        plain = re.sub(r"[$_\- .]", "", name.lower())
        if plain in _SINCE or (CHANGED.search(plain) and _FROM.search(plain)):
            return name
    return None


def _members(document: Document, said: Node) -> Mapping[str, Any]:
    for branch in (said, *said.get("anyOf", ()), *said.get("oneOf", ())):
        members = merged_node(document, branch).get("properties")
        if isinstance(members, Mapping):
            return members
    return {}


def _format_of(said: Node) -> dict[str, str]:
    types = types_of(said)
    if types & {"integer", "number"}:
        is_in_ms = "milli" in str(said.get("description", said.get("of", {}).get("description", ""))).lower()
        return {"format": "epoch_ms" if is_in_ms else "epoch"}
    if said.get("format") == "date":
        return {"format": "%Y-%m-%d"}
    return {"format": "iso"} if said.get("format") == "date-time" else {}
