"""`storage.http`: which files there are behind URLs, what is sent to whom, and how far requests may lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from singerkit_shell.certificates import authority_problem
from singerkit_shell.errors import ConfigurationError
from tap_files.settings import setting

__all__ = ["HTTP", "http_problems"]

_SENT = ("username", "password", "token", "headers")

HTTP: Mapping[str, Any] = setting.group(
    "Files behind `http://` and `https://`.",
    {
        "base_url": setting.name(
            "Scheme and host to which the credentials belong. Other hosts are asked without them."
        ),
        "username": setting.name("User, for Basic."),
        "password": setting.secret("Password of that user."),
        "token": setting.secret("Token, for Bearer."),
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "secret": True,
            "description": "Other headers to send, a key among them.",
        },
        "listing": setting.name(
            "What tells which files there are where a path has wildcards: `urls`, those of that name; `links`, the links of the page that a folder "
            "answers with, as nginx (autoindex), Apache and `python -m http.server` make it.",
            enum=["urls", "links"],
            default="urls",
        ),
        "urls": setting.names("URLs of files, which paths with wildcards choose from."),
        "allowed_hosts": setting.names(
            "URLs of other hosts that redirects may lead to; no credentials are sent there."
        ),
        "allowed_addresses": setting.names(
            "Addresses or networks that may be asked although they are link-local or of a metadata service."
        ),
        "redirects": setting.count("Redirects of one request.", 5, 20, least=0),
        "ca_file": setting.name("File with the certificates of trusted authorities, in PEM."),
    },
)


def http_problems(said: Mapping[str, Any]) -> Iterator[str]:
    """Say what of it cannot be used, or would go nowhere."""
    if not said:
        return
    from singerkit_shell.reach import configured_origin, is_url, networks_of  # with urllib3

    sent = [key for key in _SENT if key in said]
    if sent and "base_url" not in said:
        yield f"Expected the key `storage.http.base_url`, which says where `{sent[0]}` is sent to"
    if ("username" in said) != ("password" in said):
        yield "`storage.http.username` and `storage.http.password` have no effect without each other"
    if "token" in said and "username" in said:
        yield "`storage.http.token` and `storage.http.username` cannot both be sent; take one out"
    if "urls" in said and said.get("listing") == "links":
        yield "`storage.http.urls` has no effect beside `listing: links`; take one out"
    for key, urls in (
        ("base_url", [said["base_url"]] if "base_url" in said else []),
        ("allowed_hosts", said.get("allowed_hosts", [])),
    ):
        for url in urls:
            yield from _problem(lambda url=url, key=key: configured_origin(url, f"storage.http.{key}"))
    if "@" in said.get("base_url", ""):
        yield "Expected `storage.http.base_url` without user and password, which would be shown; write them at `storage.http.username` and `storage.http.password`"
    names = [urlsplit(url).path for url in said.get("urls", [])]
    for url, name in zip(said.get("urls", []), names, strict=True):
        if "@" in urlsplit(url).netloc or not is_url(url):
            yield "Expected URLs like https://host/file.csv without user and password at `storage.http.urls`"
        elif names.count(name) > 1:
            yield f"There are two URLs with the path `{name}` at `storage.http.urls`, which would be one file; take one out"
    yield from _problem(lambda: networks_of(said.get("allowed_addresses", ())))
    problem = authority_problem(said["ca_file"]) if "ca_file" in said else None
    if problem is not None:
        yield f"Expected a file with certificates in PEM at `storage.http.ca_file`, got `{said['ca_file']}`: {problem}"


def _problem(look: Any) -> Iterator[str]:
    try:
        look()
    except ConfigurationError as error:
        yield str(error).rstrip(".")
