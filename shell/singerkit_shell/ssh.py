"""A login at an SSH server whose key has to be known: its settings, and how it is made (paramiko, the extra `ssh`)."""

from __future__ import annotations

import base64
import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from singerkit_shell.errors import ConfigurationError, NotAuthorisedError, RetryableError

__all__ = ["LOGIN", "SECONDS", "logged_in", "login_problem", "reason_of"]

_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
_NAME: Mapping[str, Any] = {**_TEXT, "secret": False}

LOGIN: Mapping[str, Any] = {
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
}
"""The settings of a login, beside `host` and `port`."""

SECONDS = 15.0
"""Of a connection, of the server's greeting, and of the login."""


def login_problem(given: Mapping[str, Any], section: str) -> str | None:
    """Return what is wrong with the settings of a login, which stand in ``section`` of a config."""
    if given.get("private_key_password") and not given.get("private_key"):
        return f"`{section}.private_key_password` has no effect without `private_key`; remove it"
    key = given.get("host_key")
    return (
        None
        if key is None or _public_key(key)
        else f"Expected a kind and a key in base64 at `{section}.host_key`"
    )


def logged_in(given: Mapping[str, Any], section: str, seconds: float = SECONDS) -> Any:
    """Return a client of paramiko that has logged in at `host`, `port` as ``given``; ``section`` is where the config says it.

    Raises:
        ConfigurationError: the server's key is not known, or is another one; a key of ours is none.
        NotAuthorisedError: the login was refused.
        RetryableError: the server cannot be reached.
    """
    import paramiko

    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it prints tracebacks
    where = f"the SSH server {given['host']}:{given.get('port', 22)}"
    client = paramiko.SSHClient()
    _learn_keys(client, given, section, where)
    key = given.get("private_key")
    own = not key and not given.get("password")
    try:
        client.connect(
            given["host"],
            given.get("port", 22),
            given["username"],
            password=given.get("password"),
            pkey=_private_key(key, given.get("private_key_password"), section) if key else None,
            timeout=seconds,
            banner_timeout=seconds,
            auth_timeout=seconds,
            allow_agent=own,
            look_for_keys=own,
        )
    except BaseException as error:
        client.close()
        raise _failure(error, given, section, where) from None
    client.get_transport().set_keepalive(30)
    return client


def reason_of(error: BaseException) -> str:
    """Return the first line of an error, or its kind where it says nothing."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _failure(error: BaseException, given: Mapping[str, Any], section: str, where: str) -> BaseException:
    import paramiko

    if isinstance(error, paramiko.BadHostKeyException):
        return ConfigurationError(
            f"The key of {where} is another one than is known for it ({_fingerprint(error.key)}): somebody may stand between; "
            f"nothing was sent: ask who runs it, and correct `{section}.host_key` or the file `known_hosts`."
        )
    if isinstance(error, paramiko.AuthenticationException):
        return NotAuthorisedError(
            f"The login at {where} as `{given['username']}` was refused; nothing is lost: check `{section}.username`, "
            "`private_key` and `password`."
        )
    if isinstance(error, OSError | paramiko.SSHException | EOFError):
        return RetryableError(
            f"There is no connection to {where} ({reason_of(error)}); what was committed is safe: check that it runs, then run again."
        )
    return error


def _learn_keys(client: Any, given: Mapping[str, Any], section: str, where: str) -> None:
    class Refusing:
        """What paramiko asks about a key that it does not know."""

        def missing_host_key(self, _client: Any, _hostname: str, key: Any) -> NoReturn:
            raise ConfigurationError(
                f"The key of {where} is not known ({_fingerprint(key)}), so that anybody may answer in its place; nothing was sent: "
                f"compare it with the server's, then write `{key.get_name()} {key.get_base64()}` at `{section}.host_key`, or put it "
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


def _private_key(given: str, password: str | None, section: str) -> Any:
    import paramiko

    text = given
    if "PRIVATE KEY-----" not in given:
        try:
            text = Path(given).expanduser().read_text("utf-8")
        except (OSError, ValueError):
            raise ConfigurationError(
                f"The file at `{section}.private_key` cannot be read; nothing was sent: check the path."
            ) from None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text.replace("\\n", "\n")), password)
        except paramiko.PasswordRequiredException:
            raise ConfigurationError(
                f"The key at `{section}.private_key` is encrypted; nothing was sent: give `{section}.private_key_password`."
            ) from None
        except (paramiko.SSHException, ValueError, IndexError, TypeError):
            continue
    raise ConfigurationError(
        f"Expected a private key of the kind Ed25519, ECDSA or RSA at `{section}.private_key`, which `private_key_password` opens, got "
        "something else; nothing was sent: correct it."
    )


def _public_key(text: str) -> tuple[str, Any] | None:
    import paramiko

    words = text.split()
    try:
        return words[0], paramiko.PKey.from_type_string(words[0], base64.b64decode(words[1], validate=True))
    except (ValueError, IndexError, paramiko.SSHException):
        return None


def _fingerprint(key: Any) -> str:
    return f"{key.get_name()} {key.fingerprint}"
