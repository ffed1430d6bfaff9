"""What ``--state`` of a tap may name: a state file, or the row in a target database (DESIGN 5 "Resuming").

A state URL is libpq's URL with parameters of ours, which libpq never sees::

    postgresql://user:password@host:port/database?pipeline=NAME&schema=SCHEMA[&table=TABLE]

``schema`` is ``public`` and ``table`` is ``_singerkit_state`` unless given; ``?host=/folder`` names a socket.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_state import statefile
from singerkit_state.value import is_utf8

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from singerkit_state.postgres import StateRow

__all__ = [
    "LONGEST_NAME",
    "StateUrl",
    "check_is_path",
    "connect",
    "hide_passwords",
    "is_state_url",
    "name_problem",
    "parse_state_url",
    "read_start_state",
    "without_password",
]

logger = logging.getLogger(__name__)

DEFAULT_SCHEMA = "public"
DEFAULT_TABLE = "_singerkit_state"
LONGEST_NAME = 63
"""Bytes; PostgreSQL cuts longer names without a word."""
CONNECT_TIMEOUT = 10
"""Seconds until a server that does not answer counts as away, unless URL or environment say otherwise."""

_FORM = "postgresql://user:password@host:port/database?pipeline=NAME&schema=SCHEMA"
_SECRETS = ("password", "sslpassword")
_OURS = ("pipeline", "schema", "table")
_LIKE_A_URL = re.compile(
    r"""\s*(?:
        [a-z][a-z0-9+.-]+:/             # any scheme; one letter is a drive of Windows
        | [{"]                           # the text of a config or a state in the place of its path
        | [a-z]+:[a-z]\w*:/              # `jdbc:postgresql://host`
        | postgres\w*\s*(?::|//)         # `postgresql//host`, `postgres:host`
        | (?:host|hostaddr|port|dbname|user|password|service)\s*=   # libpq's other form
        | .*[?&]pipeline=
        | [^/]*//[^/]*@ | [^/]*:[^/]*@  # user, password and host
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


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


def is_state_url(location: str) -> bool:
    """Tell a state URL from the path of a state file."""
    return location.startswith(("postgresql://", "postgres://"))


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


def check_is_path(location: str) -> None:
    """See that what is no state URL was not meant as one: a mistyped URL would be the path of a first run.

    Raises:
        ConfigurationError: it looks like a URL, and there is no such file; the sentence shows no part of it.
    """
    if _LIKE_A_URL.match(location) and not os.path.exists(location):
        hide_passwords(location)
        raise ConfigurationError(
            "The location of the state looks like a URL and is none, and there is no file of that name; nothing was read "
            f"or written: give the path of a file, or {_FORM}."
        )


def hide_passwords(text: str) -> None:
    """Mask what may be a password in ``text``, a location that may be mistyped, in everything printed from now on."""
    for secret in _passwords_in(text):
        redactor.add(secret)
        redactor.add(unquote(secret))


def _passwords_in(text: str) -> Iterator[str]:
    for match in re.finditer(r"password\s*=\s*([^&\s]+)", text, re.IGNORECASE):
        yield match[1].strip("'")
    for end in (text.find("@"), text.rfind("@")):
        before = text[: max(end, 0)]
        credentials = re.sub(r"^\s*[A-Za-z][\w+.-]*(?::/*|//+)", "", before)
        # `user:password@host` has no scheme: what looks like one is the user.
        yield credentials if ":" not in credentials and "/" not in before else credentials.partition(":")[2]


def read_start_state(location: str, pipeline: str | None = None) -> dict[str, Any] | None:
    """Return the STATE value to start from; None when there is none yet, which is a first run.

    ``location`` is the path of a file or a state URL; ``pipeline`` is the pipeline of this run when known.

    Raises:
        ConfigurationError: the file is empty, torn or of another pipeline, or its folder is missing; the URL is wrong.
        NotAuthorisedError: the database refuses user, password or the right to read.
        RetryableError: the database cannot be reached.
    """
    if not is_state_url(location):
        check_is_path(location)
        return statefile.read(location, pipeline)
    url = parse_state_url(location)
    if pipeline and pipeline != url.pipeline:
        raise ConfigurationError(
            f"The state URL names the pipeline `{url.pipeline}`, this run is of the pipeline `{pipeline}`; "
            "name the same pipeline in both."
        )
    # libpq waits in C, where no signal is heard.
    row = stop_flag.waiting_for(lambda: _read_row(url), "the state was being read, nothing was read yet.")
    if row is None or row.state_text is None:
        logger.info(
            "No state of the pipeline `%s` yet in %s, table %s.%s%s: this is a first run.",
            url.pipeline,
            url.server,
            url.schema,
            url.table,
            "" if url.names_schema else " (the URL names no schema, `&schema=`)",
        )
        return None
    where = f"state of the pipeline `{url.pipeline}` in {url.schema}.{url.table}"
    way_out = "restore the row from a copy, or delete it to start over from the beginning"
    return statefile.state_object(row.state_text, where, pipeline, way_out)


def _read_row(url: StateUrl) -> StateRow | None:
    from singerkit_state import postgres

    connection = connect(url)
    try:
        return postgres.read(connection, url.schema, url.table, url.pipeline)
    finally:
        connection.close()


def connect(url: StateUrl, **settings: Any) -> Connection:
    """Open a connection to the database of a state URL; ``settings`` are libpq's.

    Raises:
        NotAuthorisedError, ConfigurationError, RetryableError: it cannot be opened.
    """
    import psycopg2
    from psycopg2.extensions import parse_dsn

    from singerkit_state.postgres import error_of

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
        raise _not_a_url(f"libpq does not understand it{_mistyped(urlsplit(url.dsn).query)}") from None
    except psycopg2.OperationalError as error:
        failure = error_of(error, f"read the state in {url.server}")
        if isinstance(failure, RetryableError) and (advice := _to_start_embedded(url.socket_folder)):
            raise RetryableError(f"{failure} {advice}") from None
        raise failure from None
    return connection


def _to_start_embedded(socket_folder: str | None) -> str | None:
    """Say how the embedded server of target-postgres is started whose socket is in this folder; None if it is none's."""
    if socket_folder is None:
        return None
    for folder in (socket_folder, os.path.dirname(socket_folder)):
        # Its parts, as `target_postgres.embedded` lays them out.
        if all(
            os.path.exists(os.path.join(folder, part)) for part in ("data/PG_VERSION", "starting", "users")
        ):
            return (
                "The embedded server of target-postgres there runs while a target uses it; "
                f"`python -m target_postgres.embedded --folder {shlex.quote(folder)} start` starts it to stay, and prints "
                "its URL."
            )
    if os.path.basename(socket_folder).startswith(
        "singerkit-"
    ):  # where the path of its folder is too long for a socket
        return (
            "If it is an embedded server of target-postgres, that runs while a target uses it; "
            "`python -m target_postgres.embedded --folder FOLDER start` starts it to stay, and prints its URL."
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
    ours, libpq = _parameters(parts.query)
    for secret in (password, *(value for key, value in libpq if key in _SECRETS)):
        redactor.add(secret)
        redactor.add(unquote(secret))
    if "@" in user or "@" in parts.path or parts.fragment or "@" in parts.query.partition("=")[0]:
        raise _not_a_url("percent-encode @ : / ? # % in user and password")
    if not ours.get("pipeline") and not of_any_pipeline:
        raise _not_a_url(f"it names no pipeline{_mistyped(parts.query)}")
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
    return ConfigurationError(f"The state URL is not valid, {finding}; expected is {_FORM}.")


def _mistyped(query: str) -> str:
    """Name a parameter that is nearly one of ours; no other, since it may be a piece of a password."""
    for name in {unquote(pair.partition("=")[0]) for pair in query.split("&")} - {*_OURS}:
        near = difflib.get_close_matches(name, _OURS, 1, 0.75)
        if near and len(name) <= len(near[0]) + 1:
            return f" (`{name}`: did you mean `{near[0]}`?)"
    return ""


def _parameters(query: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Our parameters, decoded, and libpq's, as they stand. As for libpq, `+` is a plus and no blank."""
    ours: dict[str, str] = {}
    libpq: list[tuple[str, str]] = []
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if unquote(key) in _OURS:
            ours[unquote(key)] = unquote(value)
        else:
            libpq.append((key, value))
    return ours, libpq


def _server(parts: SplitResult, host: str, libpq: dict[str, str]) -> str:
    database = _database(parts, libpq) or "of the user's name"
    where = unquote(libpq.get("host", "")) or unquote(host) or "the default host"
    return f"the database {database} at {where}"


def _database(parts: SplitResult, libpq: dict[str, str]) -> str:
    return unquote(libpq.get("dbname", "")) or unquote(parts.path.removeprefix("/"))
