"""Where windows begin and end, on the scale of a replication key: points in time, or numbers.

Windows follow each other without a gap and without an overlap: each has what is at or above its beginning and below its end,
which is the beginning of the next one. What is asked for may be more, since a format cuts off what it cannot express, and the
end of a request may be inclusive; so a bound is what stands in the request, read back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Protocol

from singerkit_state.instants import is_date, iso_like, iso_of, pattern_instant
from singerkit_state.order import Value, ValueKind, instant_of, order_key, starting_value
from tap_rest.incremental import written
from tap_rest.settings.incremental import Incremental
from tap_rest.windows.durations import Duration, duration_of

__all__ = ["Bound", "Numbers", "Scale", "Times", "Window", "number_of"]

_DIGITS = {"epoch": 0, "epoch_ms": 3, "epoch_us": 6, "epoch_ns": 9}
_PARTS = (1024, 256, 64, 16, 4, 2)
_UNITS = (1, 60, 3600, 86400, 31 * 86400, 366 * 86400)
"""Steps, in seconds, of which one leads from each point in time to another that a format can tell from it."""

Place = int | Decimal


@dataclass(frozen=True, slots=True)
class Bound:
    """A value at which a window begins or ends, its place on the scale (Unix seconds, or the number), and how it is asked for."""

    value: Value
    place: Place
    asked: Value


@dataclass(frozen=True, slots=True)
class Window:
    """What is at or above ``begin`` and below ``end``; ``until`` is what is asked for as the end."""

    begin: Bound
    end: Bound
    until: Bound

    @property
    def wanted(self) -> dict[str, Value]:
        """What is asked for, see `composing.Composer`."""
        return {"bookmark": self.begin.asked, "until": self.until.asked}


class Scale(Protocol):
    """What windows are measured on."""

    first: Bound

    def around(self, value: Value) -> Window:
        """Return a window, as short as can be, in which a value lies."""
        ...

    def seam(self, window: Window) -> Window:
        """Return a window, as short as can be, in which the end of another one lies, and what is just before it."""
        ...

    def half(self, window: Window) -> Window | None:
        """Return the first half of a window, about; None: none that is shorter can be asked for."""
        ...


class Times:
    """Points in time: places are Unix seconds."""

    def __init__(self, settings: Incremental, kind: ValueKind, first: Value) -> None:
        """``first``: the value at which the read begins.

        Raises:
            UnorderableError: it is no point in time.
        """
        self._settings, self._kind, self._look = settings, kind, first
        asked = written(settings, first, kind)
        self.first = Bound(first, self._place_of(first, asked), asked)

    @cached_property
    def _window(self) -> Duration | None:
        window = self._settings.window
        return duration_of(window) if isinstance(window, str) else None

    @cached_property
    def _has_hours(self) -> bool:
        lengths = (self._settings.window, self._settings.shard_window)
        return any(duration_of(one).seconds for one in lengths if isinstance(one, str))

    @cached_property
    def _granularity(self) -> Duration | None:
        said = self._settings.granularity
        return duration_of(said) if isinstance(said, str) else None

    def at(self, seconds: int) -> Bound:
        """Return the last bound at or below a point in time."""
        if self._granularity is not None:
            seconds = self._granularity.begin(seconds, self._kind.zone)
        value = self._value(seconds)
        asked = written(self._settings, value, self._kind)
        back = self._place_of(value, asked)
        return Bound(self._value(back), back, asked)

    def after(self, bound: Bound, limit: int) -> Bound | None:
        """Return the bound one window further, or the one at ``limit``; None: nothing at or below that is further."""
        last, place = self.at(limit), int(bound.place)
        while self._window is not None:
            try:
                place = self._window.after(place, self._kind.zone)
            except (OverflowError, ValueError, OSError):
                break
            if place >= last.place:
                break
            found = self.at(place)
            if found.place > bound.place:
                return found
        return last if last.place > bound.place else None

    def fewest_windows(self, last: Place) -> int:
        """Return how many windows there are at least up to a place, without counting them one by one."""
        return 1 if self._window is None else int(last - self.first.place) // self._window.at_most

    def window(self, begin: Bound, end: Bound) -> Window:
        """Return the window between two bounds."""
        if self._granularity is None:
            return Window(begin, end, end)
        return Window(begin, end, self.at(self._granularity.before(int(end.place), self._kind.zone)))

    def last_window(self, begin: Bound, end: int, *, is_hard: bool) -> Window:
        """Return the window from ``begin`` to the end of the read; ``is_hard``: nothing at or above it is wanted."""
        bound = self.at(end)
        if bound.place < end and (is_hard or self._settings.until == "exclusive"):
            bound = self._above(bound.place, end)
        if bound.place < begin.place:
            bound = begin
        if is_hard and self._granularity is not None:
            return self.window(begin, bound)
        return Window(begin, bound, bound)

    def around(self, value: Value) -> Window:
        """Return a window, as short as can be, in which a point in time lies."""
        seconds = instant_of(value, self._kind)[0]
        begin = self.at(seconds)
        return self.window(begin, self._above(begin.place, seconds + 1))

    def seam(self, window: Window) -> Window:
        """Return what lies around the end of a window: its last day or second, and what the next one begins with."""
        end = window.end
        begin = window.until if self._granularity is not None else self.at(int(end.place) - 1)
        return Window(
            begin, end, end if self._granularity is not None else self._above(end.place, int(end.place) + 1)
        )

    def half(self, window: Window) -> Window | None:
        """Return the first half of a window, about."""
        begin, end = int(window.begin.place), int(window.end.place)
        middle = self.at((begin + end) // 2)
        if middle.place <= begin:
            middle = self._above(begin, begin + 1)
        return self.window(window.begin, middle) if middle.place < end else None

    def ends_of(self, window: Window) -> Iterator[Window]:
        """Yield parts of a window that all end where it does, from a short one on up to nearly all of it."""
        begin, end = int(window.begin.place), int(window.end.place)
        lengths = [(end - begin) // part for part in _PARTS]
        for place in (*(end - length for length in lengths), *(begin + length for length in lengths[::-1])):
            bound = self.at(place)
            if begin < bound.place < end:
                yield Window(bound, window.end, window.until)

    def _above(self, place: Place, seconds: int) -> Bound:
        """Return the first bound, about, at or above ``seconds``, and above ``place``."""
        bounds = (self.at(seconds + unit) for unit in (0, *_UNITS))
        return next(bound for bound in bounds if bound.place >= seconds and bound.place > place)

    def _value(self, seconds: int) -> Value:
        """Return a point in time as a value of the key, in the look of the first one."""
        kind, look = self._kind, self._look
        if kind.name in ("INSTANT", "ANY") and isinstance(look, str):
            if self._has_hours and is_date(look):
                look = iso_of((0, ""))  # dates do not tell one hour from another
            return iso_like(look, seconds, kind.zone)
        value = starting_value(iso_of((seconds, "")), kind)
        assert value is not None  # noqa: S101  of every kind that is a time
        return str(value) if isinstance(look, str) and not isinstance(value, str) else value

    def _place_of(self, value: Value, asked: Value) -> int:
        """Return the seconds that a request tells."""
        name = self._settings.format
        if "%" in name:
            return pattern_instant(asked, name, self._kind.zone)[0]
        if name in _DIGITS:
            return int(int(asked) // 10 ** _DIGITS[name])
        return instant_of(value, self._kind)[0]


class Numbers:
    """Numbers: they are their own places."""

    def __init__(self, settings: Incremental, first: Value | None) -> None:
        """``first``: the value at which the read begins, None: `incremental.start`.

        Raises:
            UnorderableError: it is no number.
        """
        self._settings = settings
        self._is_text = isinstance(first, str)
        self.first = self.at(
            number_of(settings.start) if first is None else order_key(first, ValueKind.NUMBER)
        )

    def at(self, place: Place) -> Bound:
        """Return a number as a bound."""
        value: Value = f"{place:f}" if self._is_text else place
        return Bound(value, place, value)

    def around(self, value: Value) -> Window:
        """Return a window in which a number lies."""
        place = order_key(value, ValueKind.NUMBER)
        return Window(self.at(place), self.at(place + 1), self.at(place + 1))

    def seam(self, window: Window) -> Window:
        """Return what lies around the end of a window."""
        return Window(window.until, window.end, window.end)

    def window_from(self, begin: Bound, limit: Place | None) -> Window:
        """Return the window that begins there, and ends at ``limit`` at most."""
        end = begin.place + number_of(self._settings.window or 0)
        return self._window(begin, end if limit is None else min(end, limit))

    def half(self, window: Window) -> Window | None:
        """Return the first half of a window, in steps of the granularity, or of 1."""
        step, begin = number_of(self._settings.granularity or 1), window.begin.place
        steps = (window.end.place - begin) // step // 2
        return self._window(window.begin, begin + steps * step) if steps else None

    def _window(self, begin: Bound, end: Place) -> Window:
        granularity = self._settings.granularity
        until = end if granularity is None else end - number_of(granularity)
        return Window(begin, self.at(end), self.at(until))


def number_of(said: float | str | Decimal) -> Place:
    number = said if isinstance(said, int | Decimal) else Decimal(str(said))
    return int(number) if number == int(number) else number
