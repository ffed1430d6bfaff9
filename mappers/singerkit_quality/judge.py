"""The judge: holds batches against the rules of their stream, in every place in which rows pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from singerkit_quality.columns import ColumnView, as_kind
from singerkit_quality.rowrules import NUMBERS, CannotJudge, RowTest, row_test
from singerkit_quality.rules import On, Rule, Rules
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.validate import nearest
from singerkit_shell.words import visible
from singerkit_wire.ahead import told_of
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.kinds import Column, Kind, classify
from singerkit_wire.masks import PRESENT
from singerkit_wire.stream import DELETED_AT, Stream
from singerkit_wire.values import values_of

__all__ = ["Broken", "Judge", "Judged", "Look", "RuleBroken", "Verdict"]

_LONGEST_KEY = 80


class Judged(NamedTuple):
    """A rule of a stream, for counting."""

    stream: str
    rule: Rule


@dataclass(frozen=True)
class Verdict:
    """What is left of batches, the records that are set aside, and how many rows each rule was held against, and was broken by."""

    batches: Sequence[Batch]
    rejects: Sequence[Reject] = ()
    judged: Counter[Judged] = field(default_factory=Counter)
    broken: Counter[Judged] = field(default_factory=Counter)
    examples: Sequence[Broken] = ()
    """The first row of each batch that breaks a rule, by rule."""


@dataclass(frozen=True)
class Broken:
    """A row that breaks a rule; ``key`` names it, as in ``id = 7``, "" where it has no key."""

    rule: Rule
    stream: str
    key: str
    line: int

    @property
    def where(self) -> str:
        return f"{f'key {self.key}, ' if self.key else ''}line {self.line}"

    def warning(self) -> str:
        return (
            f"Stream `{self.stream}`: a record breaks {self.rule.called()}, the first at {self.where}; it is loaded all the same (`on: warn`), and so are "
            "all others like it, unless another rule sets them aside."
        )


class RuleBroken(BadDataError):
    """A row breaks a rule that ends the run."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(
            f"Expected records that keep {broken.rule.called()} in stream `{broken.stream}`, got one that does not ({broken.where}); what was committed is "
            "safe: correct it at the source, or set such records aside (`on: quarantine`) or only be told of them (`on: warn`), then run again."
        )
        self.broken = broken


@dataclass(frozen=True)
class _Held:
    """A rule of rows, with what it is on."""

    rule: Rule
    kind: Kind
    test: RowTest


