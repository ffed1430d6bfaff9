"""Which server is loaded into: one that the config or the environment names, or the embedded one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_postgres import address
from singerkit_postgres.address import FIELDS
from singerkit_postgres.ssh import is_asked_for

__all__ = ["names_a_server", "server_problem"]


def names_a_server(config: Mapping[str, Any]) -> bool:
    """Tell whether the config says where PostgreSQL is, or the environment, where the config does not ask for another one."""
    return address.names_a_server(config, heeds_environment=not _asks_for_embedded(config))


def _asks_for_embedded(config: Mapping[str, Any]) -> list[str]:
    return [key for key in ("embedded", "embedded_folder") if config.get(key)]


def server_problem(config: Mapping[str, Any], *, is_empty: bool) -> str | None:
    """Return what is wrong about where to load, None when it is clear.

    The embedded server is used when the config is empty or asks for it, and never because something is missing.
    """
    if config.get("embedded") is False and config.get("embedded_folder"):
        return (
            "`embedded_folder` asks for the embedded PostgreSQL, and `embedded` is false; remove one of them"
        )
    asks = _asks_for_embedded(config)
    named = [key for key in FIELDS.keys() | {"dsn"} if config.get(key) is not None]
    named += ["ssh_tunnel"] if is_asked_for(config) else []
    if asks and named:
        return f"`{asks[0]}` asks for the embedded PostgreSQL, `{sorted(named)[0]}` for another one; remove one of them"
    if asks or names_a_server(config) or is_empty:
        return None
    return (
        'Expected `dsn`, `host` or `service`, which say where PostgreSQL is, or `"embedded": true` for one that the '
        "target starts by itself (or PGHOST or PGSERVICE in the environment)"
    )
