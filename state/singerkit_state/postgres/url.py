"""A state URL of PostgreSQL, and a connection to what it names.

It is libpq's URL with parameters of ours, which libpq never sees::

    postgresql://user:password@host:port/database?pipeline=NAME&schema=SCHEMA[&table=TABLE]

``schema`` is ``public`` and ``table`` is ``_singerkit_state`` unless given; ``?host=/folder`` names a socket.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_shell.secrets import redactor
from singerkit_state.urls import hide_passwords, mistyped, parameters
from singerkit_state.value import is_utf8

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

__all__ = [
    "FORM",
    "LONGEST_NAME",
    "StateUrl",
    "connect",
    "name_problem",
    "parse_state_url",
    "without_password",
]

FORM = "postgresql://user:password@host:port/database?pipeline=NAME&schema=SCHEMA"
DEFAULT_SCHEMA = "public"
DEFAULT_TABLE = "_singerkit_state"
LONGEST_NAME = 63
"""Bytes; PostgreSQL cuts longer names without a word."""
CONNECT_TIMEOUT = 10
"""Seconds until a server that does not answer counts as away, unless URL or environment say otherwise."""

_SECRETS = ("password", "sslpassword")
_OURS = ("pipeline", "schema", "table")


@dataclass(frozen=True)
class StateUrl:
    """A state URL, taken apart: libpq's part, and ours. ``server`` is for messages, it holds no secret.

    ``socket_folder`` is that of the socket, if it names one; ``names_schema`` that the schema is not just the default.
    """

    dsn: str
    server: str
    pipeline: str
    schema: str = DEFAULT_SCHEMA
    table: str = DEFAULT_TABLE
    socket_folder: str | None = None
    names_schema: bool = field(default=True, compare=False)


def name_problem(name: str) -> str | None:
    """Say what keeps PostgreSQL from taking a name whole, as in `has 70 bytes`; None when it does.

    Two long names that are cut are one: the schema, or the database, of somebody else.
    """
    if "\x00" in name or not is_utf8(name):
        return "holds a character that PostgreSQL cannot store"
    size = len(name.encode())
    if size > LONGEST_NAME:
        return f"has {size} bytes, and PostgreSQL cuts names at {LONGEST_NAME}"
    return None


def connect(url: StateUrl, **settings: Any) -> Connection:
    """Open a connection to the database of a state URL; ``settings`` are libpq's.

    Raises:
        NotAuthorisedError, ConfigurationError, RetryableError: it cannot be opened.
    """
    import psycopg2
    from psycopg2.extensions import parse_dsn

    from singerkit_postgres.errors import connection_error

    defaults: dict[str, Any] = {
        "fallback_application_name": "singerkit",
        "client_encoding": "UTF8",
        **settings,
    }
    try:
        if "connect_timeout" not in parse_dsn(url.dsn) and "PGCONNECT_TIMEOUT" not in os.environ:
            defaults["connect_timeout"] = CONNECT_TIMEOUT
        connection: Connection = psycopg2.connect(url.dsn, **defaults)
    except psycopg2.ProgrammingError:  # its message would quote parts of the URL
        raise _not_a_url(f"libpq does not understand it{mistyped(urlsplit(url.dsn).query, _OURS)}") from None
    except psycopg2.OperationalError as error:
        failure = connection_error(error, f"PostgreSQL with {url.server}")
        if isinstance(failure, RetryableError) and (advice := _to_start_embedded(url.socket_folder)):
            raise RetryableError(f"{failure} {advice}") from None
        raise failure from None
    return connection


def _to_start_embedded(socket_folder: str | None) -> str | None:
    """Say how the embedded server of target-postgres is started whose socket is in this folder; None if it is none's."""
    if socket_folder is None:
        return None
    for folder in (socket_folder, os.path.dirname(socket_folder)):
        # Its parts, as `singerkit_embedded` lays them out.
        if all(
            os.path.exists(os.path.join(folder, part)) for part in ("data/PG_VERSION", "starting", "users")
        ):
            return (
                "The embedded server of target-postgres there runs while a target uses it; "
                f"`python -m singerkit_embedded --folder {shlex.quote(folder)} start` starts it to stay, and prints "
                "its URL."
            )
    if os.path.basename(socket_folder).startswith(
        "singerkit-"
    ):  # where the path of its folder is too long for a socket
        return (
            "If it is an embedded server of target-postgres, that runs while a target uses it; "
            "`python -m singerkit_embedded --folder FOLDER start` starts it to stay, and prints its URL."
        )
    return None


def parse_state_url(location: str, *, of_any_pipeline: bool = False) -> StateUrl:
    """Take a state URL apart; its password is masked in everything printed from now on.

    Without a pipeline in it, ``of_any_pipeline`` makes it the URL of a whole table: ``pipeline`` is empty then.

    Raises:
        ConfigurationError: a part is missing or malformed; the sentence shows no part of the URL.
    """
    try:
        hide_passwords(location)
        parts = urlsplit(location)
    except ValueError:
        raise _not_a_url("it cannot be taken apart") from None
    user, _, host = parts.netloc.rpartition("@")
    password = user.partition(":")[2]
    ours, libpq = parameters(parts.query, _OURS)
    for secret in (password, *(value for key, value in libpq if key in _SECRETS)):
        redactor.add(secret)
        redactor.add(unquote(secret))
    if "@" in user or "@" in parts.path or parts.fragment or "@" in parts.query.partition("=")[0]:
        raise _not_a_url("percent-encode @ : / ? # % in user and password")
    if not ours.get("pipeline") and not of_any_pipeline:
        raise _not_a_url(f"it names no pipeline{mistyped(parts.query, _OURS)}")
    for name in ("schema", "table"):
        if problem := name_problem(ours.get(name, "")):
            raise _not_a_url(f"its `{name}` {problem}")
    if problem := name_problem(_database(parts, dict(libpq))):
        raise _not_a_url(f"the name of its database {problem}")
    query = "&".join(f"{key}={value}" for key, value in libpq)
    address = location.partition("?")[0]  # not geturl(): it drops the `//` of an empty host
    return StateUrl(
        dsn=f"{address}?{query}" if query else address,
        server=_server(parts, host, dict(libpq)),
        pipeline=ours.get("pipeline", ""),
        schema=ours.get("schema") or DEFAULT_SCHEMA,
        table=ours.get("table") or DEFAULT_TABLE,
        names_schema="schema" in ours,
        socket_folder=folder if (folder := unquote(dict(libpq).get("host", ""))).startswith("/") else None,
    )


def without_password(location: str) -> str:
    """Return a state URL without its passwords, to be shown to people."""
    head, at, rest = location.partition("@")
    address, _, query = rest.partition("?") if at else location.partition("?")
    scheme, slashes, user = head.partition("://") if at else ("", "", "")
    kept = [pair for pair in query.split("&") if unquote(pair.partition("=")[0]) not in _SECRETS]
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{address}" + (f"?{'&'.join(kept)}" if query else "")


def _not_a_url(finding: str) -> ConfigurationError:
    return ConfigurationError(f"The state URL is not valid, {finding}; expected is {FORM}.")


def _server(parts: SplitResult, host: str, libpq: dict[str, str]) -> str:
    database = _database(parts, libpq) or "of the user's name"
    where = unquote(libpq.get("host", "")) or unquote(host) or "the default host"
    return f"the database {database} at {where}"


def _database(parts: SplitResult, libpq: dict[str, str]) -> str:
    return unquote(libpq.get("dbname", "")) or unquote(parts.path.removeprefix("/"))
