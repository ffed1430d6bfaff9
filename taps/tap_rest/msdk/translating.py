"""`tap-rest init --from-msdk`: a config of tap-rest-api-msdk as one of tap-rest; what has no equivalent stands in comments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tap_rest.msdk.credentials import VARIABLE, Variables, auth_of, basic
from tap_rest.msdk.oldconfig import OldStream, old_config
from tap_rest.msdk.paging import paginated
from tap_rest.preview.variables import prefix_of
from tap_rest.preview.yamltext import literal, yaml_of

__all__ = ["translated"]

Check = Callable[[Mapping[str, Any]], Sequence[str]]
_OF_ALL = (
    *(
        "auth_method",
        "api_keys",
        "client_id",
        "client_secret",
        "username",
        "password",
        "bearer_token",
        "refresh_token",
        "grant_type",
        "scope",
    ),
    *(
        "access_token_url",
        "redirect_uri",
        "oauth_extras",
        "oauth_expiration_secs",
        "aws_credentials",
        "user_agent",
        "streams",
        "api_url",
    ),
)
_WITHOUT: Mapping[str, str] = {
    "except_keys": "objects are sent as they are, none is flattened",
    "flatten_records": "objects are sent as they are, none is flattened",
    "num_inference_records": "schemas are inferred from the first pages, and widened by later ones (`infer`)",
    "num_inference_keys": "schemas are inferred from the first pages, and widened by later ones (`infer`)",
    "schema": "it describes flattened rows; the schema is inferred, and `schema` may declare another",
    "store_raw_json_message": "there is no `_sdc_raw_json`; objects are sent as they are",
    "pagination_results_limit": "there is no limit of records; the old tap ended with an error there",
    "offset_records_jsonpath": "the rows at `records` are counted",
    "backoff_type": "Retry-After and the usual headers of limits are followed by themselves (`retries`, `rate_limit`)",
    "backoff_param": "Retry-After and the usual headers of limits are followed by themselves (`retries`, `rate_limit`)",
    "backoff_time_extension": "`retries` says how long is waited",
    "pagination_stop_on_duplicate_token": "`pagination.on_repeated_token` says what a token means that comes again",
}
"""Settings that have no equivalent, and what there is in their place."""
_LAST_RUN = re.compile(r"\$\{?last_run_date\}?")
_IDLE = ("none", "null", "[]", "{}", "false", "0", '""')


def translated(file: str, check: Check) -> str:
    """Return the config in a file as YAML; ``check`` returns what is wrong with one.

    Raises:
        ConfigurationError: there is no such config in it.
    """
    old = old_config(file)
    variables = Variables(prefix_of(old["api_url"]))
    streams = [OldStream(one, old) for one in old["streams"]]
    said = old.get("headers")
    headers = variables.masked(said if isinstance(said, Mapping) else {}, "headers")
    auth, notes = auth_of(old, variables, headers)
    url, in_url, params = _parts_of(old["api_url"], variables)
    config: dict[str, Any] = {"base_url": url}
    given = (("auth", auth or in_url), ("headers", headers), ("params", params))
    config |= {key: value for key, value in given if value}
    config |= {"user_agent": literal(str(old["user_agent"]))} if old.get("user_agent") else {}
    notes_of: dict[str, list[str]] = {}
    config["streams"] = []
    for stream in streams:
        notes_of[stream.name] = []
        made = _stream(stream, variables, notes_of[stream.name])
        wrong = check({**config, "streams": [made]})
        if wrong and "start_date" in made:
            made.pop("start_date")
            notes_of[stream.name].append(
                "Its start_date is no time of RFC 3339 (2022-06-10T23:10:10+12:00): set it anew."
            )
            wrong = check({**config, "streams": [made]})
        notes_of[stream.name] += [f"To be corrected: {one}." for one in wrong]
        config["streams"].append(made)
    _share(config, "pagination")
    asked = {key for one in streams for key in one.known}
    strange = sorted(key for key in old if key not in asked and key not in _OF_ALL and key not in _WITHOUT)
    notes += [
        f"`{key}` of all streams: {_WITHOUT[key]}."
        for key in old
        if key in _WITHOUT and _says_something(old[key])
    ]
    notes += [f"`{key}` is no setting that is known, and left out." for key in strange]
    head = [
        f"Taken over from {file}, a config of tap-rest-api-msdk, by `tap-rest init --from-msdk`.",
    ]
    head += (
        [f"Variables: {', '.join(f'{name} ({setting})' for name, setting in variables.named.items())}."]
        if variables.named
        else []
    )
    return yaml_of(config, [*head, *notes], notes_of)


def _parts_of(text: str, variables: Variables) -> tuple[str, dict[str, Any] | None, dict[str, Any]]:
    """Return `base_url`, and what stands in a URL that does not belong there: credentials as `auth`, parameters."""
    if VARIABLE.fullmatch(text):
        return variables.of(text, "api_url"), None, {}
    try:
        parts = urlsplit(text)
    except ValueError:
        return "https://", None, {}  # which is said below, without it
    params = variables.masked(dict(parse_qsl(parts.query, keep_blank_values=True)), "api_url")
    login, at, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    auth = basic(user, password, variables, "api_url") if at else None
    return literal(f"{parts.scheme}://{host}{parts.path}".rstrip("/")), auth, params


def _stream(old: OldStream, variables: Variables, notes: list[str]) -> dict[str, Any]:
    path, _, query = old.text("path").partition("?")
    asked = {**old.merged("params"), **dict(parse_qsl(query, keep_blank_values=True))}
    pagination, told = paginated(old, asked)
    notes += told
    made: dict[str, Any] = {"name": old.name, "path": literal(path) or "/"}
    headers = old.merged("headers") if isinstance(old.own("headers"), Mapping) else {}
    own_headers = {name: value for name, value in headers.items() if name in (old.own("headers") or {})}
    if own_headers:
        made["headers"] = variables.masked(own_headers, "headers")
    records = old.text("records_path", "$[*]")
    made["records"] = "$" if records == "$[*]" else records  # there it was an object, too
    keys = old.get("primary_keys", [])
    if isinstance(keys, list) and keys:
        made["primary_keys"] = keys
    else:
        notes.append("It has no primary_keys: rows are appended.")
    _add_replication(old, made, asked, notes)
    inner = [
        one
        for one in [*made.get("primary_keys", ()), made.get("replication_key", "")]
        if "_" in str(one).strip("_")
    ]
    if inner:
        lead, inside = re.fullmatch("(_*)(.*)", str(inner[0]), re.S).groups()  # type: ignore[union-attr]  # it fits all
        notes.append(
            f"The old tap flattened objects: if `{inner[0]}` is no field of the rows themselves, write it as it stands inside "
            f"(`{lead}{inside.replace('_', '.')}`, perhaps); it is sent as `{inner[0]}` then, too."
        )
    params = variables.masked(asked, "params")
    if old.get("use_request_body_not_params"):
        _move_into_body(made, params, pagination, notes)
    elif params:
        made["params"] = params
    made["pagination"] = pagination
    for key in _WITHOUT:
        if _says_something(old.own(key)):
            notes.append(f"`{key}`: {_WITHOUT[key]}.")
    notes += [
        f"`{key}` is no setting that is known, and left out." for key in old.unknown() if key not in _WITHOUT
    ]
    return made


def _says_something(value: Any) -> bool:
    return json.dumps(value, default=str).lower() not in _IDLE


def _add_replication(old: OldStream, made: dict[str, Any], asked: dict[str, Any], notes: list[str]) -> None:
    key = old.text("replication_key")
    field = old.text("source_search_field") or old.text("search_parameter")
    query, prefix = old.text("source_search_query"), old.text("search_prefix")
    start, answers = old.text("start_date"), old.text("pagination_response_style", "default")
    if not key:
        if any(old.own(name) for name in ("start_date", "source_search_field", "search_parameter")):
            notes.append("Its start_date and search settings had no effect without a replication_key.")
        return
    made["replication_key"] = key
    if answers == "header_link":
        made["incremental"] = {"param": "since", "format": "iso"}
        asked |= {"sort": "updated", "direction": "asc"} if key == "updated_at" else {}
        asked |= {"sort": "created", "direction": "desc"} if key in ("starred_at", "created_at") else {}
    elif field and (query or prefix or answers == "hateoas_body"):
        template = _LAST_RUN.sub("{value}", query) if query else f"{prefix or 'gt'}{{value}}"
        asked.pop(field, None)
        made["incremental"] = {"param": field} | (
            {} if template == "{value}" else {"template": literal(template)}
        )
        if re.search(r"\bgt\b|^gt", template):
            notes.append(
                "The API is asked for rows after the last one alone (`gt`): rows with the very same time are missed, which `ge` would not."
            )
    else:
        asked |= {"sort": "asc", "order_by": key} if answers != "hateoas_body" else {}
        notes.append(
            "Each run asks for all rows, as the old tap did: it names no parameter that takes the last value (`incremental`)."
        )
        if answers != "hateoas_body":
            notes.append(
                "sort and order_by are what the old tap sent; take them out if the API does not know them."
            )
    if start and "incremental" in made:
        made["start_date"] = start


def _move_into_body(
    made: dict[str, Any], params: dict[str, Any], pagination: dict[str, Any], notes: list[str]
) -> None:
    """Send in a body by POST what the old tap sent in the body of a GET."""
    made["method"] = "POST"
    body = dict(params)
    incremental = made.get("incremental")
    if incremental is not None:
        text = incremental.pop("template", "{value}").replace("$${", "${")
        try:
            inside = json.loads(text.replace("{value}", "\0").replace("\0", "{bookmark}"))
        except ValueError:
            inside = "{bookmark}"
            notes.append("Its source_search_query is no JSON: look at `body`.")
        body[incremental.pop("param")] = inside
    made["body"] = body
    if pagination["type"] in ("cursor", "page", "offset", "header_cursor"):
        pagination["in"] = "body"
    notes.append("The old tap sent a GET with a body; this is a POST, which search APIs take, too.")


def _share(config: dict[str, Any], key: str) -> None:
    """Say once what all streams say."""
    said = [one.get(key) for one in config["streams"]]
    if all(one == said[0] for one in said):
        streams = config.pop("streams")
        config[key] = said[0]
        config["streams"] = [{name: value for name, value in one.items() if name != key} for one in streams]
