"""The HTTP connections under requests: addresses checked before connecting, a deadline for the whole answer.

urllib3's timeouts count from byte to byte, so a server that sends one byte a second is never too slow for
them. Here a watchdog thread shuts the socket down when the deadline has passed or a signal asks for a
stop; the blocked read then ends at once, whatever layer it is in.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from singerkit_shell.guarded import guarded_socket
from singerkit_shell.reach import Network, origin_of
from singerkit_shell.signals import stop_flag
from tap_rest.http.exchange import Answer, Exchange
from tap_rest.http.heads import FinalResponse

__all__ = ["GuardedAdapter", "Watchdog"]

_LOOK_EVERY = 0.25  # seconds between two looks at the stop flag


class Watchdog:
    """One thread that ends the request under way when its time is over. One request at a time.

    ``patience``: seconds that it may still take after a signal.
    """

    def __init__(self, patience: float = 0) -> None:
        self._patience = patience
        self.connection: HTTPConnection | None = None
        self.has_expired = False
        self._deadline: float | None = None
        self._lock = threading.Lock()
        self._is_closed: threading.Event | None = None

    @contextlib.contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Give the requests made inside ``seconds`` from now until the block is left."""
        with self._lock:
            self.connection, self.has_expired = None, False
            self._deadline = time.monotonic() + seconds
            if self._is_closed is None:
                self._is_closed = threading.Event()
                threading.Thread(
                    target=self._watch, args=(self._is_closed,), name="deadline", daemon=True
                ).start()
        try:
            yield
        finally:
            self._end()

    def close(self) -> None:
        """End the thread; another request starts one again."""
        with self._lock:
            if self._is_closed is not None:
                self._is_closed.set()
            self._is_closed = None

    def _end(self) -> None:
        with self._lock:
            connection = self.connection
            self._deadline, self.connection = None, None
        if connection is not None and connection.sock is None:
            connection.close()  # it is closed, and its `line` was left open to end the answer by

    def _watch(self, is_closed: threading.Event) -> None:
        # The thread looks a few times a second instead of being woken for each request: a request then costs
        # two uncontended locks and no switch of threads.
        stopped_at: float | None = None
        while not is_closed.wait(_LOOK_EVERY):
            if stop_flag and stopped_at is None:
                stopped_at = time.monotonic()
            with self._lock:
                if self._deadline is None:
                    continue
                now = time.monotonic()
                if now > self._deadline:
                    self.has_expired = True
                if self.has_expired or (stopped_at is not None and now >= stopped_at + self._patience):
                    _shut_down(self.connection)


def _shut_down(connection: HTTPConnection | None) -> None:
    line: socket.socket | None = getattr(connection, "line", None)
    if line is not None:
        with contextlib.suppress(OSError):  # already closed by the other side
            line.shutdown(socket.SHUT_RDWR)


class GuardedAdapter(HTTPAdapter):
    """requests' transport with our connection classes; ``key_password`` is that of the private key of a client."""

    def __init__(
        self, watchdog: Watchdog, allowed: Sequence[Network], key_password: str | None = None
    ) -> None:
        self._key_password, self._watchdog = key_password, watchdog
        self._pools = _guarded_pools(watchdog, allowed)
        self._proxied_pools = _guarded_pools(watchdog, None)
        self._last_pool: tuple[Any, Any] = (None, None)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        # The address of a proxy is the user's own choice; the name of the API is resolved by the proxy.
        manager.pool_classes_by_scheme = self._proxied_pools
        return manager

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool of an origin, which for the next page is that of the page before."""
        asked = (origin_of(request.url), verify, proxies, cert)
        if self._last_pool[0] != asked:
            pool = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            # The authorities of requests, where none are named.
            self.cert_verify(pool, request.url, verify, cert)  # type: ignore[no-untyped-call]  # it has no types
            self._last_pool = asked, pool
        return self._last_pool[1]

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Return what a pool is made of, with the password of the client's key, which requests does not know of."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if cert and self._key_password is not None:
            pool["key_password"] = self._key_password  # type: ignore[typeddict-unknown-key]  # urllib3 has it
        return host, pool

    def close(self) -> None:
        super().close()
        self._last_pool = None, None

    def exchange(
        self,
        request: requests.PreparedRequest,
        timeouts: tuple[float, float],
        verify: Any,
        cert: Any,
        proxies: Any,
    ) -> Exchange | _Proxied:
        """Return what sends a request, and gives its answer to whoever enters it."""
        if proxies and select_proxy(str(request.url), proxies):
            return _Proxied(self, request, timeouts, verify, cert, proxies)
        pool = self.get_connection_with_tls_context(request, verify, cert=cert)
        return Exchange(pool, request, timeouts, self._watchdog)


class _Proxied:
    """The same over a proxy, by requests: what is said to a proxy depends on its kind."""

    def __init__(
        self, adapter: GuardedAdapter, request: Any, timeouts: Any, verify: Any, cert: Any, proxies: Any
    ) -> None:
        self._send = partial(
            adapter.send, request, stream=True, timeout=timeouts, verify=verify, cert=cert, proxies=proxies
        )
        self._response: Any = None

    def __enter__(self) -> Answer:
        self._response = self._send()
        return _OfProxy(self._response.raw)

    def __exit__(self, *_: object) -> None:
        self._response.close()


class _OfProxy(Answer):
    """An answer as urllib3 gives it."""

    def __init__(self, raw: Any) -> None:
        super().__init__(raw._original_response)
        self._raw = raw

    def read(self, size: int) -> bytes:
        return bytes(self._raw.read(size, decode_content=False))


def _guarded_pools(watchdog: Watchdog, allowed: Sequence[Network] | None) -> dict[str, Any]:
    """Return urllib3 pool classes whose connections tell the watchdog and check addresses."""

    class Plain(HTTPConnection):
        # The same connection as `sock`, which is of no use while TLS takes it over.
        line: socket.socket | None = None
        response_class = FinalResponse

        def _new_conn(self) -> socket.socket:
            # Names are looked up in C, where no signal is heard.
            sock = stop_flag.waiting_for(
                lambda: guarded_socket(self, allowed),
                "no connection was there yet, the state printed so far is valid.",
            )
            self._forget_line()
            self.line = sock.dup()
            return sock

        def close(self) -> None:
            super().close()
            # A connection whose answer goes on until its end is closed before the body of that is read.
            if watchdog.connection is not self:
                self._forget_line()

        def _forget_line(self) -> None:
            if self.line is not None:
                self.line.close()
                self.line = None

        def connect(self) -> None:
            watchdog.connection = self
            super().connect()

        def request(self, *args: Any, **kwargs: Any) -> None:
            watchdog.connection = self
            super().request(*args, **kwargs)

    class Secure(Plain, HTTPSConnection):  # `super()` in Plain is HTTPSConnection here
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
