"""Where a PostgreSQL is, as a config says it: the DSN of libpq, and what is wrong with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from psycopg2 import ProgrammingError
from psycopg2.extensions import make_dsn, parse_dsn

from singerkit_postgres.pem import file_of, is_pem
from singerkit_postgres.ssh import is_asked_for, tunnel_problem
from singerkit_shell.certificates import authority_problem, file_problem

__all__ = [
    "FIELDS",
    "address_problems",
    "certificate_problems",
    "dsn_of",
    "names_a_server",
    "where",
]

FIELDS: Mapping[str, str] = {
    "host": "host",
    "port": "port",
    "user": "user",
    "password": "password",
    "database": "dbname",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "sslpassword": "sslpassword",
    "passfile": "passfile",
    "service": "service",
}
_FILES = ("sslrootcert", "sslcert", "sslkey")
_FILES_OF_ENVIRONMENT: Mapping[str, str] = {
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "passfile": "PGPASSFILE",
}
_KEEPALIVES: Mapping[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds until sent bytes that nobody acknowledges count as lost
}
_PLACES = ("dsn", "host", "port", "database", "service")
_ENVIRONMENT = ("PGHOST", "PGHOSTADDR", "PGSERVICE")
"""What says where PostgreSQL is to every program that uses libpq."""


def names_a_server(config: Mapping[str, Any], *, heeds_environment: bool = True) -> bool:
    """Tell whether the config says where PostgreSQL is, or the environment, where that is to be heeded."""
    return any(config.get(name) is not None for name in _PLACES) or (
        heeds_environment and any(os.environ.get(name) for name in _ENVIRONMENT)
    )


def dsn_of(config: Mapping[str, Any], application_name: str = "singerkit") -> str:
    """Return the libpq DSN of a config: single fields, or `dsn`, which fields complete.

    ``application_name``: under which the session is seen where the config has no other.

    Raises:
        psycopg2.ProgrammingError: `dsn` is not a DSN.
    """
    fields = {libpq: config[ours] for ours, libpq in FIELDS.items() if config.get(ours) is not None}
    fields |= {name: file_of(fields[name]) for name in _FILES if is_pem(fields.get(name))}
    given = parse_dsn(config["dsn"]) if config.get("dsn") else {}
    settings = {
        **_KEEPALIVES,
        "connect_timeout": config.get("connect_timeout", 10),
        "application_name": config.get("application_name", application_name),
        **given,
        **fields,
    }
    return str(make_dsn(**settings))


def certificate_problems(dsn: str) -> list[str]:
    """Return a sentence for each file of certificates or passwords that cannot be used.

    libpq goes on without a file of certificates that is not there, unless `sslmode` begins with `verify-`, and without one of passwords
    that others may read.
    """
    given = parse_dsn(dsn)
    elsewhere = {name: os.environ.get(variable, "") for name, variable in _FILES_OF_ENVIRONMENT.items()}
    parts = elsewhere | given
    checks = {
        "sslrootcert": authority_problem,
        "sslcert": file_problem,
        "sslkey": file_problem,
        "passfile": _passwords_problem,
    }
    if parts.get("sslrootcert") == "system":
        del checks["sslrootcert"]
    if ":" in parts.get("sslkey", ""):  # a key in an OpenSSL engine
        del checks["sslkey"]
    found = {name: check(parts[name]) for name, check in checks.items() if parts.get(name)}
    return [
        f"Expected a file that can be used at `{name if name in given else _FILES_OF_ENVIRONMENT[name]}`, got `{parts[name]}`: {problem}"
        for name, problem in found.items()
        if problem is not None
    ]


def _passwords_problem(path: str) -> str | None:
    problem = file_problem(path)
    if problem is None and os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "others than its owner have access to it, so that libpq does not read it (`chmod 600`)"
    return problem


def _is_misquoted(dsn: str) -> bool:
    """Tell whether libpq finds parts of a password elsewhere, where its own errors would print them."""
    parts = parse_dsn(dsn)
    elsewhere = [str(parts.get(name, "")) for name in ("host", "port", "dbname")]
    is_port = all(number.isdigit() for number in elsewhere[1].split(",") if number)
    return "://" in dsn and (not is_port or any("@" in text for text in elsewhere))


def where(dsn: str) -> str:
    """Return host, port and database of a DSN for messages, without user or password."""
    parts = parse_dsn(dsn)
    host = parts.get("host")
    service = parts.get("service") or os.environ.get("PGSERVICE")
    if service and not host:
        return f"the service `{service}`"
    host = host or os.environ.get("PGHOST") or os.environ.get("PGHOSTADDR") or "the local socket"
    port = parts.get("port") or os.environ.get("PGPORT") or "5432"
    return f"{host}:{port}/{parts.get('dbname') or os.environ.get('PGDATABASE', '')}"


def address_problems(config: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with how a config names its server, a sentence each without a full stop; see `certificate_problems`, too."""
    try:
        dsn = dsn_of(config)
    except ProgrammingError:
        # libpq quotes the string it could not read, password and all.
        return ["Expected a libpq connection string or URL at `dsn`, got something else"]
    if config.get("dsn") and _is_misquoted(config["dsn"]):
        return ["Expected a URL at `dsn` in which `@`, `/`, `:` and `%` of the password are percent-encoded"]
    if is_asked_for(config) and (problem := tunnel_problem(config, dsn)):
        return [problem]
    if config.get("passfile") and parse_dsn(dsn).get("password"):
        return ["`passfile` has no effect beside a password; remove one of them"]
    return []
