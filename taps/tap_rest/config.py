"""The config of tap-rest: one JSON Schema (docs are generated from it) and typed settings made from it.

Each section stands with its checks in `settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from singerkit_shell.errors import ConfigurationError
from tap_rest.asking.placeholders import holds_any, placeholder_problems
from tap_rest.records.jmespaths import jmespath_problems
from tap_rest.settings import setting
from tap_rest.settings.auth import AUTH, AuthSettings, NoneSettings, auth_problems
from tap_rest.settings.body import with_accept
from tap_rest.settings.conditional import conditional_problems
from tap_rest.settings.deletes import deletes_problems
from tap_rest.settings.each import each_problems
from tap_rest.settings.effects import settings_without_effect
from tap_rest.settings.errors import ERRORS, ErrorRule, error_problems, splits
from tap_rest.settings.explode import explode_problems
from tap_rest.settings.fields import with_fields_at_top
from tap_rest.settings.hook import HOOK, hook_problems, with_hook
from tap_rest.settings.identity import IDENTITY
from tap_rest.settings.job import job_problems, with_job
from tap_rest.settings.limits import INFER, LIMITS, RETRIES, TIMEOUT, InferSettings, Limits, Retries, Timeout
from tap_rest.settings.pagination import PAGINATION, pagination_problems
from tap_rest.settings.ratelimit import RATE_LIMIT, RateLimit
from tap_rest.settings.request import request_problems, with_request
from tap_rest.settings.span import END_DATE, span_problems, with_span
from tap_rest.settings.stream import HEADERS, PARAMS, STREAM, StreamSettings, filter_problems, stream_problems
from tap_rest.settings.sweep import sweep_problems
from tap_rest.settings.times import TIME_ZONE, clock_problems, time_zone_problems
from tap_rest.settings.tokens import token_problems, with_token
from tap_rest.settings.windows import has_start, shard_problems, window_problems

__all__ = ["CONFIG_SCHEMA", "ApiSettings", "api_settings", "config_conflicts"]

CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["base_url", "streams"],
    "properties": {
        "base_url": setting.text(
            "URL that every path is below, without `?` and `#`.", pattern="^[Hh][Tt][Tt][Pp][Ss]?://[^/]+"
        ),
        "auth": AUTH,
        "headers": HEADERS,
        "params": PARAMS,
        "pagination": PAGINATION,
        "end_date": END_DATE,
        "time_zone": TIME_ZONE,
        "streams": {
            "type": "array",
            "items": STREAM,
            "minItems": 1,
            "description": "What to read.",
        },
        "user_agent": setting.text("The User-Agent header. Default `tap-rest/VERSION (singerkit)`."),
        "allowed_hosts": setting.names(
            "Other origins that redirects, next links and paths may lead to, as `https://host[:port]`. No "
            "credential, header or cookie of this config is sent there. Default: none."
        ),
        "allowed_addresses": setting.names(
            "IP addresses or networks among the link-local and metadata addresses that may be connected to. "
            "Default: none."
        ),
        "ca_file": setting.name(
            "PEM file of the certificate authorities to trust, in place of the usual ones. Certificates are "
            "always checked."
        ),
        **IDENTITY,
        "concurrency": setting.count(
            "Requests at a time: the page that follows is on its way while one is written, and so are the next pages by `page` and "
            "`offset`, and the first pages below the next parents. What is read, sent and kept in the state is the same.",
            default=1,
            maximum=64,
        ),
        "timeout": TIMEOUT,
        "retries": RETRIES,
        "limits": LIMITS,
        "errors": ERRORS,
        "hook": HOOK,
        "rate_limit": RATE_LIMIT,
        "infer": INFER,
        "schema_cache": setting.name(
            "Folder of the inferred schemas. Default: `$XDG_CACHE_HOME/singerkit/tap-rest`, else "
            "`~/.cache/singerkit/tap-rest`."
        ),
    },
}


class ApiSettings(msgspec.Struct, frozen=True):
    """The whole config."""

    base_url: str
    streams: tuple[StreamSettings, ...]
    auth: AuthSettings = NoneSettings()
    headers: dict[str, str] = {}
    user_agent: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_addresses: tuple[str, ...] = ()
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    client_key_password: str | None = None
    concurrency: int = 1
    timeout: Timeout = Timeout()
    retries: Retries = Retries()
    limits: Limits = Limits()
    errors: tuple[ErrorRule, ...] = ()
    rate_limit: RateLimit | None = None
    infer: InferSettings = InferSettings()
    schema_cache: str | None = None


def api_settings(config: Mapping[str, Any]) -> ApiSettings:
    """Turn a config that its JSON Schema accepts into settings.

    Raises:
        ConfigurationError: two keys of it contradict each other.
    """
    problems = config_conflicts(config)
    if problems:
        raise ConfigurationError(f"The config is not valid: {'; '.join(problems)}.")
    streams = [
        with_token(
            with_fields_at_top(
                with_request(with_job(with_hook(_with_top_level(stream, config)), config.get("params", {})))
            )
        )
        for stream in config["streams"]
    ]
    headers = {name: text for name, text in config.get("headers", {}).items() if not holds_any(text)}
    return msgspec.convert({**config, "headers": headers, "streams": streams}, ApiSettings)


def _with_top_level(stream: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(stream)
    filled["params"] = {**config.get("params", {}), **stream.get("params", {})}
    of_all = {name: text for name, text in config.get("headers", {}).items() if holds_any(text)}
    filled["headers"] = {**of_all, **stream.get("headers", {})}
    if "pagination" not in stream and "pagination" in config:
        filled["pagination"] = config["pagination"]
    filled["splits"] = splits(stream, config)
    if "hook" in config:
        filled.setdefault("hook", config["hook"])
    if "time_zone" in config:
        filled.setdefault("time_zone", config["time_zone"])
    return with_accept(with_span(filled, config), config.get("headers", {}))


def config_conflicts(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that a JSON Schema cannot say about the config."""
    problems = auth_problems(config.get("auth", {"type": "none"}))
    if "pagination" in config:
        problems += pagination_problems(config["pagination"], "pagination")
    problems += time_zone_problems(config, "")
    problems += error_problems(config.get("errors", ()), "errors")
    streams = config["streams"]
    names = [stream["name"] for stream in streams]
    problems += [f"There are two streams named `{name}`" for name in set(names) if names.count(name) > 1]
    for index, stream in enumerate(streams):
        place = f"streams[{index}]"
        problems += error_problems(stream.get("errors", ()), f"{place}.errors")
        problems += stream_problems(stream, place, {other["name"]: other for other in streams})
        problems += filter_problems(stream, place, stream.get("pagination", config.get("pagination")))
        whole = _with_top_level(stream, config)
        problems += placeholder_problems(whole, place, whole.get("pagination", {}))
        problems += each_problems(whole, place, {other["name"]: other for other in streams})
        problems += [*explode_problems(whole, place), *deletes_problems(whole, place)]
        problems += [*jmespath_problems(whole, place), *hook_problems(whole, place)]
        problems += token_problems(whole, place)
        problems += conditional_problems(whole, place, {other["name"]: other for other in streams})
        problems += job_problems(whole, place)
        problems += request_problems(whole, place, has_start=has_start(whole))
        problems += [*window_problems(whole, place), *shard_problems(whole, place, streams)]
        problems += span_problems(stream, place, config)
        problems += sweep_problems(whole, place, {other["name"]: other for other in streams})
        problems += clock_problems(stream, place, stream.get("time_zone", config.get("time_zone")))
    return [*problems, *settings_without_effect(config)]
