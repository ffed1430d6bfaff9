"""One line after the other: what kind it is, and who looks at it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from singerkit_check.extensions import check_activate, check_batch, check_replace
from singerkit_check.findings import Findings, shown
from singerkit_check.lines import LineCutter
from singerkit_check.quality import Quality
from singerkit_check.records import Stream
from singerkit_check.schemas import declare
from singerkit_check.states import States
from singerkit_check.values import LineError, kind_of, read_line

__all__ = ["MAX_LINE_BYTES", "Checker"]

MAX_LINE_BYTES = 64 << 20
_BOM = b"\xef\xbb\xbf"
_RECORD_KEY = b'"record"'
_HEAD = 400  # bytes in which the fast way looks for the key `record`
_MOST_PREFIXES = 1_000
_MOST_TYPES = 100
_ENVELOPE = ("type", "stream", "record", "schema", "value", "time_extracted", "version")
_KNOWN = ("RECORD", "SCHEMA", "STATE", "ACTIVATE_VERSION", "BATCH", "REPLACE")
_SHAPES = {
    "RECORD": "record-shape",
    "SCHEMA": "schema-shape",
    "BATCH": "batch-shape",
    "REPLACE": "replace-shape",
}


class _Header(msgspec.Struct, gc=False):
    type: str
    stream: str


_header_decoder = msgspec.json.Decoder(_Header)


class Checker:
    """Takes a stream piece by piece (`feed`, then `end`) and adds what it finds to ``findings``."""

    def __init__(
        self,
        findings: Findings,
        *,
        max_line_bytes: int = MAX_LINE_BYTES,
        clock: Callable[[], float] = time.time,
        quality: Quality | None = None,
    ) -> None:
        self.quality = quality
        self.streams: dict[str, Stream] = {}
        self.messages: Counter[str] = Counter()
        """Messages by type; of unknown types only the first hundred are kept apart."""
        self._findings = findings
        self._states = States(self.streams, findings, clock)
        self._cutter = LineCutter(max_line_bytes)
        self._max_line_bytes = max_line_bytes
        self._prefixes: dict[bytes, Stream] = {}
        self._prefixes_tried = 0
        self._prefix = b""
        self._current: Stream | None = None
        self._by_fold: dict[str, str] = {}
        self._told_types: set[str] = set()
        self._line = 0
        self._rows = 0
        self._replaced: str | None = None
        """The stream of the last REPLACE since the last STATE."""

    def begins_at(self, state: Any) -> None:
        """Say with which STATE value the run began; to be called before `feed`."""
        self._states.begin({} if state is None else state)

    @property
    def lines(self) -> int:
        return self._line

    def feed(self, data: bytes) -> None:
        """Check the lines that end in the next piece of the stream."""
        for number, line in self._cutter.feed(data):
            self._check(line, number)
            if self.quality is not None:
                self.quality.take(line, number)

    def end(self) -> None:
        """Check the rest when the input has ended."""
        rest = self._cutter.rest()
        if rest is not None:
            number, line = rest
            if line is None or not line.isspace():
                self._check_last(line, number)
                if self.quality is not None:
                    self.quality.take(line, number)
        if self.quality is not None:
            self.quality.flush()
        if not self.messages and not self._line:
            self._add(
                "empty", "Expected a message, got the end of the input: did the tap die before its first one?"
            )
        if self._replaced is not None:
            self._add(
                "replace-open",
                "Expected a STATE behind REPLACE and the rows that take the place, got the end of the input",
                self._replaced,
            )
        self._states.end(self._line, self._rows)

    def _check_last(self, line: bytes | None, number: int) -> None:
        if line is not None and not _is_json(line):
            self._line = number
            self._add("cut", "Expected the end of a message, got the end of the input in the middle of one")
            return
        self._check(line, number)
        self._add("newline", "Expected a newline at the end of the last line, got none")

    # A line

    def _check(self, line: bytes | None, number: int) -> None:
        self._line = number
        if line is None:
            self._add(
                "length",
                f"Expected a line of at most {self._max_line_bytes} bytes (--max-line-bytes), got a longer one, which "
                "was not checked",
            )
            return
        stream = self._stream_of(line)
        if stream is not None and stream.take(line, number):
            self.messages["RECORD"] += 1
            self._note_row()
            return
        if number == 1 and line.startswith(_BOM):
            self._add("bom", "Expected a message, got a byte order mark before it")
            line = line[len(_BOM) :]
        if not line or line.isspace():
            self._add("blank", "Expected a message, got a blank line")
            return
        try:
            self._read(line)
        except LineError as error:
            self._add(error.check, str(error))
        except RecursionError:
            self._add("depth", "Expected values nested less deeply, got a line that was checked in part")

    def _stream_of(self, line: bytes) -> Stream | None:
        """Return the stream of a RECORD line, None for other lines and where it takes a closer look to tell."""
        if self._prefix and line.startswith(self._prefix):
            return self._current
        at = line.find(_RECORD_KEY, 0, _HEAD)
        stream = self._prefixes.get(line[: at + len(_RECORD_KEY)]) if at > 0 else None
        if stream is not None:
            self._prefix, self._current = line[: at + len(_RECORD_KEY)], stream
            return stream
        try:
            header = _header_decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        stream = self.streams.get(header.stream) if header.type == "RECORD" else None
        if stream is not None:
            self._learn_prefix(line, stream)
        return stream

    def _learn_prefix(self, line: bytes, stream: Stream) -> None:
        """Remember the bytes before the record, if they alone say type and stream."""
        at = line.find(_RECORD_KEY, 0, _HEAD)
        if at < 0 or self._prefixes_tried >= _MOST_PREFIXES:
            return
        self._prefixes_tried += 1
        prefix = line[: at + len(_RECORD_KEY)]
        try:
            head, odd = read_line(prefix + b":null}")
        except LineError:
            return
        if head == {"type": "RECORD", "stream": stream.name, "record": None} and not odd.duplicates:
            self._prefixes[prefix] = stream

    def _read(self, line: bytes) -> None:
        message, odd = read_line(line)
        if not isinstance(message, dict):
            self._add("object", f"Expected a JSON object, got {kind_of(message)}")
            return
        name = message.get("stream")
        about = name if isinstance(name, str) else None
        if odd.duplicates:
            self._add(
                "duplicate",
                f"Expected each key once, got {self._known(odd.duplicates[0], about)} twice",
                about,
            )
        if odd.constants:
            self._add("nan", f"Expected JSON numbers, got {shown(odd.constants[0])}", about)
        if odd.has_surrogate:
            self._add("surrogate", "Expected whole characters, got half of a surrogate pair", about)
        kind = self._kind_of_message(message)
        if kind is None:
            return
        if kind == "STATE":
            self._replaced = None
            self._states.state(message, len(line), self._line, self._rows)
            return
        self._states.other_message(self._line)
        if not isinstance(name, str) or not name:
            check = _SHAPES.get(kind, "activate-shape")
            found = "an empty one" if name == "" else kind_of(name) if "stream" in message else "none"
            self._add(check, f"Expected `stream`, a text, got {found} in {kind}")
            return
        self._dispatch(kind, name, message, line)

    def _dispatch(self, kind: str, name: str, message: dict[str, Any], line: bytes) -> None:
        stream = self._stream(name)
        match kind:
            case "SCHEMA" if stream.declared is not None and stream.declared.message == message:
                stream.declared_again(self._line)
            case "SCHEMA":
                stream.declare(declare(message, name, self._line, self._findings), self._line)
                self._states.stream_begins(stream)
            case "RECORD":
                if stream.declared is None:
                    self._add(
                        "record-early",
                        f"Expected a SCHEMA of {shown(name)} before its RECORD, got none",
                        name,
                    )
                stream.look(message, line, self._line)
                self._note_row()
            case "ACTIVATE_VERSION":
                check_activate(message, stream, self._line, self._findings)
            case "REPLACE":
                check_replace(message, stream, self._line, self._findings)
                self._replaced = name
            case _:
                stream.progress.rows_are_elsewhere()
                check_batch(message, stream, self._line, self._findings)

    def _note_row(self) -> None:
        self._rows += 1
        self._states.row_passed(self._rows, self._line)

    def _known(self, key: str, stream: str | None) -> str:
        """Name a key that message or schema has; another one may be row content."""
        declared = self.streams[stream].declared if stream in self.streams else None
        is_known = key in _ENVELOPE or (declared is not None and key in declared.properties)
        return shown(key) if is_known else "one"

    def _kind_of_message(self, message: dict[str, Any]) -> str | None:
        kind = message.get("type")
        if not isinstance(kind, str):
            found = kind_of(kind) if "type" in message else "none"
            self._add("type", f"Expected `type`, a text, got {found}")
            return None
        upper = kind.upper()
        if len(self.messages) < _MOST_TYPES or upper in _KNOWN:
            self.messages[upper if upper in _KNOWN else kind] += 1
        if upper not in _KNOWN:
            self._tell_type("unknown-type", kind, f"Expected a type that readers know, got {shown(kind)}")
            return None
        if kind != upper:
            self._tell_type("type-case", kind, f"Expected the type {upper}, got {shown(kind)}")
        return upper

    def _tell_type(self, check: str, kind: str, sentence: str) -> None:
        if kind not in self._told_types and len(self._told_types) < _MOST_TYPES:
            self._told_types.add(kind)
            self._add(check, sentence)

    def _stream(self, name: str) -> Stream:
        stream = self.streams.get(name)
        if stream is None:
            stream = self.streams[name] = Stream(name, self._findings)
            other = self._by_fold.setdefault(name.casefold(), name)
            if other != name:
                self._add(
                    "case-name",
                    f"Expected streams that differ by more than case, got {shown(other)} and {shown(name)}",
                    name,
                )
        return stream

    def _add(self, check: str, sentence: str, stream: str | None = None) -> None:
        self._findings.add(check, self._line, sentence, stream)


def _is_json(line: bytes) -> bool:
    try:
        read_line(line)
    except LineError as error:
        return error.check == "depth"
    return True
