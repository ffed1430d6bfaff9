"""A tunnel through an SSH server, whose key has to be known, for connections to a PostgreSQL that only it can reach."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Mapping
from typing import Any

from singerkit_shell.errors import RetryableError
from singerkit_shell.signals import stop_flag
from singerkit_shell.ssh import LOGIN, SECONDS, logged_in, login_problem, reason_of

__all__ = ["SETTING", "Tunnel", "is_asked_for", "tunnel_problem"]

_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
_NAME: Mapping[str, Any] = {**_TEXT, "secret": False}

SETTING: Mapping[str, Any] = {
    "type": "object",
    "description": "Reach PostgreSQL through an SSH server; `host` and `port` are those that it knows. Needs `pip install 'singerkit[ssh]'`.",
    "properties": {
        "enable": {"type": "boolean", "default": True, "description": "`false` leaves the tunnel out."},
        "host": {**_NAME, "description": "Host name or address of the SSH server."},
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "default": 22,
            "description": "Its port.",
        },
        **LOGIN,
    },
}

_PIECE = 1 << 16
_WINDOW = 1 << 24  # bytes under way: rows go one way for long


def is_asked_for(config: Mapping[str, Any]) -> bool:
    """Tell whether a config wants a tunnel."""
    given = config.get("ssh_tunnel") or {"enable": False}
    return bool(given.get("enable", True))


def tunnel_problem(config: Mapping[str, Any], dsn: str) -> str | None:
    """Return what is wrong with the settings of a tunnel."""
    from psycopg2.extensions import parse_dsn

    given = config["ssh_tunnel"]
    for name in ("host", "username"):
        if not given.get(name):
            return f"Expected the key `ssh_tunnel.{name}`, which is missing"
    parts = parse_dsn(dsn)
    host = parts.get("host", "")
    if not host or host.startswith("/") or "," in host or "hostaddr" in parts:
        return "Expected one host name or address that the SSH server knows at `host`, beside `ssh_tunnel`"
    try:
        import paramiko  # noqa: F401
    except ImportError:
        return "`ssh_tunnel` needs the package paramiko, which is not installed here: run `pip install 'singerkit[ssh]'`"
    return login_problem(given, "ssh_tunnel")


class Tunnel:
    """Opened at the first connection, and again when it is lost; ``dsn`` is where PostgreSQL is to the SSH server."""

    def __init__(self, given: Mapping[str, Any], dsn: str, log: logging.Logger) -> None:
        from psycopg2.extensions import parse_dsn

        self._given, self._dsn, self._log = given, dsn, log
        parts = parse_dsn(dsn)
        self._aim = (parts["host"], int(parts.get("port", 5432)))
        self._client: Any = None
        self._listener: socket.socket | None = None

    @property
    def _where(self) -> str:
        return f"the SSH server {self._given['host']}:{self._given.get('port', 22)}"

    def dsn(self) -> str:
        """Return where PostgreSQL can be reached now; its name stays, for certificates and password files.

        Raises:
            ConfigurationError: the server's key is not known, or is another one.
            NotAuthorisedError: the login was refused.
            RetryableError: it cannot be reached, or does not reach PostgreSQL.
        """
        if self._client is None or not self._client.get_transport().is_active():
            self.close()
            stop_flag.waiting_for(self._open, "there was no SSH tunnel yet, what was committed is safe.")
        from psycopg2.extensions import make_dsn

        assert self._listener is not None  # noqa: S101  opened just now
        port = self._listener.getsockname()[1]
        return str(make_dsn(self._dsn, hostaddr="127.0.0.1", port=port))

    def close(self) -> None:
        """End it, and the connections in it."""
        if self._listener is not None:
            # Who waits in accept() is not woken by close().
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        if self._client is not None:
            self._client.close()
        self._listener = self._client = None

    def _open(self) -> None:
        client = logged_in(self._given, "ssh_tunnel")
        try:
            first = self._channel(client)
        except BaseException:
            client.close()
            raise
        self._client = client
        self._listener = listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, args=(listener, client, first), daemon=True).start()
        self._log.info("Tunnel through %s to %s:%s.", self._where, *self._aim)

    def _channel(self, client: Any) -> Any:
        import paramiko

        try:
            return client.get_transport().open_channel(
                "direct-tcpip", self._aim, ("127.0.0.1", 0), window_size=_WINDOW, timeout=SECONDS
            )
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise RetryableError(
                f"{self._where[0].upper()}{self._where[1:]} does not reach PostgreSQL at {self._aim[0]}:{self._aim[1]} ({reason_of(error)}); "
                "what was committed is safe: check `host` and `port`, and that it may forward, then run again."
            ) from None

    def _serve(self, listener: socket.socket, client: Any, first: Any) -> None:
        """Take connections until the listener is closed; the first one goes into the channel that is open already."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                channel, first = first or self._channel(client), None
            except RetryableError:
                connection.close()  # libpq says that it was lost, which is tried again
                continue
            for source, sink in ((connection, channel), (channel, connection)):
                threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: Any, sink: Any) -> None:
    """Copy bytes until one end is closed; then both are."""
    with contextlib.suppress(OSError, EOFError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError, EOFError):
            end.shutdown(2)  # of a socket and of a channel
        with contextlib.suppress(OSError, EOFError):
            end.close()
