"""A small TCP proxy before PostgreSQL that can lose a COMMIT or the answer to it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from psycopg2.extensions import parse_dsn

__all__ = ["Proxy", "proxied"]

_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""How libpq sends it: a simple query of this text."""


class Proxy:
    """Passes bytes on until the first COMMIT after a COPY, which it loses: ``before`` or ``after`` the server saw it.

    ``once`` lets later connections through untouched; else nobody is let in again.
    """

    def __init__(self, database: str, lose: str, *, once: bool) -> None:
        self._upstream = parse_dsn(database)
        self._lose = lose
        self._once = once
        self.lost = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []

    @property
    def uri(self) -> str:
        """The database's URI by way of this proxy."""
        port = self._listener.getsockname()[1]
        user = quote(self._upstream.get("user", ""), safe="")
        password = self._upstream.get("password")
        who = user + (":" + quote(password, safe="") if password else "")
        return f"postgresql://{who}@127.0.0.1:{port}/{self._upstream['dbname']}?sslmode=disable"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            if self.lost.is_set() and not self._once:
                client.close()
                continue
            server = self._connect()
            self._sockets += [client, server]
            stop = threading.Event()
            for one, other, watch in ((client, server, not self.lost.is_set()), (server, client, False)):
                threading.Thread(target=self._pass, args=(one, other, stop, watch), daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = self._upstream.get("host", "localhost"), self._upstream.get("port", "5432")
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _pass(self, one: socket.socket, other: socket.socket, stop: threading.Event, watch: bool) -> None:
        seen_copy = False
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                seen_copy = seen_copy or b"COPY " in data
                if watch and seen_copy and data.endswith(_COMMIT):
                    self._lose_commit(one, other, data, stop)
                    return
                if stop.is_set():
                    continue  # what the server says now is lost
                other.sendall(data)
        stop.set()
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _lose_commit(
        self, client: socket.socket, server: socket.socket, data: bytes, stop: threading.Event
    ) -> None:
        self.lost.set()
        stop.set()  # from here on the client hears nothing, and then its connection is gone
        if self._lose == "after":
            # The server ends the session once it has committed, and that ends the client's.
            server.sendall(data + b"X\x00\x00\x00\x04")
            return
        client.shutdown(socket.SHUT_WR)
        server.shutdown(socket.SHUT_WR)
        client.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        for end in self._sockets:
            end.close()


@contextmanager
def proxied(database: str, lose: str, *, once: bool = True) -> Iterator[Proxy]:
    """Run a proxy before ``database``; ``lose`` the COMMIT ``before`` or its answer ``after`` it took place."""
    proxy = Proxy(database, lose, once=once)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(5)
