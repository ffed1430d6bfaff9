"""RECORD: against its schema, its key and its dates; fast where the whole line is in order."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, DecimalException, localcontext
from typing import Any

from jsonschema import ValidationError
from jsonschema.exceptions import best_match

from singerkit_check.decode import FastDecoder, compile_fast
from singerkit_check.findings import Findings, shown
from singerkit_check.progress import Progress
from singerkit_check.schemas import Declared
from singerkit_check.values import kind_of
from singerkit_shell.signals import JUDGE_SECONDS, TooLong, stop_flag
from singerkit_shell.validate import expectation

__all__ = ["Stream", "has_zone", "is_date", "is_date_time"]

_EXACT = Context(prec=2_000, Emax=MAX_EMAX, Emin=MIN_EMIN)  # `multipleOf` divides without rounding
_MOST_LEARNT = 200  # unknown keys and odd dates for which the fast decoder is made anew
_NUL = b"\\u0000"
_ENVELOPE = frozenset({"type", "stream", "record", "time_extracted", "version"})
_DAY = r"(\d{4})-(\d\d)-(\d\d)"
_DATE = re.compile(_DAY, re.ASCII)
_DATE_TIME = re.compile(
    _DAY + r"[Tt ](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:[.,]\d+)?\s?([Zz]|[+-]\d\d:?(?:\d\d)?)?",
    re.ASCII,
)
_RFC_3339 = re.compile(
    _DAY + r"[Tt ](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def is_date(text: str) -> bool:
    """Tell whether ``text`` is a full date of RFC 3339."""
    match = _DATE.fullmatch(text)
    return match is not None and _is_day(match)


def is_date_time(text: str) -> bool:
    """Tell whether ``text`` names an instant as readers take it: RFC 3339, a missing zone excused."""
    match = _DATE_TIME.fullmatch(text)
    return match is not None and _is_day(match)


def has_zone(text: str) -> bool:
    """Tell whether ``text`` is a date-time of RFC 3339, which has a zone."""
    match = _RFC_3339.fullmatch(text)
    return match is not None and _is_day(match)


def _is_day(match: re.Match[str]) -> bool:
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    try:
        datetime.date(2000 + year % 400, month, day)  # the calendar repeats; Python has no year 0
    except ValueError:
        return False
    return True


class Stream:
    """What is known of one stream: its last SCHEMA, its rows so far. `declare` it before its first row."""

    def __init__(self, name: str, findings: Findings) -> None:
        self.name = name
        self.declared: Declared | None = None
        self.progress = Progress(name, findings)
        self.rows = 0
        self.versions: dict[int | None, int] = {}
        """Rows by version; only the newest are kept."""
        self._findings = findings
        self._fast: FastDecoder | None = None
        self._extra: set[str] = set()
        self._envelope: set[str] = set()
        self._lenient: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._dates: dict[str, str] = {}
        self._watches_nul = True

    def declare(self, declared: Declared, line: int) -> None:
        """Take a SCHEMA message."""
        before = self.declared
        if before is not None and before.keys != declared.keys:
            self._findings.add(
                "key-change",
                line,
                f"Expected {shown(self.name)} to keep its key properties, got others in a later SCHEMA",
                self.name,
            )
        self.declared = declared
        self._dates = {
            name: schema["format"]
            for name, schema in declared.properties.items()
            if isinstance(schema, Mapping) and schema.get("format") in ("date-time", "date")
        }
        self.follow(next((name for name in declared.bookmarks if name in declared.properties), None))

    def declared_again(self, line: int) -> None:
        """Take a SCHEMA message that says what the last one said."""
        sentence = f"Expected SCHEMA of {shown(self.name)} once, got it again unchanged"
        self._tell_once("schema-again", "", line, sentence)

    def follow(self, replication_key: str | None) -> None:
        """Compare rows with bookmarks by this property; None leaves the one that is known."""
        properties = self.declared.properties if self.declared is not None else {}
        self.progress.follow(replication_key or self.progress.field, properties)
        self._compile()

    def _compile(self) -> None:
        self._fast = None
        if self.declared is not None:
            self._fast = compile_fast(
                self.declared,
                envelope=self._envelope,
                extra=self._extra,
                lenient=self._lenient,
                replication_key=self.progress.field,
            )

    # The fast way

    def take(self, line: bytes, number: int) -> bool:
        """Check a RECORD line of this stream; False when it needs a closer look, and nothing was noted."""
        if self._fast is None or (self._watches_nul and _NUL in line):
            return False
        message = self._fast.decode(line)
        if message is None or self._has_odd_bookmark(message["record"]):
            return False
        self._count(message, number)
        return True

    def _has_odd_bookmark(self, record: Mapping[str, Any]) -> bool:
        field = self.progress.field
        if field not in self._dates or field in self._lenient:
            return False
        value = record.get(field)
        return isinstance(value, str) and _date_fault(value, self._dates[field]) is not None

    def _count(self, message: Mapping[str, Any], number: int) -> None:
        self.rows += 1
        version = message.get("version")
        if version is not None or self.versions:
            self._count_version(version)
        field = self.progress.field
        self.progress.row(None if field is None else message["record"].get(field), number)

    # The closer look

    def look(self, message: Mapping[str, Any], line: bytes, number: int) -> None:
        """Check a RECORD message of this stream that `take` did not."""
        record = message.get("record")
        if not isinstance(record, dict):
            finding = kind_of(record) if "record" in message else "none"
            self._add(
                "record-shape", number, f"Expected `record`, an object, got {finding} in a RECORD of {self}"
            )
            return
        self._check_envelope(message, number)
        if self._watches_nul and _NUL in line:
            self._watches_nul = False
            self._add(
                "nul", number, f"Expected text that every store takes, got \\u0000 in a record of {self}"
            )
        self._count(message, number)
        declared = self.declared
        if declared is None or not self._has_keys(declared, record, number):
            return
        if self._is_valid(declared, record, number):
            self._learn(declared, record, number)

    def __str__(self) -> str:
        return shown(self.name)

    def _add(self, check: str, line: int, sentence: str) -> None:
        self._findings.add(check, line, sentence, self.name)

    def _tell_once(self, check: str, name: str, line: int, sentence: str) -> bool:
        is_new = (check, name) not in self._told and len(self._told) < _MOST_LEARNT
        if is_new:
            self._told.add((check, name))
            self._add(check, line, sentence)
        return is_new

    def _check_envelope(self, message: Mapping[str, Any], line: int) -> None:
        extracted, version = message.get("time_extracted"), message.get("version")
        if extracted is not None and not (isinstance(extracted, str) and has_zone(extracted)):
            found = "another text" if isinstance(extracted, str) else kind_of(extracted)
            self._add(
                "extracted",
                line,
                f"Expected `time_extracted` in RFC 3339 with a zone, got {found} in a RECORD of {self}",
            )
        if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
            self._add(
                "version",
                line,
                f"Expected `version`, an integer, got {kind_of(version)} in a RECORD of {self}",
            )
        new = {name for name, value in message.items() if not isinstance(value, dict | list)} - _ENVELOPE
        if new - self._envelope and len(self._envelope) < _MOST_LEARNT:
            self._envelope |= new
            self._compile()

    def _count_version(self, given: Any) -> None:
        version = given if isinstance(given, int) else None
        self.versions[version] = self.versions.get(version, 0) + 1
        if len(self.versions) > _MOST_LEARNT:
            del self.versions[next(iter(self.versions))]

    def _has_keys(self, declared: Declared, record: Mapping[str, Any], line: int) -> bool:
        for key in declared.keys:
            if record.get(key) is None:
                found = "null" if key in record else "none"
                self._add(
                    "key-value",
                    line,
                    f"Expected a value in the key property {shown(key)}, got {found} in {self}",
                )
                return False
        return True

    def _is_valid(self, declared: Declared, record: dict[str, Any], line: int) -> bool:
        if declared.validator is None:
            return True
        try:
            error = stop_flag.within(
                JUDGE_SECONDS, lambda: _first_error(declared, record), "the stream was being checked."
            )
        except DecimalException:
            return True  # a number so large that `multipleOf` has no answer
        except TooLong:
            self._add(
                "invalid",
                line,
                f"Expected a record that its schema can judge within {JUDGE_SECONDS:g} seconds, got one of {self} that "
                "takes longer, as by a `pattern` with a repetition in a repetition",
            )
            return False
        if error is None:
            return True
        place = f"{self}.{_place(error)}" if error.absolute_path else str(self)
        if error.validator == "required":
            missing = next(name for name in error.validator_value if name not in error.instance)
            self._add(
                "required",
                line,
                f"Expected the property {shown(missing)}, which is required, got none in {place}",
            )
        elif error.validator == "additionalProperties":
            self._add(
                "invalid", line, f"Expected no properties beyond those of the schema, got more in {place}"
            )
        else:
            self._add("invalid", line, f"Expected {_wanted(error)}, got {kind_of(error.instance)} at {place}")
        return False

    def _learn(self, declared: Declared, record: Mapping[str, Any], line: int) -> None:
        """Tell about unknown fields and odd dates once, and let the fast way take them from then on."""
        before = len(self._told)
        if "properties" in declared.schema and "patternProperties" not in declared.schema:
            for name in sorted(record.keys() - declared.properties.keys() - self._extra):
                sentence = f"Expected fields of the schema, got {shown(name)} in a record of {self}"
                if self._tell_once("extra-field", name, line, sentence):
                    self._extra.add(name)
        for name, form in self._dates.items():
            value = record.get(name)
            if isinstance(value, str) and name not in self._lenient and (fault := _date_fault(value, form)):
                check, wanted, found = fault
                if self._tell_once(
                    check, name, line, f"Expected {wanted}, got {found} at {self}.{_plain(name)}"
                ):
                    self._lenient.add(name)
        if len(self._told) != before:
            self._compile()


def _first_error(declared: Declared, record: dict[str, Any]) -> Any:
    with localcontext(_EXACT):
        return best_match(declared.validator.iter_errors(record))


def _date_fault(text: str, form: str) -> tuple[str, str, str] | None:
    if form == "date":
        return None if is_date(text) else ("date-time", "a date (RFC 3339)", "another text")
    if not is_date_time(text):
        return "date-time", "a date-time (RFC 3339)", "another text"
    if not has_zone(text):
        return "zone", "a date-time with a zone (RFC 3339)", "one that readers have to guess"
    return None


def _wanted(error: ValidationError) -> str:
    try:
        return expectation(error)
    except TypeError:  # the keyword's value holds a number with a fraction, which is exact here
        return f"what `{error.validator}` allows"


def _place(error: ValidationError) -> str:
    """Return the path to what is wrong; keys that the schema does not name may be row content, and stand as `*`."""
    way = list(error.absolute_schema_path)
    named = {name for keyword, name in itertools.pairwise(way) if keyword == "properties"}
    text = ""
    for part in error.absolute_path:
        text += f"[{part}]" if isinstance(part, int) else f".{_plain(part) if part in named else '*'}"
    return text.lstrip(".")


def _plain(name: str) -> str:
    return shown(name).strip("`")
