"""What of the config decides which rows an API gives, in a form that a state can keep: digests that tell no secret."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from singerkit_shell.secrets import MASK, names_secret, redactor
from tap_rest.asking.urls import joined, parameters_in_path
from tap_rest.config import ApiSettings
from tap_rest.masking import is_secret_name, register_secrets, register_secrets_inside, texts_inside
from tap_rest.settings.lineage import streams_above
from tap_rest.settings.pagination import Pagination
from tap_rest.settings.stream import StreamSettings

__all__ = ["digest_of", "fingerprints_of"]

_NO_OTHER_ROWS = ("size", "size_in")
"""What of `pagination` says only how many rows come in one answer, and where that is said."""


def fingerprints_of(settings: StreamSettings, api: ApiSettings) -> dict[str, str]:
    """Return ``where`` and ``asks`` of a stream, both of those above it as ``parent``, and what lists say as ``values``.

    Those count where one that is new, or gone, changes more than its own rows.

    Secrets are left out, so that a new one is no change, and none can be found by trying.
    """
    streams = streams_above(settings, api.streams)
    above = [digest for parent in streams for digest in _own(parent, api).values()]
    lists = [msgspec.to_builtins(stream.for_each) for stream in (settings, *streams) if stream.for_each]
    counts = settings.shares_bookmark or settings.activate_version
    return {
        **_own(settings, api),
        **({"parent": digest_of(above)} if above else {}),
        **({"values": digest_of(lists)} if lists and counts else {}),
    }


def _own(settings: StreamSettings, api: ApiSettings) -> dict[str, str]:
    headers = {name.lower(): value for name, value in {**api.headers, **settings.headers}.items()}
    register_secrets(headers)
    register_secrets(settings.params)
    register_secrets(settings.token.first_params if settings.token is not None else {})
    register_secrets_inside(settings.asked[3:])
    register_secrets(dict(parameters_in_path(settings.path)))
    said = {
        name: msgspec.to_builtins(value)
        for name in Pagination.__struct_fields__
        if (value := getattr(settings.pagination, name)) != getattr(Pagination(), name)
        and name not in _NO_OTHER_ROWS
    }
    return {
        "where": digest_of([_place(joined(api.base_url, settings.path)), *_hint(settings.path)]),
        "asks": digest_of(
            [
                _as_asked(settings.params),
                headers,
                said,
                *_hints(settings.params),
                *_hints({name: value for name, value in headers.items() if not is_secret_name(name)}),
                *_more(settings),
            ]
        ),
    }


def _more(settings: StreamSettings) -> Iterator[Any]:
    """Yield what only some streams have: what is sent as long as there is no token, and which list of a record is the rows."""
    token = settings.token
    if token is not None and token.first_params:
        yield from (_as_asked(token.first_params), *_hints(token.first_params))
    if settings.explode is not None:
        yield msgspec.to_builtins(settings.explode)
    if settings.jmespath is not None:
        yield settings.jmespath
    if settings.hook is not None:
        yield [settings.hook.digest, settings.hook.settings]
        for name, values in texts_inside(settings.hook.settings):
            yield from _hints({name: values})
    incremental = settings.incremental
    if incremental is not None and settings.reads_windows:
        yield [incremental.until_param, incremental.until, incremental.granularity]
    yield from _body(settings)


def _body(settings: StreamSettings) -> Iterator[Any]:
    """Yield what is asked for by other than path and parameters."""
    if settings.method != "GET":
        yield settings.method
    if settings.body is not None:
        yield settings.body_format
        yield settings.body
    if settings.graphql is not None:
        yield msgspec.to_builtins(settings.graphql)
    if settings.job is not None:
        yield settings.job.asked
    for name, values in texts_inside(settings.asked[3:]):
        yield from _hints({name: values})


def _as_asked(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with whole numbers as the text that the URL holds."""
    return {name: str(value) if type(value) is int else value for name, value in params.items()}


def _hints(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield what tells most changes of parameters and headers that are masked, unless their names say that they are secret."""
    for name, value in sorted(params.items()):
        if not names_secret(name):
            for item in value if isinstance(value, list) else [value]:
                yield from (f"{name}={hint}" for hint in _hint(str(item)))


def _hint(value: str) -> Iterator[str]:
    """Yield eight bits of a value that is masked as a whole: too few to find it by, nearly always enough to tell another."""
    if redactor.mask(value) == MASK:
        yield hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:2]


def _place(url: str) -> str:
    """Return a URL without what leads to the same place: `http` or `https`, capitals of the host, a slash at the end."""
    host, slash, path = url.partition("://")[2].partition("/")
    return (host.lower() + slash + path).rstrip("/")


def digest_of(said: Any) -> str:
    """Return a text by which what is said, of which secrets count for nothing, is known again."""
    text = redactor.mask(json.dumps(said, sort_keys=True, ensure_ascii=False))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
