"""A map at work on the parts of the wire, in the pipe and in a target alike: messages and runs of records in, messages and runs out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from singerkit_map.block import Place
from singerkit_map.contract import hides
from singerkit_map.plan import Plan, plan_of, replace_line
from singerkit_map.reading import MapConfig
from singerkit_map.stretches import dealt, runs_of, stretches
from singerkit_shell.configtext import RepeatedKeyError, without_repeats
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_state.reached import may_be_of
from singerkit_state.value import MARK_KEY, Mark, decode, encode, is_empty, read_mark, without_mark
from singerkit_wire.batch import Letters
from singerkit_wire.declarations import read_declaration
from singerkit_wire.messages import Message, Run, joined_runs

__all__ = ["IN_PIPE", "IN_TARGET", "Mapper"]

IN_PIPE, IN_TARGET = "map", "target_map"
"""What a STATE calls the map that its rows went through, in the mark; of several in one pipe it has a list."""

_PASSED = "maps"
"""What a STATE message says beside its value: the maps of this pipe that it has come through. The value itself may be one that a tap gives back."""


class Mapper:
    """One run of a map. ``name``: `IN_PIPE` or `IN_TARGET`."""

    def __init__(self, config: MapConfig, log: logging.Logger, name: str) -> None:
        self._config, self._log, self._name = config, log, name
        self._plans: dict[str, Plan | None] = {}
        self._seen: dict[str, str] = {}
        """The streams that come, by those that go on."""
        self._nulled: Counter[tuple[str, str, str]] = Counter()
        self._hides = any(hides(one) for listed in config.by_pattern.values() for one in listed)
        self._warned: set[str] = set()

    # --- parts ---------------------------------------------------------------------------------------------

    def parts(self, parts: Iterable[Run | Message]) -> Iterator[Run | Message]:
        """Yield what becomes of the parts of the wire, records that are set aside (`Letters`) among them.

        Raises:
            ConfigurationError: an operation cannot be done to a stream.
            BadDataError: a record is bad.
        """
        for stretch in stretches(parts):
            made = self._at_once(stretch) if len(stretch) > 1 else {}
            for place, part in enumerate(stretch):
                yield from made[place] if place in made else self._part(part)

    def _at_once(self, stretch: Sequence[Run | Message]) -> dict[int, list[Run | Letters]]:
        """Return what becomes of runs of a stream that is best mapped as one, each by its place; others are to be mapped by themselves."""
        found: dict[int, list[Run | Letters]] = {}
        for stream, runs in runs_of(stretch).items():
            plan = self._plans.get(stream)
            if len(runs) > 1 and plan is not None and not plan.is_dropped and plan.is_of_each:
                found.update(zip(runs, self._joined(plan, list(runs.values())), strict=False))
                self._tell_of_others(plan, stream)
        return found

    def _joined(self, plan: Plan, runs: Sequence[Run]) -> Sequence[list[Run | Letters]]:
        """Return what becomes of each of several runs; nothing where one is bad, so that those before it are mapped by themselves."""
        nulled = self._nulled.copy()
        try:
            return dealt(plan.run(joined_runs(runs)), runs) or ()
        except BadDataError:
            self._nulled.clear()
            self._nulled.update(nulled)
            return ()

    def _part(self, part: Run | Message) -> Iterator[Run | Message]:
        if isinstance(part, Run):
            yield from self.run(part)
        elif part.type == "STATE":
            yield self._state(part)
        elif part.stream is not None:
            yield from self._message(part, part.stream)
        elif not self._hides:
            yield part
        else:
            self._warn_once(
                f"Messages of type `{part.type[:40]}` are none that Singer has, and are left out, as the map hides values, which may stand in them (the first "
                f"at line {part.number})."
            )

    def works_on(self, stream: str | None) -> bool:
        """Tell whether anything is done to the records of a stream."""
        return stream is not None and self._plan(stream, "BATCH", 0) is not None

    def remembers(self, stream: str) -> bool:
        """Tell whether what becomes of records of a stream depends on those that came before."""
        plan = self._plans.get(stream)
        return plan is not None and plan.remembers

    def run(self, run: Run) -> Iterator[Run | Message]:
        """Yield what becomes of a run of records; of one of a stream without operations, itself."""
        plan = self._plan(run.stream, "RECORD", run.first_line)
        if plan is None:
            yield run
        elif not plan.is_dropped:
            yield from plan.run(run)
            self._tell_of_others(plan, run.stream)

    def plan(self, stream: str) -> Plan | None:
        """Return what is done to a stream whose SCHEMA has come; None: nothing."""
        return self._plans.get(stream)

    def _plan(self, stream: str, kind: str, line: int) -> Plan | None:
        if stream not in self._plans and self._config.of(stream):
            raise BadDataError(
                f"Expected a SCHEMA before the first {kind} of stream `{stream}`, got the {kind} at line {line}; what was committed is safe: fix the tap, "
                "then run again."
            )
        return self._plans.get(stream)

    def _message(self, message: Message, stream: str) -> Iterator[Message]:
        if message.type == "SCHEMA":
            yield from self._schema(message, stream)
            return
        plan = self._plan(stream, message.type, message.number)
        if plan is None:
            yield message
            return
        if plan.is_dropped:
            return
        message = self._without_others(message, plan, stream)
        if message.type == "REPLACE":
            yield plan.replacement(message)
        elif plan.shape.stream == stream or message.type == "BATCH":
            yield message
        else:
            yield replace_line(
                message,
                plan.shape.stream,
                {**decode(str(message.line, "utf-8")), "stream": plan.shape.stream},
            )
        if message.type == "ACTIVATE_VERSION":
            plan.forget()

    def _without_others(self, message: Message, plan: Plan, stream: str) -> Message:
        """Return a message of a stream without what Singer does not have, where the map hides values.

        Raises:
            BadDataError: Singer does not have such messages.
        """
        if plan.hides and message.type not in ("ACTIVATE_VERSION", "REPLACE", "BATCH"):
            raise BadDataError(
                f"The message of type `{message.type[:40]}` at line {message.number} is of stream `{stream}`, of which the map hides values, and is none that Singer "
                "has: what it says can be neither mapped nor left out; what was committed is safe: have the tap send none, then run again."
            )
        kept = plan.without_others(message)
        self._tell_of_others(plan, stream)
        return kept

    def _tell_of_others(self, plan: Plan, stream: str) -> None:
        for key in sorted(plan.left_out):
            self._warn_once(
                f"Stream `{stream}`: `{key[:40]}` stands beside its records, where Singer has nothing of that name, and is left out, as the map hides values, which "
                "may stand in it."
            )

    def _warn_once(self, sentence: str) -> None:
        if sentence not in self._warned:
            self._warned.add(sentence)
            self._log.warning("%s", sentence)

    def _schema(self, message: Message, stream: str) -> Iterator[Message]:
        operations = self._config.of(stream)
        if not operations:
            self._plans[stream] = None
            self._own(stream, stream)
            yield message
            return
        declaration = read_declaration(message)
        plan = self._plans.get(stream)
        if plan is None or plan.fingerprint != declaration.fingerprint:
            place = Place(stream, self._config.on_error, self._nulled)
            plan = self._plans[stream] = plan_of(message, declaration, operations, place)
            self._tell_of_keys(plan, stream)
        if not plan.is_dropped:
            self._own(stream, plan.shape.stream)
            yield plan.schema(message, self._log)
            yield from self._beside(plan, message)

    def _tell_of_keys(self, plan: Plan, stream: str) -> None:
        for place, key in plan.hidden_keys():
            self._log.warning(
                "Stream `%s`: `%s` is hidden in its rows (`%s`), and is in its key: where a load was cut off, the STATE says in the tap's own words "
                "how far it came, which may be a value of it; keep the state where those values may be.",
                stream,
                key,
                place,
            )

    def _beside(self, plan: Plan, message: Message) -> Iterator[Message]:
        for name, (schema, keys) in plan.streams_beside().items():
            self._own(plan.shape.stream, name)
            said = {
                "type": "SCHEMA",
                "stream": name,
                "schema": schema,
                "key_properties": list(keys),
                "tokens": True,
            }
            yield Message("SCHEMA", name, encode(said).encode(), message.number)

    def _own(self, stream: str, name: str) -> None:
        """See that no two streams go on under one name."""
        other = self._seen.setdefault(name, stream)
        if other != stream:
            raise ConfigurationError(
                f"The streams `{other}` and `{stream}` would both be called `{name}` behind the map (`{self._config.at or 'streams'}`); no row of the second was "
                "read: give one another name, then run again."
            )

    # --- the state -----------------------------------------------------------------------------------------

    def _state(self, message: Message) -> Message:
        """Return a STATE that says which map its rows went through; what is no state is for the target to judge."""
        try:
            said = decode(str(message.line, "utf-8"), without_repeats)
            value = said.get("value")
        except (RepeatedKeyError, ValueError):
            return message
        self._check_shards(read_mark(value))
        if not isinstance(value, dict) or is_empty(value):
            return message
        mark = value.get(MARK_KEY)
        mark = {**(mark if isinstance(mark, dict) else {}), self._name: self._passed(said)}
        renamed = self._renamed(value.get("bookmarks"), mark.pop("renamed", None))
        if renamed:
            mark["renamed"] = renamed
        said["value"] = {**without_mark(value), MARK_KEY: mark}
        return Message("STATE", message.stream, encode(said).encode(), message.number)

    def _passed(self, said: dict[str, Any]) -> str | list[str]:
        """Return the map that the rows before a STATE message went through, this one; where they went through others before it, all of them."""
        if self._name != IN_PIPE:
            return self._config.fingerprint
        said[_PASSED] = [*_texts(said.get(_PASSED)), self._config.fingerprint]
        return said[_PASSED] if len(said[_PASSED]) > 1 else self._config.fingerprint

    def _check_shards(self, mark: Mark | None) -> None:
        """See that no stream is renamed of which a run reads a part: its target looks for the other parts by the tap's name.

        Raises:
            ConfigurationError: one is.
        """
        for stream in () if mark is None else mark.divided or ():
            name = self._called(stream)
            if name != stream:
                raise ConfigurationError(
                    f"Stream `{stream}` would be called `{name}` behind the map, and this run reads a shard of it, whose others are known by the name that the tap "
                    "has: what one of them says is gone would be taken for all; nothing was written: name the table in the target's config, or read it without `--shard`."
                )

    def _renamed(self, bookmarks: Any, before: Any) -> list[list[str]]:
        """Return the names that streams have behind the map, each with that of its bookmark; ``before``: what a map before this one has said.

        That may come back from a tap of others, of an earlier run: what is declared in this one says more.
        """
        if not isinstance(bookmarks, dict):
            return []
        found = []
        known = {tap: name for name, tap in before} if _are_pairs(before) else {}
        for tap in bookmarks:
            stream = self._stream_of(tap)
            name = self._called(stream)
            if name == stream and tap in known and (known[tap] in self._plans or tap not in self._plans):
                name = self._called(known[tap])
            if name not in (stream, tap):
                found.append([name, tap])
        return found

    def _stream_of(self, bookmark: str) -> str:
        """Return the stream that a bookmark is of, which taps of others may call by more than its name."""
        if bookmark in self._plans:
            return bookmark
        return next(
            (name for name, plan in self._plans.items() if plan is not None and may_be_of(bookmark, name)),
            bookmark,
        )

    def _called(self, stream: str) -> str:
        for operation in self._config.of(stream):
            if (called := getattr(operation, "called", None)) is not None:
                stream = called(stream)
        return stream

    def check_state(self, stored: Any) -> None:
        """See whether the rows of a stored state went through this map.

        Raises:
            ConfigurationError: they did not, and `on_map_change` is `fail`.
        """
        if is_empty(stored) or not isinstance(stored, dict):
            return
        mark = stored.get(MARK_KEY)
        before = _texts(mark.get(self._name)) if isinstance(mark, dict) else []
        if self._config.fingerprint in before:
            return
        through = "another map" if before else "no map"
        sentence = f"The rows of the stored state went through {through}, and those of this run go through the one of this config: what was stored stays as it is"
        if self._config.fails_if_changed:
            raise ConfigurationError(
                f"{sentence}; nothing was written, since `on_map_change` is `fail`: load those streams anew from the beginning, or set it to `warn` for one run."
            )
        self._log.warning(
            "%s; load streams anew from the beginning where all rows are to be alike.", sentence
        )

    # --- the end -------------------------------------------------------------------------------------------

    def unmet(self) -> list[str]:
        """Return what is to be warned of at the end of a complete run."""
        place = f"{self._config.at}.streams".removeprefix(".")
        return [
            f"`{pattern}` at `{place}` matched no stream of this run: is the name right?"
            for pattern in self._config.unmatched(list(self._plans))
        ]

    def nulls(self) -> list[str]:
        """Return what is to be told of values that were made null, at whatever end of a run."""
        return [
            f"Stream `{stream}`: {count} bad value{'s' if count > 1 else ''} of `{path}` became null (`{place}`, `on_error`)."
            for (stream, place, path), count in sorted(self._nulled.items())
        ]


def _texts(said: Any) -> list[str]:
    return [one for one in (said if isinstance(said, list) else [said]) if isinstance(one, str)]


def _are_pairs(said: Any) -> bool:
    return isinstance(said, list) and all(isinstance(one, list) and len(one) == 2 for one in said)
