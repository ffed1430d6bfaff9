"""A config for one URL, from what its first answer shows: where the records are, how pages go on, which fields are keys.

A proposal is a guess that a person looks at: it takes the names that APIs use, and values that fit them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from singerkit_shell.errors import UsageError
from singerkit_state.order import formats_of
from tap_rest.incremental import is_of_creation
from tap_rest.masking import looks_secret
from tap_rest.names import plain_name
from tap_rest.pages.lastpage import LastPage, Weight
from tap_rest.pages.membernames import LINKS, NEXT_URLS, TOKENS
from tap_rest.pages.members import body_members, path_of
from tap_rest.pages.unread import signs_of_more
from tap_rest.records.cutting import ReadPage

__all__ = ["CHANGED", "KEYS", "config_of_url", "with_findings", "with_references"]

KEYS = ("id", "uuid", "guid", "key", "sid", "code")
CHANGED = re.compile(r"(updated|modified|changed|edited|lastupdate|lastmodified|lastedited)")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")


def config_of_url(url: str, headers: Mapping[str, str], records: str | None) -> dict[str, Any]:
    """Return a config that asks for ``url`` alone."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(
            f"Expected a URL like https://api.example.com/orders, got `{url}`; nothing was asked."
        )
    stream: dict[str, Any] = {"name": _name_of(parts.path), "path": parts.path or "/"}
    params = _grouped(parse_qsl(parts.query, keep_blank_values=True))
    stream |= {"params": params} if params else {}
    stream |= {"records": records} if records else {}
    config: dict[str, Any] = {"base_url": f"{parts.scheme}://{parts.netloc}"}
    return config | ({"headers": dict(headers)} if headers else {}) | {"streams": [stream]}


def with_findings(config: Mapping[str, Any], page: ReadPage) -> dict[str, Any]:
    """Return the config with what the page shows."""
    [stream] = config["streams"]
    rows = [row for row in map(json.loads, map(bytes, page.records)) if isinstance(row, dict)]
    found = dict(stream)
    if "records" not in stream and page.records_at:
        found["records"] = "$." + ".".join(page.records_at) + "[*]"
    key = _key_of(rows)
    found |= {"primary_keys": [key]} if key else {}
    changed = _time_of_change(rows)
    found |= {"replication_key": changed} if changed else {}
    signs = signs_of_more(LastPage(page.answer, page.records_at, len(page.came), len(page.came), 1))
    named = _named_without_more(page)
    is_sure = bool(signs) and signs[0].weight is not Weight.HINT
    found["pagination"] = (
        dict(signs[0].fits) if signs and (is_sure or not named) else named or {"type": "single"}
    )
    return {**config, "streams": [found]}


def _named_without_more(page: ReadPage) -> dict[str, Any] | None:
    """Return the pagination whose link or token the answer names, and says to be none: so the last page does, and the only one."""
    for names, value in body_members(page.answer, page.records_at):
        if value not in (None, ""):
            continue
        plain, path = plain_name(names[-1]), path_of(names)
        if plain in NEXT_URLS or (plain == "next" and plain_name(names[-2:][0]) in LINKS):
            return {"type": "next_url", "next": path}
        if plain in TOKENS:
            return {"type": "cursor", "cursor": path, "param": TOKENS[plain]}
    return None


def with_references(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the config with variables of the environment in the place of headers, and of parameters that look like secrets; and their names."""
    [stream] = config["streams"]
    headers = {name: _variable(name) for name in config.get("headers", {})}
    params = {
        name: _variable(name) if isinstance(value, str) and looks_secret(name, value) else value
        for name, value in stream.get("params", {}).items()
    }
    found = {**stream, **({"params": params} if params else {})}
    references = [one["env"] for one in (*headers.values(), *params.values()) if isinstance(one, dict)]
    return {**config, **({"headers": headers} if headers else {}), "streams": [found]}, references


def _variable(name: str) -> dict[str, str]:
    return {"env": re.sub(r"\W", "_", name).upper()}


def _name_of(path: str) -> str:
    last = [part for part in path.split("/") if part][-1:]
    return re.sub(r"\W+", "_", (last or ["rows"])[0].removesuffix(".json")).strip("_") or "rows"


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        found[name] = value if name not in found else [*_as_list(found[name]), value]
    return found


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _key_of(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the field that is named as keys are and has another value in each row."""
    names = [name for name in rows[0] if _is_key(name)] if rows else []
    ranked = sorted(
        names, key=lambda name: KEYS.index(plain_name(name)) if plain_name(name) in KEYS else len(KEYS)
    )
    return next((name for name in ranked if _tells_apart(name, rows)), None)


def _is_key(name: str) -> bool:
    return plain_name(name) in KEYS or plain_name(name).endswith("id")


def _tells_apart(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [row.get(name) for row in rows]
    return all(isinstance(value, str | int) for value in values) and len(set(values)) == len(values)


def _time_of_change(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the field that tells when a row was changed; one that tells when it was created is none."""
    names = (
        [
            at
            for at in _fields_of(rows[0])
            if CHANGED.search(plain_name(at[-1])) and not is_of_creation(at[-1])
        ]
        if rows
        else []
    )
    return next((".".join(at) for at in names if all(_is_time(_value_at(row, at)) for row in rows)), None)


def _fields_of(row: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the fields of a row, and behind them those one level inside; a name with dots is none that a path writes plainly."""
    inside = [(name, inner) for name, value in row.items() if isinstance(value, dict) for inner in value]
    return [at for at in [*((name,) for name in row), *inside] if not any("." in name for name in at)]


def _value_at(row: Any, at: Sequence[str]) -> Any:
    for name in at:
        row = row.get(name) if isinstance(row, dict) else None
    return row


def _is_time(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_ISO.fullmatch(value)) or bool(formats_of([value]))
    return isinstance(value, int) and value > 10**8