class Judge:
    """The rules of a run."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.stores_nothing_for_missing = False
        """Whether a field that a record leaves out is nowhere then, as in a file of lines: no stored value stands in for it."""
        self._held: dict[str, Sequence[_Held]] = {}
        self._of_sets: dict[str, Sequence[Rule]] = {}
        self._declared: dict[str, Stream] = {}
        self._left_out: set[Judged] = set()
        """The rules `not_null` whose field records have left out, where a stored value may stay."""

    def declare(self, stream: Stream) -> None:
        """Take a SCHEMA, before a row of it is read.

        Raises:
            ConfigurationError: a rule is on a field that it does not have, or of a kind of which the rule knows nothing.
        """
        rules = self._rules.of(stream.name)
        columns = {column.name: column for column in stream.columns}
        held = []
        for rule in rules:
            for name in rule.fields:
                if name not in columns:
                    raise _no_field(rule, name, stream)
            if rule.is_of_rows:
                column = columns[str(rule.field)]
                kind = _kind_of(column)
                held.append(_Held(rule, kind, _test_of(rule, kind, stream)))
            else:
                _check_set_rule(rule, columns, stream)
        self._held[stream.name] = held
        self._of_sets[stream.name] = [rule for rule in rules if not rule.is_of_rows]
        self._declared[stream.name] = stream
        for of_sets in self._of_sets.values():
            for rule in of_sets:
                self._check_other(rule)

    def _check_other(self, rule: Rule) -> None:
        """See that the other stream of a rule has the field that it names, once both are known."""
        to = rule.said.get("to")
        if not isinstance(to, Mapping) or to["stream"] not in self._declared:
            return
        other = self._declared[to["stream"]]
        if to["field"] not in {column.name for column in other.columns}:
            raise _no_field(rule, to["field"], other)

    def sets_aside(self, stream: str) -> bool:
        """Whether records of a stream may be set aside."""
        return any(one.rule.on is On.QUARANTINE for one in self._held.get(stream, ()))

    def look(self, stream: str) -> Look | None:
        """Return what looks at batches of a stream in another process, whose rows are told of in `AheadRows.told`; None: no rule of rows is on it."""
        held = self._held.get(stream)
        return Look(stream, tuple((one.rule, one.kind) for one in held)) if held else None

    def set_rules(self) -> Mapping[str, Sequence[Rule]]:
        """Return the rules of all rows, by stream, of the streams that were declared."""
        return {stream: rules for stream, rules in self._of_sets.items() if rules}

    def row_rules(self) -> Iterator[Judged]:
        """Yield the rules of rows, of the streams that were declared."""
        for stream, held in self._held.items():
            for one in held:
                yield Judged(stream, one.rule)

    def unmet(self) -> list[str]:
        """Return what is to be warned of at the end of a complete run: rules of streams that it did not have."""
        unmatched = [
            f"No stream of this run is called `{pattern}`, so that the rules at `checks.{pattern}` were not judged."
            for pattern in self._rules.unmatched(self._held)
        ]
        return unmatched + [
            f"Stream `{one.stream}`: records leave `{one.rule.field}` out, of which {one.rule.called()} was not judged: what is stored stays, and a row that is new has null there. "
            "`singerkit quality run` judges what is stored, and with `missing_fields: null` such records break the rule."
            for one in sorted(self._left_out, key=lambda one: (one.stream, str(one.rule.field)))
        ]

    def judge(self, stream: Stream, batches: Sequence[Batch]) -> Verdict:
        """Hold batches of a stream against its rules.

        Raises:
            RuleBroken: a rule with `fail` is broken.
        """
        held = self._held.get(stream.name)
        if not held:
            return Verdict(batches)
        kept: list[Batch] = []
        rejects: list[Reject] = []
        judged: Counter[Judged] = Counter()
        broken: Counter[Judged] = Counter()
        examples: list[Broken] = []
        for batch in batches:
            if (counts := told_of(batch.wire_rows)) is not None:
                judged.update({Judged(stream.name, one.rule): n for one, n in zip(held, counts, strict=True)})
                kept.append(batch)
                continue
            found = self._broken_in(stream.name, held, batch, judged)
            _fail_at_first(stream, found, batch)
            for one, places in found:
                broken[Judged(stream.name, one.rule)] += len(places)
                examples.append(_example(one.rule, stream, batch, places[0]))
            aside = _set_aside(stream, found, batch)
            rejects += aside.values()
            if len(aside) < len(batch.wire_rows):
                kept.append(_without(batch, aside) if aside else batch)
        return Verdict(kept, rejects, judged, broken, examples)

    def find(self, stream: Stream, batches: Sequence[Batch]) -> tuple[Counter[Judged], list[Broken]]:
        """Return how many rows each rule was held against, and every row that breaks one, in their order; none is set aside, and nothing ends."""
        judged: Counter[Judged] = Counter()
        broken: list[Broken] = []
        for batch in batches:
            for one, places in self._broken_in(stream.name, self._held.get(stream.name, ()), batch, judged):
                broken += [_example(one.rule, stream, batch, place) for place in places]
        return judged, sorted(broken, key=lambda one: one.line)

    def _broken_in(
        self, stream: str, held: Sequence[_Held], batch: Batch, judged: Counter[Judged]
    ) -> list[tuple[_Held, Sequence[int]]]:
        rows = batch.wire_rows
        places = {name: place for place, name in enumerate(batch.names)}
        beside = {column.variant_of: place for place, column in enumerate(batch.columns)}
        exempt = _Exempt(batch, places)
        views: dict[str, ColumnView] = {}
        found: list[tuple[_Held, Sequence[int]]] = []
        for one in held:
            name = str(one.rule.field)
            place = places.get(name)
            if not rows:
                continue
            if place is None:  # no record of the batch has it
                if self.stores_nothing_for_missing and one.rule.kind == "not_null":
                    lacking = [row for row in range(len(rows)) if row not in exempt.gone]
                    judged[Judged(stream, one.rule)] += len(lacking)
                    found += [(one, lacking)] if lacking else []
                elif one.rule.kind == "not_null" and len(exempt.gone) < len(rows):
                    self._left_out.add(Judged(stream, one.rule))
                continue
            view = views.get(name)
            if view is None:
                view = views[name] = ColumnView(batch.columns[place], one.kind, batch.by_column[place])
            bad = one.test.broken(view)
            if name in beside:
                at = beside[name]
                bad = _with_those_beside(one, bad, batch.columns[at], batch.by_column[at])
            without = exempt.of(place)
            if one.rule.kind == "not_null" and len(without) > len(exempt.gone):
                self._left_out.add(Judged(stream, one.rule))
            judged[Judged(stream, one.rule)] += len(rows) - len(without)
            bad = [row for row in bad if row not in without] if without else bad
            if bad:
                found.append((one, bad))
        return found


@dataclass(frozen=True)
class Look:
    """Rules of rows, each with the kind of its field, for a process that has batches and nothing of a run."""

    stream: str
    rules: tuple[tuple[Rule, Kind], ...]

    @cached_property
    def _held(self) -> Sequence[_Held]:
        return [_Held(rule, kind, row_test(rule, kind)) for rule, kind in self.rules]

    def __call__(self, batch: Batch) -> tuple[int, ...] | None:
        """Return how many rows each rule was held against; None: one is broken, or more is to be said of it."""
        judge, judged = Judge(Rules({})), Counter[Judged]()
        if judge._broken_in(self.stream, self._held, batch, judged) or judge._left_out:
            return None
        return tuple(judged[Judged(self.stream, rule)] for rule, _ in self.rules)


def _with_those_beside(
    one: _Held, bad: Sequence[int], variant: Column, on_wire: Sequence[Any]
) -> Sequence[int]:
    """Return the places of the values that break a rule, with those that stand beside the column, which is null there, judged as they came."""
    moved = {place: text for place, text in enumerate(values_of(variant, on_wire)) if text is not None}
    broken = {place for place, text in moved.items() if one.test.is_broken_by(as_kind(one.kind, text))}
    return sorted(broken.union(place for place in bad if place not in moved)) if moved else bad


class _Exempt:
    """Which rows of a batch are not judged: those that say that they are gone, and for a field those that leave it out."""

    def __init__(self, batch: Batch, places: Mapping[str, int]) -> None:
        self._rows = batch.wire_rows
        self._is_masked = PRESENT in places
        deleted = places.get(DELETED_AT)
        self.gone: Collection[int] = (
            () if deleted is None else {n for n, row in enumerate(self._rows) if row[deleted] is not None}
        )

    def of(self, place: int) -> Collection[int]:
        if not self._is_masked:
            return self.gone
        absent = {n for n, row in enumerate(self._rows) if row[0] is not None and row[0][place - 1] == "0"}
        return absent.union(self.gone)


def _fail_at_first(stream: Stream, found: Sequence[tuple[_Held, Sequence[int]]], batch: Batch) -> None:
    failing = [(places[0], one.rule) for one, places in found if one.rule.on is On.FAIL]
    if failing:
        place, rule = min(failing, key=lambda one: one[0])
        raise RuleBroken(_example(rule, stream, batch, place))


def _example(rule: Rule, stream: Stream, batch: Batch, place: int) -> Broken:
    return Broken(rule, stream.name, key_of(stream, batch, place), _line_of(batch, place))


def _set_aside(
    stream: Stream, found: Sequence[tuple[_Held, Sequence[int]]], batch: Batch
) -> dict[int, Reject]:
    """Return the letters of the rows that break a rule with `quarantine`, by place; the first rule counts."""
    letters: dict[int, Reject] = {}
    for one, places in found:
        if one.rule.on is On.QUARANTINE:
            for place in places:
                reason = f"Expected a record that keeps {one.rule.called()}, got one that does not"
                letters.setdefault(place, batch.letter(place, stream.name, f"$.{one.rule.field}", reason))
    return dict(sorted(letters.items()))


def _without(batch: Batch, places: Collection[int]) -> Batch:
    kept = [place for place in range(len(batch.wire_rows)) if place not in places]
    return replace(
        batch,
        wire_rows=[batch.wire_rows[place] for place in kept],
        places=[batch.places[place] for place in kept],
    )


def _line_of(batch: Batch, place: int) -> int:
    return batch.first_line + place if batch.run is None else batch.run.line_number(batch.places[place])


def key_of(stream: Stream, batch: Batch, place: int) -> str:
    """Return the values of the key of a row, as in ``id = 7``; "" without a key."""
    parts = []
    for name in stream.key_properties:
        if name in batch.names:
            at = batch.names.index(name)
            [value] = values_of(batch.columns[at], [batch.wire_rows[place][at]])
            parts.append(f"{name} = {value}")
    said = visible(", ".join(parts)).replace("\n", " ").encode("utf-8", "replace").decode()
    return said if len(said) <= _LONGEST_KEY else f"{said[: _LONGEST_KEY - 3]}..."


def _kind_of(column: Column) -> Kind:
    return classify(column.schema)[0] if column.schema else column.kind


def _no_field(rule: Rule, name: str, stream: Stream) -> ConfigurationError:
    near = nearest(name, list(stream.fields))
    hint = f" (did you mean `{near}`?)" if near else ""
    return ConfigurationError(
        f"Expected a field of stream `{stream.name}` at `{rule.place}`, got `{name}`, which its SCHEMA does not have{hint}; no row of the stream was read: "
        "name one that it has behind `map`, then run again."
    )


def _test_of(rule: Rule, kind: Kind, stream: Stream) -> RowTest:
    try:
        return row_test(rule, kind)
    except CannotJudge as error:
        raise _cannot(rule, str(error), kind, stream) from None


def _cannot(rule: Rule, why: str, kind: Kind, stream: Stream) -> ConfigurationError:
    return ConfigurationError(
        f"Rule `{rule.kind}` at `{rule.place}` {why}; `{rule.field}` of stream `{stream.name}` is {_named(kind)}; no row of the stream was read: "
        "correct the rule, then run again."
    )


_OF_SETS: Mapping[str, tuple[frozenset[Kind], str]] = {
    "fresh": (frozenset({Kind.DATE, Kind.DATE_TIME}), "needs a date or a date-time"),
    "equal_sum": (NUMBERS, "needs a number"),
    "labels": (frozenset({Kind.STRING, Kind.INTEGER, Kind.BOOLEAN}), "needs a text, an integer or a boolean"),
}


def _check_set_rule(rule: Rule, columns: Mapping[str, Column], stream: Stream) -> None:
    kinds, needs = _OF_SETS.get(rule.kind, (None, ""))
    if kinds is not None and (kind := _kind_of(columns[str(rule.field)])) not in kinds:
        raise _cannot(rule, needs, kind, stream)


def _named(kind: Kind) -> str:
    return {Kind.STRING: "a text", Kind.JSON: "an object, an array, or of several types"}.get(
        kind, f"a {kind.value}"
    )
