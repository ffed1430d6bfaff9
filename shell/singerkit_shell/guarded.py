"""Connections for requests and urllib3 to addresses that were looked at: the one that is connected to is the one that was allowed."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import connection as urllib3_sockets

from singerkit_shell.reach import Network, check_address

__all__ = ["guarded_socket"]


def guarded_socket(connection: HTTPConnection, allowed: Sequence[Network] | None) -> socket.socket:
    """Resolve once, check every address (unless ``allowed`` is None), and connect to the first that answers.

    Raises:
        ConfigurationError: an address of the name is refused.
        NameResolutionError, ConnectTimeoutError, NewConnectionError: as urllib3's own `_new_conn`.
    """
    try:
        found = socket.getaddrinfo(connection.host.strip("[]"), connection.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        failure = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
        raise NameResolutionError(connection.host, connection, failure) from error
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    for address in addresses if allowed is not None else ():
        check_address(address, connection.host, allowed or ())
    failures: list[OSError] = []
    for address in addresses:
        try:
            return urllib3_sockets.create_connection(
                (address, connection.port), connection.timeout, socket_options=connection.socket_options
            )
        except OSError as error:
            failures.append(error)
    if all(isinstance(failure, TimeoutError) for failure in failures):
        raise ConnectTimeoutError(connection, f"no answer from {connection.host}")
    raise NewConnectionError(connection, f"{failures[-1]}") from failures[-1]
