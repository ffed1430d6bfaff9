"""A tunnel through an SSH server, whose key has to be known, for connections to a PostgreSQL that only it can reach."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from singerkit_shell.errors import ConfigurationError, NotAuthorisedError, RetryableError
from singerkit_shell.signals import stop_flag

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
        "username": {**_NAME, "description": "User to log in as."},
        "password": {**_TEXT, "secret": True, "description": "Password of that user, where it has no key."},
        "private_key": {
            **_TEXT,
            "secret": True,
            "description": "Private key, as text or as the path of its file. Without it and `password`: those of `~/.ssh` and of an agent.",
        },
        "private_key_password": {**_TEXT, "secret": True, "description": "Password of the private key."},
        "host_key": {
            **_NAME,
            "description": "The server's public key, as in `ssh-ed25519 AAAA...`, in the place of `known_hosts`.",
        },
        "known_hosts": {
            **_NAME,
            "default": "~/.ssh/known_hosts",
            "description": "File with the keys of servers, as `ssh` keeps it. A server that is not in it is refused.",
        },
    },
}

_SECONDS = 15.0
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
    if given.get("private_key_password") and not given.get("private_key"):
        return "`ssh_tunnel.private_key_password` has no effect without `private_key`; remove it"
    try:
        import paramiko  # noqa: F401
    except ImportError:
        return "`ssh_tunnel` needs the package paramiko, which is not installed here: run `pip install 'singerkit[ssh]'`"
    key = given.get("host_key")
    return (
        None
        if key is None or _public_key(key)
        else "Expected a kind and a key in base64 at `ssh_tunnel.host_key`"
    )


class Tunnel:
    """Opened at the first connection, and again when it is lost; ``dsn`` is where PostgreSQL is to the SSH server."""

    def __init__(self, given: Mapping[str, Any], dsn: str, log: logging.Logger) -> None:
        from psycopg2.extensions import parse_dsn

        self._given, self._dsn, self._log = given, dsn, log
        parts = parse_dsn(dsn)
        self._aim = (parts["host"], int(parts.get("port", 5432)))
        self._client: Any = None
        self._listener: socket.socket | None = None
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it prints tracebacks

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
        client = self._logged_in()
        try:
            first = self._channel(client)
        except BaseException:
            client.close()
            raise
        self._client = client
        self._listener = listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, args=(listener, client, first), daemon=True).start()
        self._log.info("Tunnel through %s to %s:%s.", self._where, *self._aim)

    def _logged_in(self) -> Any:
        import paramiko

        given = self._given
        client = paramiko.SSHClient()
        self._learn_keys(client)
        key = given.get("private_key")
        own = not key and not given.get("password")
        try:
            client.connect(
                given["host"],
                given.get("port", 22),
                given["username"],
                password=given.get("password"),
                pkey=_private_key(key, given.get("private_key_password")) if key else None,
                timeout=_SECONDS,
                banner_timeout=_SECONDS,
                auth_timeout=_SECONDS,
                allow_agent=own,
                look_for_keys=own,
            )
        except ConfigurationError:
            raise
        except paramiko.BadHostKeyException as error:
            raise ConfigurationError(
                f"The key of {self._where} is another one than is known for it ({_fingerprint(error.key)}): somebody may stand between; "
                "nothing was sent: ask who runs it, and correct `ssh_tunnel.host_key` or the file `known_hosts`."
            ) from None
        except paramiko.AuthenticationException:
            raise NotAuthorisedError(
                f"The login at {self._where} as `{given['username']}` was refused; nothing is lost: check `ssh_tunnel.username`, "
                "`private_key` and `password`."
            ) from None
        except (OSError, paramiko.SSHException, EOFError) as error:
            raise RetryableError(
                f"There is no connection to {self._where} ({_reason(error)}); what was committed is safe: check that it runs, then run again."
            ) from None
        client.get_transport().set_keepalive(30)
        return client

    def _learn_keys(self, client: Any) -> None:
        given, where = self._given, self._where

        class Refusing:
            """What paramiko asks about a key that it does not know."""

            def missing_host_key(self, _client: Any, _hostname: str, key: Any) -> NoReturn:
                raise ConfigurationError(
                    f"The key of {where} is not known ({_fingerprint(key)}), so that anybody may answer in its place; nothing was sent: "
                    f"compare it with the server's, then write `{key.get_name()} {key.get_base64()}` at `ssh_tunnel.host_key`, or put it "
                    f"into {given.get('known_hosts', '~/.ssh/known_hosts')}."
                )

        client.set_missing_host_key_policy(Refusing())
        port = given.get("port", 22)
        name = given["host"] if port == 22 else f"[{given['host']}]:{port}"
        if given.get("host_key"):
            kind, key = _public_key(given["host_key"]) or ("", None)
            client.get_host_keys().add(name, kind, key)
            return
        path = os.path.expanduser(given.get("known_hosts", "~/.ssh/known_hosts"))
        if os.path.exists(path):
            client.load_host_keys(path)

    def _channel(self, client: Any) -> Any:
        import paramiko

        try:
            return client.get_transport().open_channel(
                "direct-tcpip", self._aim, ("127.0.0.1", 0), window_size=_WINDOW, timeout=_SECONDS
            )
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise RetryableError(
                f"{self._where[0].upper()}{self._where[1:]} does not reach PostgreSQL at {self._aim[0]}:{self._aim[1]} ({_reason(error)}); "
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


def _private_key(given: str, password: str | None) -> Any:
    import paramiko

    text = given
    if "PRIVATE KEY-----" not in given:
        try:
            text = Path(given).expanduser().read_text("utf-8")
        except (OSError, ValueError):
            raise ConfigurationError(
                "The file at `ssh_tunnel.private_key` cannot be read; nothing was sent: check the path."
            ) from None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text.replace("\\n", "\n")), password)
        except paramiko.PasswordRequiredException:
            raise ConfigurationError(
                "The key at `ssh_tunnel.private_key` is encrypted; nothing was sent: give `ssh_tunnel.private_key_password`."
            ) from None
        except (paramiko.SSHException, ValueError, IndexError, TypeError):
            continue
    raise ConfigurationError(
        "Expected a private key of the kind Ed25519, ECDSA or RSA at `ssh_tunnel.private_key`, which `private_key_password` opens, got "
        "something else; nothing was sent: correct it."
    )


def _public_key(text: str) -> tuple[str, Any] | None:
    import base64

    import paramiko

    words = text.split()
    try:
        return words[0], paramiko.PKey.from_type_string(words[0], base64.b64decode(words[1], validate=True))
    except (ValueError, IndexError, paramiko.SSHException):
        return None


def _fingerprint(key: Any) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
