"""What a small server after a public API's documentation is made of: rows that change, a clock, a way to refuse.

A `Remote` is one API of `taps/tap_rest/ready`. Its routes answer as the documentation that it names says, and refuse
what that forbids, so that a config which asks otherwise fails. Several hosts of an API are one server here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from taps.rest.api_server import Asked, Reply, Route, json_reply

__all__ = [
    "REMOTES",
    "Clock",
    "Refused",
    "Remote",
    "Rows",
    "bearer",
    "epoch",
    "has_only",
    "iso",
    "numbered",
    "only",
]


class Refused(Exception):
    """The request is none that the documentation knows: its status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch(moment: datetime) -> int:
    return int(moment.timestamp())


@dataclass
class Rows:
    """Rows by their id, each with the moment of its last change."""

    clock: Clock
    made: dict[int, datetime] = field(default_factory=dict)
    changed: dict[int, datetime] = field(default_factory=dict)

    def put(self, *numbers: int) -> None:
        """Create rows, or change those that are there."""
        for number in numbers:
            moment = self.clock.tick()
            self.made.setdefault(number, moment)
            self.changed[number] = moment

    def by_change(self, since: datetime | None = None) -> list[int]:
        """Return the ids of those changed at ``since`` or later, the one changed first in front."""
        found = [number for number, moment in self.changed.items() if since is None or moment >= since]
        return sorted(found, key=lambda number: (self.changed[number], number))


@dataclass
class Clock:
    """A step for each change, up to some time before today, so that no margin of a bookmark matters."""

    step: timedelta
    now: datetime

    def tick(self) -> datetime:
        self.now += self.step
        return self.now


class Remote:
    """One API. ``env`` is what its config asks for; ``tables`` has a `Rows` for each stream."""

    name: ClassVar[str]
    env: ClassVar[Mapping[str, str]]
    streams: ClassVar[tuple[str, ...]]
    changes_rows: ClassVar[bool] = True
    """Whether rows change at all: events and the like do not."""

    first_load: ClassVar[int] = 230
    """Rows at first: more than two pages."""
    step: ClassVar[timedelta] = timedelta(minutes=1)
    """From one change to the next."""
    asked_again: ClassVar[int] = 0
    """Rows that a `lookback` may send once more."""
    most_requests: ClassVar[int] = 8
    """That a run with few changes and one without any make, together."""

    def __init_subclass__(cls) -> None:
        REMOTES[cls.name] = cls

    def __init__(self) -> None:
        changes = (self.first_load + 10) * len(self.streams)
        today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self.clock = Clock(self.step, today - timedelta(days=2) - changes * self.step)
        self.url = ""
        self.tables = {stream: Rows(self.clock) for stream in self.streams}
        for rows in self.tables.values():
            rows.put(*range(1, self.first_load + 1))

    def record(self, stream: str, number: int) -> dict[str, Any]:
        """Return the row as the API shows it."""
        raise NotImplementedError

    def routes(self) -> Mapping[str, Route]:
        """Return what answers at which path."""
        raise NotImplementedError

    def checked(self, route: Route) -> Route:
        """Return ``route`` behind the rules that hold for each request."""

        def answer(asked: Asked) -> Reply:
            try:
                self.check(asked)
                return route(asked)
            except Refused as refused:
                return self.refusal(refused)
            except (KeyError, TypeError, ValueError) as missing:
                return self.refusal(Refused(400, f"invalid request: {missing}"))

        return answer

    def check(self, asked: Asked) -> None:
        """Raise `Refused` if the credentials or headers are not those that the documentation asks for."""
        raise NotImplementedError

    def refusal(self, refused: Refused) -> Reply:
        return json_reply({"message": str(refused)}, refused.status)

    def change(self) -> dict[str, set[int]]:
        """Let rows come and, where they do, change; return which, by stream."""
        came = {}
        for stream, rows in self.tables.items():
            numbers = {2, 5} if self.changes_rows else set()
            numbers |= {len(rows.changed) + 1, len(rows.changed) + 2}
            rows.put(*sorted(numbers))
            came[stream] = numbers
        return came


def only(asked: Asked, *names: str) -> None:
    """Raise `Refused` for a parameter that the documentation of this request does not know."""
    for name in asked.query:
        if name not in names:
            raise Refused(400, f"unknown parameter {name}")


def has_only(body: Mapping[str, Any], *names: str) -> None:
    """Raise `Refused` for a member that the documentation of this body does not know."""
    for name in body:
        if name not in names:
            raise Refused(400, f"unknown member {name}")


def bearer(asked: Asked, token: str) -> None:
    if asked.headers.get("Authorization") != f"Bearer {token}":
        raise Refused(401, "Bad credentials")


def numbered(asked: Asked, rows: Sequence[Any], most: int) -> tuple[Sequence[Any], int | None]:
    """Return the page that `page` and `per_page` ask for, and the number of the next one, if there is one."""
    size = min(int(asked.param("per_page") or 30), most)
    page = int(asked.param("page") or 1)
    following = page + 1 if page * size < len(rows) else None
    return rows[(page - 1) * size : page * size], following


REMOTES: dict[str, type[Remote]] = {}
