"""A look at each stream: its schema through a map, and the first of its rows on both sides."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from singerkit_map.explaining.fields import FieldLook, Step, field_looks, hidden_fields
from singerkit_map.jsontexts import loads, text_of
from singerkit_map.mapper import IN_PIPE, Mapper
from singerkit_map.plan import Plan
from singerkit_map.reading import MapConfig
from singerkit_shell.errors import BadDataError
from singerkit_wire.batch import Letters
from singerkit_wire.messages import Message, Run

__all__ = ["HIDDEN", "Look", "Looking", "RowLook"]

HIDDEN = "***"
Row = dict[str, str]


@dataclass
class RowLook:
    """A row as it came, without what is hidden, and what becomes of it: rows, or the reason for which it is set aside, or ends the run."""

    before: Row
    after: list[Row] = field(default_factory=list)
    bad: str | None = None
    ends_run: bool = False


@dataclass
class Look:
    """A stream; without operations it has no ``fields``, and without a name behind the map it is dropped."""

    stream: str
    name: str
    ops: list[str] = field(default_factory=list)
    fields: list[FieldLook] = field(default_factory=list)
    rows: list[RowLook] = field(default_factory=list)
    has_plan: bool = False


class Looking:
    """Takes the parts of the wire in, and remembers a look at each stream."""

    def __init__(self, config: MapConfig, said: Mapping[str, Any], rows: int) -> None:
        self._fails = config.on_error == "fail"
        # What ends a run is looked at as if it were set aside: the rows behind it are shown, too.
        self._config = replace(config, on_error="quarantine") if self._fails else config
        self._said, self._most = said, rows
        self._mapper = Mapper(self._config, logging.getLogger("singerkit-map"), IN_PIPE)
        self._hidden: dict[str, frozenset[str]] = {}
        self.looks: dict[str, Look] = {}

    def unmet(self) -> list[str]:
        """Return a sentence for each name or pattern of the map that no stream has met."""
        return [*self._mapper.unmet(), *self._mapper.nulls()]

    def take(self, part: Run | Message) -> None:
        """Look at a part.

        Raises:
            ConfigurationError: an operation cannot be done to a stream.
            BadDataError: the records of a stream come before its SCHEMA.
        """
        if isinstance(part, Run):
            self._take_rows(part)
        elif part.type == "SCHEMA" and part.stream is not None:
            self._take_schema(part, part.stream)

    def _take_schema(self, message: Message, stream: str) -> None:
        for _ in self._mapper.parts([message]):
            pass
        plan = self._mapper.plan(stream)
        if plan is None:
            self.looks.setdefault(stream, Look(stream, stream))
            return
        steps = self._steps(plan)
        first = steps[0].before
        self._hidden[stream] = hidden_fields(first, steps)
        self.looks[stream] = Look(
            stream,
            plan.shape.stream,
            [step.op for step in steps],
            field_looks(first, steps),
            has_plan=True,
        )

    def _steps(self, plan: Plan) -> list[Step]:
        shapes = [*(before for _, before in plan.steps), plan.shape]
        return [
            Step(self._op_at(operation.place), operation, before, after)
            for (operation, before), after in zip(plan.steps, shapes[1:], strict=True)
        ]

    def _op_at(self, place: str) -> str:
        for pattern, listed in self._said["streams"].items():
            for number, one in enumerate(listed):
                if place.endswith(f"streams.{pattern}[{number}]"):
                    return str(one["op"])
        return place

    def _take_rows(self, run: Run) -> None:
        look = self.looks.get(run.stream)
        if look is None:
            list(self._mapper.run(run))  # which tells of a SCHEMA that is missing
        if look is None or not look.name:
            return
        for at, line in enumerate(run.data.split(b"\n")[: max(0, self._most - len(look.rows))]):
            if line:
                one = Run(run.stream, line + b"\n", 1, run.line_number(at))
                look.rows.append(self._row(line, one, look))

    def _row(self, line: bytes, one: Run, look: Look) -> RowLook:
        hidden = self._hidden.get(look.stream, frozenset())
        record = loads(line)["record"]
        found = RowLook(
            {
                name: HIDDEN if name in hidden and value is not None else _text(value)
                for name, value in record.items()
            }
        )
        try:
            made = list(self._mapper.run(one))
        except BadDataError as error:  # with `on_error: null`, of what cannot become null
            made, found.bad, found.ends_run = [], str(error), True
        for part in made:
            if isinstance(part, Letters):
                found.bad, found.ends_run = part.rejects[0].reason, self._fails
            elif isinstance(part, Run) and part.stream == look.name:
                found.after += [_row_of(text) for text in part.data.split(b"\n") if text]
        if "python" in look.ops:
            _hide_what_went(found)
        return found


def _hide_what_went(found: RowLook) -> None:
    """Nobody knows what a function hides: what does not stand behind it as it was is not shown."""
    for name, value in found.before.items():
        if value != "null" and all(row.get(name) != value for row in found.after):
            found.before[name] = HIDDEN


def _row_of(line: bytes) -> Row:
    return {name: _text(value) for name, value in loads(line)["record"].items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else text_of(value).decode()
