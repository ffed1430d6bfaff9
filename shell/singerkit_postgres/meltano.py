"""How MeltanoLabs' tap and target for PostgreSQL name the server, in the words of libpq."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from singerkit_shell.takenover import TakenOver

__all__ = ["ADDRESS", "take_address"]

_FLAG: Mapping[str, Any] = {"type": "boolean"}
_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
_PATH: Mapping[str, Any] = {**_TEXT, "secret": False}
_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

ADDRESS: Mapping[str, Any] = {
    "sqlalchemy_url": {**_TEXT, "secret": True},
    "ssl_enable": _FLAG,
    "ssl_mode": {"type": "string", "enum": _MODES},
    "ssl_certificate_authority": _PATH,
    "ssl_client_certificate_enable": _FLAG,
    "ssl_client_certificate": _PATH,
    "ssl_client_private_key": {**_TEXT, "secret": True},
    "ssl_storage_directory": _PATH,
}
"""Their settings, and nobody else's."""

_HOME_FILES = frozenset(
    f"~/.postgresql/{name}" for name in ("root.crl", "root.crt", "postgresql.crt", "postgresql.key")
)
"""What their defaults say: where libpq looks by itself."""

_OF_A_URL = ("host", "port", "user", "password", "database")
_SSL: Mapping[str, Mapping[str, str]] = {
    "ssl_enable": {"ssl_mode": "sslmode", "ssl_certificate_authority": "sslrootcert"},
    "ssl_client_certificate_enable": {
        "ssl_client_certificate": "sslcert",
        "ssl_client_private_key": "sslkey",
    },
}
_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+\w+)?(?=://)")


def take_address(made: TakenOver, theirs: Mapping[str, Any]) -> None:
    """Take over what `ADDRESS` names."""
    url = theirs.get("sqlalchemy_url")
    if url is None:
        _take_certificates(made, theirs)
        return
    if _POSTGRES.match(url) is None:
        made.problems.append("Expected a URL that begins with `postgresql` at `sqlalchemy_url`")
        return
    ignored = sorted(
        [*(name for name in _OF_A_URL if made.config.pop(name, None) is not None)]
        + [name for name in theirs if name.startswith("ssl_") and name != "ssl_storage_directory"]
    )
    if ignored:
        made.notes.append(
            f"`sqlalchemy_url` says all of the connection, as with {made.whose}; "
            f"{', '.join(f'`{name}`' for name in ignored)} beside it {'has' if len(ignored) == 1 else 'have'} no effect"
        )
    made.rename("sqlalchemy_url", "dsn", _POSTGRES.sub("postgresql", url, count=1))


def _take_certificates(made: TakenOver, theirs: Mapping[str, Any]) -> None:
    for switch, names in _SSL.items():
        if not theirs.get(switch):
            continue
        given = {"ssl_mode": "verify-full"} | dict(theirs) if switch == "ssl_enable" else theirs
        for name, ours in names.items():
            if given.get(name, "") not in {"", *_HOME_FILES}:
                made.rename(name, ours, given[name])
