"""A proxy before PostgreSQL that counts the client's messages and does something about the k-th.

It understands so much of the protocol: where messages begin and end, simple queries (``Q``), COMMIT among them, the
parts of a COPY (``d``), and when the server has answered (``ReadyForQuery`` or ``CopyInResponse``).
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

__all__ = ["Proxy", "SqlFault"]

_STARTUP_KINDS = {196608: "start", 80877102: "cancel", 80877103: "ssl", 80877104: "gss"}


@dataclass
class SqlFault:
    """What is done at the ``at``-th event (from 1) since `Proxy.arm`.

    ``event``: ``query`` (a simple query), ``commit`` (the queries that are COMMIT), ``message`` (any message of the
    client after its start), ``connect`` (a new session), ``answer`` (a piece of what the server says: half of it arrives).
    ``action``: ``cut`` (the message never arrives, the connection is reset), ``swallow`` (it arrives and is done, the
    answer is lost and the connection reset), ``stall`` (nothing passes for ``seconds``, then cut), ``slow`` (nothing
    passes for ``seconds``, then all goes on), ``call`` (``hook`` is called with the server's process id, then the
    message is passed on).
    ``persists``: nobody is let in any more until `Proxy.arm` is called again.
    """

    event: str
    at: int
    action: str
    seconds: float = 0.3
    hook: Callable[[int], None] | None = None
    persists: bool = False

    @property
    def kind(self) -> str:
        return f"{self.event} {self.action}"


class _Cut(Exception):
    """This connection is to be reset now."""


class Proxy:
    """Listens on a port of 127.0.0.1 and passes on to a unix socket. Use as a context manager."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closing = threading.Event()
        self.arm()
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    def uri(self, database: str, password: str) -> str:
        """Return the URI of a database by way of this proxy."""
        port = self._listener.getsockname()[1]
        return (
            f"postgresql://postgres:{quote(password)}@127.0.0.1:{port}/{quote(database)}"
            "?sslmode=disable&gssencmode=disable"
        )

    def arm(self, *faults: SqlFault) -> None:
        """Begin to count anew, with these faults; whoever waits behind a stall is let go first."""
        self._closing.set()
        self._closing = threading.Event()
        with self._lock:
            self._faults = list(faults)
            self.counts = {"query": 0, "commit": 0, "message": 0, "connect": 0, "answer": 0}
            self.struck = 0
            self._is_down = False

    def reset_all(self) -> None:
        """Reset every connection there is."""
        with self._lock:
            sockets = list(self._open)
        for end in sockets:
            _shut(end)

    # --- connections ---------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, _Cut), socket.socket(socket.AF_UNIX) as server:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
                is_down = self._is_down
            try:
                if not is_down:
                    server.connect(self._path)
                    _Connection(self, client, server).run()
            except _Cut:
                # RST instead of FIN: whatever the client has not read yet is lost too.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            finally:
                with self._lock:
                    self._open -= {client, server}

    def fault_at(self, *events: str) -> SqlFault | None:
        """Count these events and return the fault that is due at one of them."""
        with self._lock:
            for event in events:
                self.counts[event] += 1
            for fault in self._faults:
                if fault.event in events and self.counts[fault.event] == fault.at:
                    self.struck += 1
                    self._is_down = self._is_down or fault.persists
                    return fault
        return None

    def pause(self, seconds: float) -> None:
        """Wait, at most until the next `arm`."""
        self._closing.wait(seconds)

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset_all()
        self._thread.join(5)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Connection:
    """One session: whole messages of the client, and whatever the server says."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._from_client = b""
        self._from_server = b""
        self._has_started = False
        self._backend_pid = 0

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._client, select.POLLIN)
        poll.register(self._server, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._server.fileno():
                    data = self._server.recv(1 << 18)
                    if not data:
                        return
                    self._note_backend(data)
                    self._pass_answer(data)
                else:
                    data = self._client.recv(1 << 18)
                    if not data:
                        return
                    self._from_client += data
                    self._pass_messages()

    def _pass_answer(self, data: bytes) -> None:
        """Pass on what the server says; of a piece that meets a fault the first half comes before it."""
        fault = self._proxy.fault_at("answer")
        if fault is not None:
            half = len(data) // 2
            self._client.sendall(data[:half])
            data = data[half:]
            self._do(fault)
        self._client.sendall(data)

    def _pass_messages(self) -> None:
        """Pass on the whole messages that have come; the rest waits for its end."""
        buffer, passed, at = self._from_client, 0, 0
        while True:
            head = 1 if self._has_started else 0
            if len(buffer) < at + head + 4:
                break
            (length,) = struct.unpack_from("!I", buffer, at + head)
            end = at + head + length
            if len(buffer) < end:
                break
            fault = self._fault_of(buffer, at, length)
            if fault is not None:
                self._server.sendall(buffer[passed:at])
                self._strike(fault, buffer[at:end])
                passed = end
            at = end
        self._server.sendall(buffer[passed:at])
        self._from_client = buffer[at:]

    def _fault_of(self, buffer: bytes, at: int, length: int) -> SqlFault | None:
        if not self._has_started:
            (code,) = struct.unpack_from("!I", buffer, at + 4)
            self._has_started = _STARTUP_KINDS.get(code) == "start"
            return self._proxy.fault_at("connect") if self._has_started else None
        if buffer[at : at + 1] != b"Q":
            return self._proxy.fault_at("message")
        is_commit = buffer[at + 5 : at + 1 + length].rstrip(b"\0").strip().upper() == b"COMMIT"
        return self._proxy.fault_at("message", "query", *(["commit"] if is_commit else []))

    def _note_backend(self, data: bytes) -> None:
        """Find BackendKeyData in what the server says first."""
        if self._backend_pid:
            return
        self._from_server += data
        for kind, body in _messages(self._from_server):
            if kind == b"K":
                (self._backend_pid,) = struct.unpack_from("!I", body)
                self._from_server = b""
                return

    def _strike(self, fault: SqlFault, message: bytes) -> None:
        if fault.action == "swallow":
            self._server.sendall(message)
            if message[:1] not in (b"d", b"X"):  # those have no answer
                self._await_answer()
            raise _Cut
        self._do(fault)
        self._server.sendall(message)

    def _do(self, fault: SqlFault) -> None:
        match fault.action:
            case "cut" | "swallow":
                raise _Cut
            case "stall":
                self._proxy.pause(fault.seconds)
                raise _Cut
            case "slow":
                self._proxy.pause(fault.seconds)
            case "call":
                assert fault.hook is not None
                fault.hook(self._backend_pid)

    def _await_answer(self) -> None:
        """Read what the server says until it waits for the client again."""
        answer = b""
        while not any(kind in (b"Z", b"G") for kind, _ in _messages(answer)):
            data = self._server.recv(1 << 18)
            if not data:
                return
            answer += data


def _messages(data: bytes) -> list[tuple[bytes, bytes]]:
    """Take apart the whole messages at the beginning of what a server has said."""
    found, at = [], 0
    while len(data) >= at + 5:
        (length,) = struct.unpack_from("!I", data, at + 1)
        if len(data) < at + 1 + length:
            break
        found.append((data[at : at + 1], data[at + 5 : at + 1 + length]))
        at += 1 + length
    return found


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
