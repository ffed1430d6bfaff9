"""An HTTP API whose every row version is written into a journal, with faults at the k-th response.

Three streams:

* ``orders``: keyed by ``id``, incremental by ``updated_at``; rows are updated between runs; nested.
* ``events``: no key, incremental by ``at``, append only; now and then two rows are equal in every field.
* ``customers``: keyed by ``id``, read as a whole each time; rows are updated between runs.

Every version has a ``seq``, which counts emissions over all streams. The replication keys never go back and repeat
often. With `Source.stirring` rows change between any two answers. A page is what follows a cursor in the order of emission (or, for an unsorted stream, in an order of its own),
so that rows that come while somebody reads are never skipped: what an API has to do for any reader of it.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["FLAWS", "STOPS", "TOKEN", "HttpFault", "Journal", "Source", "Version", "serving"]

TOKEN = "canary-bearer-9d3a77"
"""A canary (I7), and what every request must carry."""

FLAWS: Mapping[str, Mapping[str, str]] = {
    "orders": {"note": json.dumps("long " * 50)},
    "events": {"kind": json.dumps("not a kind \u00a7")},
    "customers": {"name": json.dumps("M\u00c3\u00bcller")},
}
"""Values by which rules set rows aside, by stream and field (`modes.BROKEN`)."""
STOPS = json.dumps("no \u2620 passes")
"""A value of these fields for which a rule ends runs."""

_START = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Version:
    """One row as it was once emitted. ``raw`` is what the API sends, ``fields`` the JSON text of each field."""

    stream: str
    seq: int
    key: Any
    at: str
    """The value of the replication key; for customers when it was emitted."""
    fields: Mapping[str, str]
    raw: bytes
    padding: int
    """How many characters the field `pad` has."""


def instant(text: str) -> datetime:
    """Return the instant of a timestamp of this source."""
    return datetime.fromisoformat(text)


@dataclass
class Journal:
    """All versions ever emitted, in order, by stream."""

    versions: dict[str, list[Version]] = field(
        default_factory=lambda: {"orders": [], "events": [], "customers": []}
    )
    newest: dict[str, dict[Any, Version]] = field(default_factory=lambda: {"orders": {}, "customers": {}})
    by_seq: dict[int, Version] = field(default_factory=dict)

    def add(self, version: Version) -> None:
        self.versions[version.stream].append(version)
        self.by_seq.setdefault(version.seq, version)  # equal events share their seq
        if version.stream != "events":
            self.newest[version.stream][version.key] = version

    def replace(self, version: Version) -> None:
        """Let a row say something else, under the seq and the key that it has."""
        versions = self.versions[version.stream]
        versions[:] = [version if one.seq == version.seq else one for one in versions]
        self.by_seq[version.seq] = version
        if version.stream != "events" and self.newest[version.stream][version.key].seq == version.seq:
            self.newest[version.stream][version.key] = version

    def current(self, stream: str) -> list[Version]:
        """The rows that the API shows now, in the order of their emission."""
        if stream == "events":
            return self.versions["events"]
        return sorted(self.newest[stream].values(), key=lambda version: version.seq)


@dataclass
class HttpFault:
    """What is done to the ``at``-th response (from 1) since `Source.arm`; ``persists``: and to all after it.

    ``kind``: ``status`` (``status`` and ``headers`` say which), ``cut`` (the connection ends in mid-body),
    ``reset`` (before any byte), ``bad_json``, ``html``, ``stall`` (``seconds`` in mid-body, then cut), ``slow``
    (``seconds`` in mid-body, then the rest).
    """

    kind: str
    at: int
    persists: bool = False
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.5


class Source:
    """The API and its journal. Everything it emits follows from ``seed``."""

    def __init__(
        self,
        seed: int | str,
        *,
        page_size: int = 10,
        ties: int = 4,
        is_sorted: bool = True,
        padding: int = 0,
        pad_every: int = 20,
    ) -> None:
        self.journal = Journal()
        self.page_size = page_size
        self.is_sorted = is_sorted
        """Whether `orders` come in the order of their replication key."""
        self.requests = 0
        self.refused = 0
        """Requests without the bearer token."""
        self.struck = 0
        self.flipped = False
        self.fields: list[str] = []
        """Fields that `orders` have got by schema changes."""
        self._random = random.Random(f"source {seed}")
        self._ties = ties
        self._padding = padding
        self._pad_every = pad_every
        self._seq = 0
        self._clock = _START
        self._lock = threading.Lock()
        self._faults: list[HttpFault] = []
        self._closing = threading.Event()
        self._stir_random = random.Random(f"stir {seed}")
        self.stirring = 0
        """Rows that still come in between the answers of the reads to come (M22)."""
        self.signpost = "auto"
        """What bounds the bookmarks of the tap that reads it."""
        self.odd = 0.0
        """Share of rows with a value that is not of the type of its field."""
        self.left_out = 0.0
        """Share of fields that are left out of rows."""
        self.removes = False
        """Whether customers go, and come back, with `remove_customers`."""
        self.stirs_customers = True
        """Whether they change, too, while others read."""
        self._mode_random = random.Random(f"mode {seed}")
        self.flaws = 0.0
        """Share of rows that are to be set aside by a rule of quality."""
        self.flawed: set[int] = set()
        """The seqs of these."""
        self.refused_by_store: set[int] = set()
        """The seqs of rows that the store was made to refuse while such were set aside."""
        self._mended: Version | None = None

    # --- emission ------------------------------------------------------------------------------------------

    def emit(self, orders: int = 30, events: int = 30, customers: int = 5, updates: float = 0.3) -> None:
        """Add so many versions of each stream; ``updates`` is the share of orders and customers that change."""
        rolls = ["orders"] * orders + ["events"] * events + ["customers"] * customers
        self._random.shuffle(rolls)
        with self._lock:
            for stream in rolls:
                self._tick()
                if stream == "events":
                    self._emit_event()
                else:
                    known = list(self.journal.newest[stream])
                    is_update = bool(known) and self._random.random() < updates
                    key = self._random.choice(known) if is_update else self._last_key(stream) + 1
                    self._emit_row(stream, key)

    def _stir(self) -> None:
        """Change a few rows now that an answer has been made: before, behind and at the reading point."""
        roll = self._stir_random
        count = min(self.stirring, roll.choice([0, 0, 1, 2, 5]))
        if count:
            self.stirring -= count
            events, customers = roll.randrange(count + 1), roll.randrange(4) == 0 and self.stirs_customers
            self.emit(count - events, events, int(customers), updates=0.7)

    def change_schema(self) -> str:
        """Give `orders` one more field, or let the newest one hold fractions; return what was done."""
        with self._lock:
            if self.fields and not self.fields[-1].endswith("f") and self._random.random() < 0.5:
                self.fields[-1] += "f"
                return f"{self.fields[-1][:-1]} holds fractions"
            self.fields.append(f"extra_{len(self.fields) + 1}_")
            return f"{self.fields[-1]} appears"

    def drop_field(self) -> str:
        """Let the newest field of `orders` vanish: every row is rewritten without it; return what was done."""
        with self._lock:
            if not self.fields:
                return "no field vanishes"
            name = self.fields.pop()
            for key in list(self.journal.newest["orders"]):
                self._tick()
                self._emit_row("orders", key)
            return f"{name} vanishes"

    def flip(self) -> None:
        """Turn `customers` from one schema to another and, the next time, back: every row is rewritten."""
        with self._lock:
            self.flipped = not self.flipped
            for key in list(self.journal.newest["customers"]):
                self._tick()
                self._emit_row("customers", key)

    def remove_customers(self) -> str:
        """Let one or two customers go, or one come back that was gone; return what was done. The first and the last stay."""
        roll = self._mode_random
        with self._lock:
            here = self.journal.newest["customers"]
            between = sorted(here)[1:-1]
            gone = sorted({version.key for version in self.journal.versions["customers"]} - here.keys())
            if not self.removes or not (between or gone):
                return "no customer goes"
            if gone and (not between or roll.random() < 0.3):
                key = roll.choice(gone)
                self._tick()
                self._emit_row("customers", key)
                return f"customer {key} comes back"
            keys = roll.sample(between, min(len(between), roll.choice([1, 2])))
            for key in keys:
                del here[key]
            return f"customers {keys} go"

    def _last_key(self, stream: str) -> int:
        return max((version.key for version in self.journal.versions[stream]), default=0)

    def _tick(self) -> None:
        if self._random.randrange(self._ties) == 0:
            step = self._random.choice([1, 1, 1000, 999_999, 3_600_000_000, 86_400_000_000])
            self._clock += timedelta(microseconds=step)

    def _emit_event(self) -> None:
        events = self.journal.versions["events"]
        if events and self._random.random() < 0.05 and events[-1].at == self._stamp():
            self.journal.add(events[-1])  # two rows that nobody can tell apart, and both are there
            return
        self._emit_row("events", None)

    def _stamp(self) -> str:
        return self._clock.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def _emit_row(self, stream: str, key: Any) -> None:
        self._seq += 1
        make = {"orders": self._order, "events": self._event, "customers": self._customer}[stream]
        fields, padding = self._spoiled(stream, make(key)), 0
        if self._padding and stream != "customers" and self._seq % self._pad_every == 0:
            padding = self._padding
        raw = _raw(stream, fields, padding)
        self.journal.add(Version(stream, self._seq, key, self._stamp(), fields, raw, padding))

    _FAST = frozenset(
        {"id", "seq", "updated_at", "at", "name", "kind", "note", "address", "customer", "lines", "payload"}
    )
    """Fields that have their type for ever: keys, texts and documents."""
    _ODD = (
        '"N/A"',
        '""',
        "true",
        '"2026-02-30"',
        '[1, "2"]',
        '{"a": 1.50}',
        '"007"',
        "12345678901234567890.10",
        json.dumps('sa y "hi", \\ Größe'),
    )
    _STAYING = frozenset({"id", "seq", "updated_at", "at"})

    def _spoiled(self, stream: str, fields: dict[str, str]) -> dict[str, str]:
        """Give a row a value of another type, and leave fields out, as often as this source does so."""
        roll = self._mode_random
        if self.odd and roll.random() < self.odd:
            name = roll.choice([name for name in fields if name not in self._FAST])
            fields[name] = roll.choice(self._ODD)
        if self.left_out:
            fields = {
                name: text
                for name, text in fields.items()
                if name in self._STAYING or roll.random() >= self.left_out
            }
        if self.flaws and roll.random() < self.flaws:
            fields |= FLAWS[stream]
            self.flawed.add(self._seq)
        return fields

    def spoil(self, seq: int) -> None:
        """Let a row that nobody has read yet break the rule that ends runs, until it is mended."""
        version = self._mended = self.journal.by_seq[seq]
        fields = {**version.fields, **dict.fromkeys(FLAWS[version.stream], STOPS)}
        with self._lock:
            self.journal.replace(
                replace(version, fields=fields, raw=_raw(version.stream, fields, version.padding))
            )

    def mend(self) -> None:
        """Let the row that was spoilt be as it was."""
        assert self._mended is not None
        with self._lock:
            self.journal.replace(self._mended)

    def _order(self, key: int) -> dict[str, str]:
        roll = self._random
        fields = {
            "id": str(key),
            "seq": str(self._seq),
            "updated_at": json.dumps(self._stamp()),
            "total": self._decimal(),
            "big": str(
                roll.choice([0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 + roll.randrange(9), 10**40 + 1])
            ),
            "note": self._text(),
            "is_paid": roll.choice(["true", "false", "null"]),
            "due": json.dumps(
                f"{roll.randrange(1, 9999):04}-{roll.randrange(1, 13):02}-{roll.randrange(1, 29):02}"
            ),
            "customer": self._nested(roll.randrange(3)),
            "lines": "[" + ", ".join(self._line() for _ in range(roll.randrange(4))) + "]",
        }
        for name in self.fields:
            bare = name.removesuffix("f")
            number = roll.randrange(10**6)
            fields[bare] = f"{number}.{roll.randrange(10**9):09}" if name.endswith("f") else str(number)
        return fields

    def _event(self, _key: None) -> dict[str, str]:
        return {
            "seq": str(self._seq),
            "at": json.dumps(self._stamp()),
            "kind": self._text(),
            "amount": self._decimal(),
            "payload": self._nested(2),
        }

    def _customer(self, key: int) -> dict[str, str]:
        roll = self._random
        fields = {
            "id": str(key),
            "seq": str(self._seq),
            "name": self._text(),
            "grade": f"{roll.randrange(9)}.{roll.randrange(99):02}"
            if self.flipped
            else str(roll.randrange(9)),
            "address": self._nested(1),
        }
        if self.flipped:
            fields["badge"] = self._text()
        return fields

    def _decimal(self) -> str:
        roll = self._random
        digits = roll.choice([1, 5, 17, 25, 25, 40])
        whole = str(roll.randrange(10**digits))
        sign = "-" if int(whole) and roll.random() < 0.3 else ""
        return sign + whole + roll.choice(["", ".0", ".10", f".{roll.randrange(10**25):025}"])

    _TEXTS = (
        "null",
        '""',
        '"null"',
        json.dumps("\\N \\. \\\\"),
        json.dumps('say "hi"; DROP TABLE orders; --'),
        json.dumps("zwei\nZeilen\tund\r\nmehr"),
        json.dumps("Größe Žluťoučký 東京 🦀 é e\u0301", ensure_ascii=False),
        json.dumps("Größe 東京 🦀\u2028"),
        json.dumps("a,b,\"c\",'d',%s {x} $1 \x7f\x01"),
        json.dumps("plain"),
    )

    def _text(self) -> str:
        roll = self._random
        return (
            roll.choice(self._TEXTS) if roll.random() < 0.6 else json.dumps(f"text {roll.randrange(10**9)}")
        )

    def _nested(self, depth: int) -> str:
        inner = self._nested(depth - 1) if depth > 0 else self._decimal()
        return f'{{"name": {self._text()}, "deep": {inner}, "list": [1, {self._decimal()}, null, {self._text()}]}}'

    def _line(self) -> str:
        return f'{{"sku": {self._text()}, "qty": {self._random.randrange(99)}, "price": {self._decimal()}}}'

    # --- what a reader is told ------------------------------------------------------------------------------

    def config(self, url: str, **more: Any) -> dict[str, Any]:
        """Return the config of a tap-rest that reads this source as it is now."""
        number = {"type": "number"}
        text = {"type": ["string", "null"]}
        nested = {"type": "object"}
        customer = {
            "id": {"type": "integer"},
            "seq": {"type": "integer"},
            "name": text,
            "grade": number if self.flipped else {"type": "integer"},
            "address": nested,
        }
        if self.flipped:
            customer["badge"] = text
        event = {
            "seq": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            "kind": text,
            "amount": number,
            "payload": nested,
            "pad": {"type": "string"},
        }
        streams: list[dict[str, Any]] = [
            {
                "name": "orders",
                "path": "orders",
                "records": "$.rows[*]",
                "primary_keys": ["id"],
                "replication_key": "updated_at",
                "is_sorted": self.is_sorted,
                "incremental": {"param": "since"},
                "bookmark": {"signpost": self.signpost},
            },  # its schema is inferred, cached, and grows
            {
                "name": "events",
                "path": "events",
                "records": "$.rows[*]",
                "replication_key": "at",
                "is_sorted": True,
                "incremental": {"param": "since"},
                "schema": {"type": "object", "properties": event},
            },
            {
                "name": "customers",
                "path": "customers",
                "records": "$.rows[*]",
                "primary_keys": ["id"],
                "schema": {"type": "object", "properties": customer},
            },
        ]
        return {
            "base_url": url,
            "auth": {"type": "bearer", "token": TOKEN},
            "pagination": {"type": "cursor", "param": "after", "cursor": "$.next"},
            "streams": streams,
            "state_every": self.page_size,
            "retries": {"tries": 3, "first_wait": 0.01, "longest_wait": 0.05, "total": 10},
            "timeout": {"connect": 5, "read": 1, "response": 5},
            **more,
        }

    # --- HTTP ----------------------------------------------------------------------------------------------

    def arm(self, *faults: HttpFault) -> None:
        """Begin to count responses anew, with these faults."""
        with self._lock:
            self._faults = list(faults)
            self.requests = self.struck = 0

    def _fault_now(self) -> HttpFault | None:
        with self._lock:
            self.requests += 1
            for fault in self._faults:
                if self.requests == fault.at or (fault.persists and self.requests > fault.at):
                    self.struck += 1
                    return fault
        return None

    def serve_connection(self, connection: socket.socket) -> None:
        """Answer the requests of one keep-alive connection."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        with connection, contextlib.suppress(OSError):
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = connection.recv(1 << 16)
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                if not self._answer(connection, head.decode("latin-1")):
                    return

    def _answer(self, connection: socket.socket, head: str) -> bool:
        """Answer one request; False when the connection has to end."""
        fault = self._fault_now()
        if fault is not None and fault.kind == "reset":
            _reset(connection)
            return False
        if f"authorization: bearer {TOKEN}" not in head.lower():
            self.refused += 1
            connection.sendall(_response(401, b'{"error": "who are you?"}'))
            return True
        body = self._page(head.split(" ", 2)[1])
        self._stir()
        if fault is None:
            connection.sendall(_response(200, body))
            return True
        if fault.kind == "status":
            connection.sendall(_response(fault.status, b'{"error": "not now"}', fault.headers))
            return True
        if fault.kind == "bad_json":
            connection.sendall(_response(200, body[: len(body) // 2]))
            return True
        if fault.kind == "html":
            connection.sendall(_response(200, b"<html>maintenance</html>"))
            return True
        whole = _response(200, body)
        half = len(whole) - max(1, len(body) // 2)
        connection.sendall(whole[:half])
        if fault.kind in ("stall", "slow"):
            self._closing.wait(fault.seconds)
        if fault.kind == "slow":
            connection.sendall(whole[half:])
            return True
        return False

    def _page(self, target: str) -> bytes:
        parts = urlsplit(target)
        stream, query = parts.path.strip("/"), dict(parse_qsl(parts.query))
        with self._lock:
            rows, position_of = self._order_of(stream)
        begin = position_of[int(query["after"])] if "after" in query else 0
        since = query.get("since")
        floor = None if since is None else instant(since)
        found: list[bytes] = []
        position = begin
        while position < len(rows) and len(found) < self.page_size:
            if floor is None or instant(rows[position].at) >= floor:
                found.append(rows[position].raw)
            position += 1
        more = str(self._cursor_at(stream, rows, position)) if position < len(rows) else "null"
        return b'{"rows": [' + b", ".join(found) + b'], "next": ' + more.encode() + b"}"

    def _cursor_at(self, stream: str, rows: Sequence[Version], position: int) -> int:
        # The cursor names the last version passed, not a number of rows: those before it may move on meanwhile.
        # Equal events have one seq, so theirs is their place, which never changes.
        return position if stream == "events" else rows[position - 1].seq

    def _order_of(self, stream: str) -> tuple[list[Version], Mapping[int, int]]:
        rows = self.journal.current(stream)
        if stream == "events":
            return rows, _Same()
        if stream == "orders" and not self.is_sorted:
            rows = sorted(rows, key=lambda version: _scatter(version.key))
            places = {_scatter(version.key): place for place, version in enumerate(rows)}
            return rows, _After(self.journal, places)
        return rows, _AfterSeq([version.seq for version in rows])

    def close(self) -> None:
        self._closing.set()


class _Same(dict[int, int]):
    def __missing__(self, key: int) -> int:
        return key


class _AfterSeq(dict[int, int]):
    """Where to go on after a seq, which may have moved to the end since."""

    def __init__(self, seqs: list[int]) -> None:
        self._seqs = seqs

    def __missing__(self, seq: int) -> int:
        return sum(1 for other in self._seqs if other <= seq)


class _After(dict[int, int]):
    """Where to go on after a row of an unsorted stream, whose place depends on its key alone."""

    def __init__(self, journal: Journal, places: Mapping[int, int]) -> None:
        self._journal = journal
        self._places = places

    def __missing__(self, seq: int) -> int:
        return self._places[_scatter(self._journal.by_seq[seq].key)] + 1


def _raw(stream: str, fields: Mapping[str, str], padding: int) -> bytes:
    """Return a row as the API sends it."""
    raw = ", ".join(f"{json.dumps(name)}: {text}" for name, text in fields.items())
    if stream != "customers":
        raw += f', "pad": "{"x" * padding}"'
    return ("{" + raw + "}").encode()


def _scatter(key: int) -> int:
    return key * 2654435761 % 2**32


def _response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _reset(connection: socket.socket) -> None:
    """End a connection with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accept connections on a port of 127.0.0.1, a thread for each, and yield the URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
