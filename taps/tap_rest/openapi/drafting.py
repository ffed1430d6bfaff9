"""`tap-rest init --openapi`: a config from a document. What it does not say stands in comments; what is drafted is a config that runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.words import counted
from tap_rest.names import plain_name
from tap_rest.openapi.document import Document, Node, node_at
from tap_rest.openapi.operations import Place, answer_of, path_to, place_of_rows
from tap_rest.openapi.paging import pagination_of, parameters_of
from tap_rest.openapi.rows import filter_of, key_of, since_of, time_of_change
from tap_rest.openapi.schemes import credentials_of
from tap_rest.openapi.searches import is_search, members_of, path_of_things, sent_in_body
from tap_rest.openapi.types import fields_of, merged_node, types_in
from tap_rest.preview.variables import prefix_of, variable
from tap_rest.preview.yamltext import literal, yaml_of

__all__ = ["draft"]

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"\{(\w+)\}")  # what is a placeholder in a request
_UNNAMED = re.compile(r"(?<!\$)\$\{")
_KEYS_OF_THINGS = {"id", "uuid", "guid"}
_LEFT_OUT = 20
Check = Callable[[Mapping[str, Any]], Sequence[str]]


@dataclass
class _Stream:
    """A stream that is drafted: ``fields`` are those of its records."""

    settings: dict[str, Any]
    path: str
    fields: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)


def draft(document: Document, check: Check, paths: Sequence[str] = ()) -> str:
    """Return a config for the lists that a document has; ``check`` returns what is wrong with one.

    ``paths`` are patterns of those that are wanted: what nobody tells of their paths becomes variables. Without any it is all lists
    of which each part is known.

    Raises:
        ConfigurationError: there is no such list in it.
    """
    url, notes = _base_url(document)
    prefix = prefix_of(url, str(node_at(document.root, "info").get("title", "")))
    url = _UNNAMED.sub(f"${{{prefix}_", url)
    lists = sorted(
        (one for one in _lists(document) if not paths or any(fnmatchcase(one.path, path) for path in paths)),
        key=lambda one: (one.path.count("{"), one.path, one.method),
    )
    credentials = credentials_of(document, [one.operation for one in lists], prefix)
    config: dict[str, Any] = {"base_url": url}
    for key in ("auth", "headers", "params"):
        config |= {key: getattr(credentials, key)} if getattr(credentials, key) else {}
    streams, left_out = _streams(document, lists, config, check, prefix if paths else None)
    if not streams:
        raise ConfigurationError(
            f"The OpenAPI document {document.file} has no operation by GET and no search by POST{' at a `--path` like these' if paths else ''} that answers with a "
            f"list of objects, of which a stream could be made{': ' + '; '.join(left_out[:3]) if left_out else ''}."
        )
    info = node_at(document.root, "info")
    head = [
        f"{info.get('title', 'An API')} {info.get('version', '')}: drafted by `tap-rest init --openapi` from {document.file}.",
        "A draft is a guess: look at it with `tap-rest preview --config FILE` before the first load, and take out what you do not need.",
    ]
    variables = _variables({**config, "streams": [one.settings for one in streams]})
    head += (
        [f"Variables: {', '.join(variables)} (from the environment, or a file .env beside this one)."]
        if variables
        else []
    )
    shared = _shared_pagination(streams)
    if shared is not None:
        config["pagination"] = shared
        for one in streams:
            one.settings.pop("pagination")
    config["streams"] = [one.settings for one in streams]
    if left_out:
        more = len(left_out) - _LEFT_OUT
        notes.append(
            "Left out (`--path PATH` drafts one all the same, with variables for what nobody tells):"
        )
        notes += [f"- {one}" for one in left_out[:_LEFT_OUT]]
        notes += [f"- and {counted(more, 'more list')}"] if more > 0 else []
    return yaml_of(
        config, [*head, *credentials.notes, *notes], {one.settings["name"]: one.notes for one in streams}
    )


def _base_url(document: Document) -> tuple[str, list[str]]:
    """Return the URL that paths are below; parts that nobody tells are variables without their prefix."""
    root = document.root
    if document.is_swagger:
        schemes = root.get("schemes")
        scheme = "http" if schemes == ["http"] else "https"
        host = literal(str(root.get("host") or ""))
        is_nowhere = not host.partition(":")[0].strip("0.")  # so says PostgREST of itself
        below = literal(str(root.get("basePath") or "")).rstrip("/")
        return f"{scheme}://{'${HOST}' if is_nowhere else host}{below}", []
    servers = root.get("servers")
    said = servers[0] if isinstance(servers, list) and servers and isinstance(servers[0], Mapping) else {}
    notes = []
    url = literal(str(said.get("url", "")))
    for name, of in node_at(said, "variables").items():
        default = str(of.get("default", "")) if isinstance(of, Mapping) else ""
        plain = re.sub(r"[^A-Za-z0-9]", "_", str(name)).upper()
        url = url.replace(f"{{{name}}}", literal(default) or f"${{{plain}}}")
        notes.append(f"The document has a variable `{name}` in its URL, by default `{default}`.")
    others = (
        [str(one.get("url")) for one in servers[1:] if isinstance(one, Mapping)]
        if isinstance(servers, list)
        else []
    )
    notes += [f"Other servers of the document: {', '.join(others[:5])}"] if others else []
    if not url.startswith(("http://", "https://")):
        url = "https://${HOST}/" + url.lstrip("/")
        notes.append("The document does not say on which host the API is.")
    return url.partition("?")[0].rstrip("/"), notes


@dataclass(frozen=True)
class _List:
    """An operation that answers with rows, and where they are in its answer."""

    path: str
    method: str
    operation: Node
    answer: Any
    place: Place


def _lists(document: Document) -> Iterator[_List]:
    for path, method, operation in document.operations():
        is_read = method == "get" or (method == "post" and is_search(path, operation))
        answer = answer_of(document, operation) if is_read else None
        place = None if answer is None else place_of_rows(document, answer)
        if place is None or not path.startswith("/") or operation.get("deprecated"):
            continue
        if place.names and not _KEYS_OF_THINGS.isdisjoint(
            map(plain_name, node_at(merged_node(document, answer), "properties"))
        ):
            continue  # one thing, in which a list stands
        if "object" in types_in(document, place.node):
            yield _List(path, method, operation, answer, place)


def _streams(
    document: Document,
    lists: Sequence[_List],
    config: Mapping[str, Any],
    check: Check,
    prefix: str | None,
) -> tuple[list[_Stream], list[str]]:
    streams: list[_Stream] = []
    left_out: list[str] = []
    for one in lists:
        path = one.path
        if any(path_of_things(path) == known.path for known in streams):
            continue  # by GET, too
        made = _stream(document, one, streams, prefix)
        if isinstance(made, str):
            left_out.append(f"{path}: {made}")
            continue
        wrong = check({**config, "streams": [*(one.settings for one in streams), made.settings]})
        if wrong:
            left_out.append(f"{path}: {wrong[0]}")
        else:
            streams.append(made)
    return streams, left_out


def _stream(
    document: Document,
    listed: _List,
    known: Sequence[_Stream],
    prefix: str | None,
) -> _Stream | str:
    """Return a stream, or why there is none; with a ``prefix`` of variables what is not known becomes one."""
    path, operation, place = listed.path, listed.operation, listed.place
    is_post = listed.method == "post"
    fields = fields_of(document, place.node)["properties"]
    name = _name(path_of_things(path), {one.settings["name"] for one in known})
    said: dict[str, Any] = {"name": name, "path": literal(path), **({"method": "POST"} if is_post else {})}
    parent = _parent(path, known) if "{" in path else None
    if "{" in path:
        if parent is None and prefix is not None:
            said["path"] = _VARIABLE.sub(lambda name: variable(prefix, name[1]), literal(path))
        elif parent is None:
            return f"nothing says which {', '.join(f'`{one}`' for one in _VARIABLE.findall(path))} there are (`parent`, `for_each`)"
        said |= parent or {}
    item = node_at(document.root, "paths", path)
    parameters = parameters_of(document, operation, document.resolved(item))
    needed, params = _needed(parameters)
    if needed and prefix is not None:
        params |= {name: variable(prefix, name) for name in needed}
    elif needed:
        return f"it needs {', '.join(f'`{one}`' for one in needed)}"
    members = members_of(document, operation) if is_post else {}
    needed, body = _needed(members)
    if needed:
        return f"it needs {', '.join(f'`{one}`' for one in needed)} in its body"
    made = _Stream(said, path, fields)
    said |= {"params": params} if params else {}
    if is_post:
        said["body"] = body
        made.notes.append("By POST: see that it only reads, as its name says.")
    if params or body:
        made.notes.append(
            f"The document wants {', '.join(f'`{one}`' for one in (*params, *body))}: look at the values."
        )
    said["records"] = literal(path_to(place.names)) + "[*]"
    key = key_of(fields, name)
    if key is not None:
        above = [f"{parent['parent']['stream']}_{one}" for one in parent["of"]] if parent else []
        said["primary_keys"] = [*above, literal(key)]
    elif fields:
        made.notes.append("No field is named as a key is: without `primary_keys` rows are appended.")
    else:
        made.notes.append(
            "The document names no fields of its rows: look at them with `tap-rest preview`, and set `primary_keys`."
        )
    said.pop("of", None)
    _add_replication(document, made, parameters, members)
    pagination = _pagination(document, listed, parameters, members, key)
    if pagination is not None:
        said["pagination"] = {
            name: literal(value) if isinstance(value, str) else value for name, value in pagination.items()
        }
    else:
        made.notes.append(
            "The document shows no parameter of pages: a run ends where an answer shows that there are more."
        )
    if fields:
        said["schema"] = {"openapi": document.file}
    return made


def _pagination(
    document: Document,
    listed: _List,
    parameters: Mapping[str, Node],
    members: Mapping[str, Node],
    key: str | None,
) -> dict[str, Any] | None:
    found = pagination_of(document, members, listed.answer, listed.operation, key) if members else None
    if found is not None and "param" in found:
        return sent_in_body(found)
    return pagination_of(document, parameters, listed.answer, listed.operation, key)


def _add_replication(
    document: Document, made: _Stream, parameters: Mapping[str, Node], members: Mapping[str, Node]
) -> None:
    changed = time_of_change(made.fields)
    if changed is None:
        since = since_of({**parameters, **members})
        if since is not None:
            made.notes.append(
                f"`{since}` may ask for what has changed since (`incremental`), where there is a replication_key."
            )
        return
    in_body = filter_of(document, members, changed)
    asked = filter_of(document, parameters, changed) if in_body is None else sent_in_body(in_body)
    if asked is None:
        made.notes.append(
            f"`{changed}` may be a replication_key; the document shows no parameter that asks for what has changed since (`incremental`)."
        )
        return
    made.settings["replication_key"] = literal(changed)
    made.settings["incremental"] = asked | {"param": literal(asked["param"])}
    made.notes.append("Set is_sorted: true where the rows come in the order of the replication_key.")


def _needed(parameters: Mapping[str, Node]) -> tuple[list[str], dict[str, Any]]:
    """Return the parameters that a request needs and nobody knows a value of, and the values of the others."""
    unknown, known = [], {}
    for name, said in parameters.items():
        if not said.get("required"):
            continue
        values = [
            said.get("default"),
            said.get("example"),
            *(said["enum"][:1] if isinstance(said.get("enum"), list) else ()),
        ]
        value = next((one for one in values if isinstance(one, str | int | float)), None)
        if value is None:
            unknown.append(name)
        else:
            known[name] = literal(_NAME.sub(r"{{\1}}", value)) if isinstance(value, str) else value
    return unknown, known


def _parent(path: str, known: Sequence[_Stream]) -> dict[str, Any] | None:
    """Return `path` and `parent` of a stream below another: the list whose path is the one before the last name in braces."""
    *before, last = re.findall(r"(.*?)\{([^{}]*)\}", path)
    above = "".join(f"{text}{{{name}}}" for text, name in before) + last[0].rstrip("/")
    parent = next((one for one in known if one.path == above), None)
    if parent is None or last[0].endswith("//"):
        return None
    wanted = re.sub(r"[^a-z0-9]", "", last[1].lower())
    one = re.sub(r"[^a-z0-9]", "", str(parent.settings["name"]).lower()).removesuffix("s")
    names = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(list(parent.fields))}
    keys = [name for name in parent.settings.get("primary_keys", ()) if name in parent.fields]
    found = next(
        (names[name] for name in (wanted, wanted.removeprefix(one)) if name in names),
        keys[-1] if keys else None,
    )
    if found is None or not re.fullmatch(r"\w+", found):
        return None
    above_it = _above(parent)
    if len(above_it) != len(before):
        return None
    values = [*above_it, f"{{parent.{found}}}"]
    of = [
        value.removeprefix("{parent.").removesuffix("}") for value in values if value.startswith("{parent.")
    ]
    filled = re.sub(r"\{[^{}]*\}", lambda _: values.pop(0), literal(path))
    return {"path": filled, "parent": {"stream": parent.settings["name"]}, "of": of}


def _above(parent: _Stream) -> list[str]:
    """Return what stands in a child's path for the names that are in its parent's, too: a variable, or what was copied to the parent."""
    found = re.findall(r"\$\{\w+\}|\{parent\.\w+\}", parent.settings["path"])
    return [
        text
        if text.startswith("$")
        else f"{{parent.{parent.settings['parent']['stream']}_{text.removeprefix('{parent.')}"
        for text in found
    ]


def _name(path: str, taken: set[str]) -> str:
    parts = [
        re.sub(r"\W+", "_", part.partition(".json")[0]).strip("_")
        for part in path.split("/")
        if part and "{" not in part
    ] or ["rows"]
    for length in range(1, len(parts) + 1):
        name = "_".join(parts[-length:]).lower()
        if name and name not in taken:
            return name
    return next(name for number in range(2, 10_000) if (name := f"{parts[-1].lower()}_{number}") not in taken)


def _shared_pagination(streams: Sequence[_Stream]) -> dict[str, Any] | None:
    said = [one.settings.get("pagination") for one in streams]
    return said[0] if said[0] is not None and all(one == said[0] for one in said) else None


def _variables(config: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(re.findall(r"(?<!\$)\$\{(\w+)\}", str(config))))
