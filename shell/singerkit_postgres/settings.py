"""The settings by which a config says how PostgreSQL is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_postgres import ssh

__all__ = ["CONNECTION"]

_NAME: Mapping[str, Any] = {"type": "string", "minLength": 1, "secret": False}

CONNECTION: Mapping[str, Any] = {
    "host": {**_NAME, "description": "Host name, address, or folder of the unix socket."},
    "port": {
        "type": "integer",
        "minimum": 1,
        "maximum": 65535,
        "description": "Port, 5432 by default.",
    },
    "user": {**_NAME, "description": "Role to connect as."},
    "password": {"type": "string", "secret": True, "description": "Password of the role."},
    "database": {**_NAME, "description": "Name of the database."},
    "service": {**_NAME, "description": "Name of a section in libpq's service file."},
    "sslmode": {
        "type": "string",
        "enum": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        "description": "How far TLS is required and checked, as in libpq.",
    },
    "sslrootcert": {
        **_NAME,
        "description": "File with the certificates of trusted authorities, or their text in PEM.",
    },
    "sslcert": {**_NAME, "description": "File with the client certificate, or its text in PEM."},
    "sslkey": {
        **_NAME,
        "description": "File with the key of the client certificate, which only its owner may read, or its text in PEM.",
    },
    "sslpassword": {"type": "string", "secret": True, "description": "Password of that key."},
    "passfile": {**_NAME, "description": "File with passwords, written as libpq's `~/.pgpass`."},
    "ssh_tunnel": ssh.SETTING,
    "role": {
        **_NAME,
        "description": "Role to be after connecting (`SET ROLE`), which owns what a target makes; not behind a connection pooler.",
    },
    "statement_timeout_seconds": {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "Longest time of one statement on the server, after which it cancels it. Default: what the server says.",
    },
    "connect_timeout": {
        "type": "integer",
        "minimum": 1,
        "default": 10,
        "description": "Seconds to wait for a connection.",
    },
    "application_name": {
        **_NAME,
        "description": "Name under which the run is seen in pg_stat_activity.",
    },
}
"""All but `dsn`, whose meaning beside these each connector says."""
