"""The rules of Singer, what each says, and the checks that a stream alone can be put to.

A rule is *required* (by the texts, or because we decided so where they are silent), *recommended*, or a *habit* of
singer-python and singer-sdk. Breaking a required rule is an error; the others give warnings.

A test of the suite says by its name which rule it is of: ``test_g11_...`` tests G11, ``test_c01_c04_...`` tests C01
and C04. Ids that are missing in a row (O10, S02, ...) are notes without anything to test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

__all__ = ["CHECKS", "NOT_IN_A_STREAM", "RULES", "Check", "Severity", "rules_of"]

RULES = {
    # The command line and config of a tap
    "T01": "tap --config C [--state S] [--catalog K]",
    "T02": "--discover prints the catalog on stdout",
    "T03": "config is a JSON object, others are refused with 78; several files merge; ENV reads variables",
    "T04": "what changes in the config during a run is written back safely, and nothing else",
    "T05": "start_date, RFC 3339",
    "T06": "user_agent",
    "T07": "short forms -c -s -d, -p/--properties for the catalog",
    "T08": "exit 0 on success only",
    "T09": "stdout carries messages (or the catalog) only",
    "T10": "a CRITICAL line before a non-zero exit",
    "T11": "no stack trace for errors we raise ourselves",
    "T12": "no catalog: the streams selected by default are synced",
    "T13": "nothing selected: exit 78 and say so",
    "T14": "signals: stop at a message boundary, exit 143 (SIGTERM) or 130 (SIGINT), never 0",
    # Messages
    "O01": "one JSON object a line, newline-ended",
    "O02": "each message has a type",
    "O03": "unknown types do not break a reader: warn once per type, skip",
    "O04": "type is read case-insensitively",
    "O05": "UTF-8 and escaped ASCII are both read",
    "O06": "NaN and Infinity are never written, and refused when read",
    "O07": "big integers and decimals survive",
    "O08": "STATE is flushed, and rows do not wait for a full buffer for ever",
    "O09": "\\u0000 is legal JSON: it passes, or a policy answers it",
    "R01": "RECORD has record (object) and stream",
    "R03": "time_extracted, RFC 3339 with a zone",
    "R05": "streams may be mixed in any order",
    "R06": "RECORD before SCHEMA: taps never; targets exit 65",
    "R07": "a RECORD may have a version",
    "R08": "fields that are not in the schema are legal: ignored with one warning, or loaded if the policy says so",
    "R09": "fields absent from a record are legal unless required",
    "R10": "a record without a key property is invalid",
    "S01": "SCHEMA has schema, stream, key_properties (a list, may be empty)",
    "S03": "keys are top-level properties",
    "S04": "bookmark_properties are optional",
    "S06": "the top-level type may be absent",
    "S08": "{} is a valid schema",
    "S09": "a $ref is resolved before writing; a reader resolves local ones and refuses remote ones",
    "S11": "Draft 4 to 2020-12",
    "S14": "integer, number as decimal, date-time as timestamp",
    "S15": "SCHEMA again: same = nothing, changed = evolve",
    "S16": "anyOf, oneOf, type lists: best effort, never a crash",
    "S17": "names with : ! ? blanks, case, leading _",
    "S18": "SCHEMA carries only selected fields",
    # State
    "ST01": "the state is opaque to targets",
    "ST02": "no --state (or a file that does not exist yet) = from the beginning",
    "ST03": "the state file holds the value of STATE",
    "ST04": "a state file that is torn or not JSON is refused",
    "ST05": "STATE is written periodically",
    "ST06": '{"bookmarks": {stream: ...}}',
    "ST07": "a STATE never covers rows not yet written",
    "ST09": "rows ascend by replication key where possible; otherwise the bookmark waits for the end",
    "ST10": "filter on the server if it can",
    "ST12": "a row that shares the bookmark's value and appears later is not lost (>=)",
    "ST13": "a signpost taken before the sync starts bounds the bookmark",
    "ST14": "state is bounded, never one bookmark per parent id for ever",
    "ST15": "running again with the saved state works",
    "ST16": "an empty state never erases a good one of an earlier run",
    "ST17": "unknown streams in a state are kept",
    # Catalog
    "C01": "the catalog has streams",
    "C02": "each stream has its name",
    "C03": "each stream has a unique tap_stream_id",
    "C04": "each stream has a schema",
    "C05": "metadata with breadcrumbs",
    "C06": "inclusion: automatic always sent, unsupported never, available when selected",
    "C07": 'selected is the user\'s; the strings "true" and "false" count',
    "C08": "selected-by-default counts only where the user said nothing",
    "C09": "replication-method FULL_TABLE, INCREMENTAL (with replication-key), LOG_BASED",
    "C10": "forced-replication-method, valid-replication-keys, table-key-properties",
    "C11": "for databases schema-name, is-view, row-count, sql-datatype, view-key-properties",
    "C14": 'legacy "selected": true inside the schema is read',
    "C15": "only selected streams are requested, only selected fields are sent",
    "C17": "a child works when its parent is not selected",
    "C19": "what --discover prints can be fed back with --catalog",
    "SELECT": "select rules in the config (globs over stream.field, ! excludes) do the same without a catalog",
    # Metrics and logs
    "L01": "INFO METRIC: {type, metric, value, tags}; counters are increments, timers in seconds",
    "L04": "URLs and params are logged, secrets never",
    "L05": "a rate limit is honoured",
    "L06": "a failing server is asked again with back-off",
    "L07": "rows are streamed",
    "L08": "dates are RFC 3339 UTC",
    # Targets
    "G01": "messages from stdin, --config optional",
    "G03": "the STATE value, a line each, only after all rows before it are committed",
    "G04": "states are never reordered; the last line is the one to keep",
    "G05": "records are validated",
    "G07": "nothing else on stdout",
    "G09": "on failure: what is committed has been printed, nothing more",
    "G10": "input cut short: marked runs 65 and nothing past the last STATE; others: end of input ends the stream",
    "G11": "the last of several rows with one key wins",
    "G12": "no key = append",
    "G13": "the standard target streams of singer-sdk, with the rows checked",
    "G14": "_sdc_extracted_at, _received_at, _batched_at, _deleted_at, _sequence, _table_version, _sync_started_at",
    "G15": "blank lines are skipped",
    # Extensions
    "X01": "ACTIVATE_VERSION",
    "X03": "ACTIVATE_VERSION deletes nothing on a cut stream",
    "X04": "BATCH: {type, stream, encoding, manifest}",
    "X05": "BATCH: encoding format jsonl, parquet, arrow",
    "X06": "BATCH: compression",
    "X07": "BATCH: raw records inside the files",
    "X08": "BATCH: SCHEMA first",
    "X09": "BATCH: a STATE after it covers its files",
    "X10": "BATCH: the reader deletes nothing unless told to",
    "X11": "x-sql-datatype, x-singer.decimal, contentEncoding in property schemas",
    "X12": "REPLACE: rows with some values go, with the commit of what stands behind it",
}

_NAME = re.compile(r"(?:test_)((?:(?:st|[a-z])\d\d_|select_)+)")


def rules_of(test_name: str) -> list[str]:
    """Return the ids of the rules that a test of this name is for."""
    match = _NAME.match(test_name)
    return [part.upper() for part in match.group(1).rstrip("_").split("_")] if match else []


class Severity(Enum):
    """What a finding means: an error breaks a required rule, information is legal and worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Check:
    """One thing that is looked at: the rule it is of, and what is expected."""

    rule: str
    severity: Severity
    expects: str


_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

CHECKS: dict[str, Check] = {
    # Lines
    "json": Check("O01", _E, "a line is JSON"),
    "object": Check("O01", _E, "a line is a JSON object"),
    "newline": Check("O01", _E, "the last line ends with a newline"),
    "cut": Check("O01", _E, "the input does not end in the middle of a message"),
    "blank": Check("O01", _W, "no line is blank (readers skip them)"),
    "duplicate": Check("O01", _W, "no object has a key twice"),
    "length": Check("O01", _E, "a line is no longer than --max-line-bytes; a longer one is not checked"),
    "depth": Check("O01", _E, "values are not nested so deeply that they cannot be read"),
    "type": Check("O02", _E, "a message has a type, a text"),
    "unknown-type": Check("O03", _W, "the type is one that readers know (told once per type)"),
    "type-case": Check("O04", _W, "the type is in upper case (told once per spelling)"),
    "bom": Check("O05", _E, "the stream does not begin with a byte order mark"),
    "utf8": Check("O05", _E, "a line is UTF-8"),
    "surrogate": Check("O05", _W, "no text holds half of a surrogate pair"),
    "nan": Check("O06", _E, "numbers are JSON: no NaN, no Infinity"),
    "nul": Check("O09", _I, "text without \\u0000, which many stores refuse (told once per stream)"),
    # SCHEMA
    "schema-shape": Check(
        "S01", _E, "SCHEMA has stream, schema (an object) and key_properties (a list of names)"
    ),
    "key-property": Check("S03", _E, "a key is a top-level property of the schema"),
    "bookmark-property": Check("S04", _W, "bookmark_properties is a list of top-level properties"),
    "reference": Check("S09", _W, "references inside the schema are resolved before it is written"),
    "reference-lost": Check("S09", _E, "a reference names something inside the schema"),
    "draft": Check("S11", _E, "the schema is a JSON Schema, Draft 4 to 2020-12"),
    "schema-again": Check(
        "S15", _I, "SCHEMA comes again only when something has changed (told once per stream)"
    ),
    "key-change": Check("S15", _W, "a later SCHEMA of a stream keeps its key properties"),
    "odd-name": Check(
        "S17", _W, "names have no control characters, outer blanks, slashes, nor over 63 bytes"
    ),
    "case-name": Check("S17", _W, "names of streams, and of the fields of one, differ by more than case"),
    "annotation": Check(
        "X11", _W, "x-sql-datatype and contentEncoding are text, x-singer.decimal is a boolean"
    ),
    # RECORD
    "record-shape": Check("R01", _E, "RECORD has stream (a text) and record (an object)"),
    "extracted": Check("R03", _W, "time_extracted is RFC 3339 with a zone"),
    "record-early": Check("R06", _E, "the SCHEMA of a stream comes before its first RECORD"),
    "version": Check("R07", _W, "version is an integer"),
    "extra-field": Check("R08", _I, "fields are in the schema (told once per field)"),
    "required": Check("R09", _E, "a record has the properties that its schema requires"),
    "key-value": Check("R10", _E, "a record has a value in each key property"),
    "invalid": Check("G05", _E, "a record is valid for its schema"),
    "date-time": Check("S14", _W, "what is declared a date-time or date is one (told once per field)"),
    "zone": Check("L08", _W, "a date-time has a zone (told once per field)"),
    # STATE
    "state-value": Check("ST03", _E, "STATE has a value"),
    "state-shape": Check("ST06", _W, "the value of STATE is an object with bookmarks by stream"),
    "state-rare": Check("ST05", _W, "a STATE comes at least every million rows, and after the last row"),
    "state-ahead": Check(
        "ST07", _E, "a bookmark moves no further than the highest row written, now or as its first state says"
    ),
    "state-beyond": Check(
        "ST07",
        _W,
        "a bookmark is not above the highest row written, unless the run began there (--state tells)",
    ),
    "row-late": Check("ST07", _E, "no row below a bookmark comes after the STATE that moved it there"),
    "unsorted": Check("ST09", _W, "the bookmark of rows that do not ascend waits for the last of them"),
    "future": Check("ST13", _W, "a bookmark is not in the future"),
    "state-size": Check("ST14", _W, "a state has at most 1 MiB, and 1,000 partitions a stream"),
    "state-empty": Check("ST16", _W, "no empty state comes after a good one"),
    "state-forgets": Check("ST17", _W, "a stream stays in the state once it is there"),
    "end-missing": Check(
        "G10", _E, "a run that began with the mark of singerkit ends with one that says complete"
    ),
    "empty": Check("G10", _W, "a stream has a message; without any the tap may have died before its first"),
    "end-passed": Check("G10", _E, "nothing comes after the STATE that says complete"),
    # Extensions
    "activate-shape": Check("X01", _W, "ACTIVATE_VERSION has stream and version (an integer)"),
    "activate-other": Check("X01", _W, "ACTIVATE_VERSION names the version of the rows of this run"),
    "activate-early": Check("X03", _W, "ACTIVATE_VERSION comes after the rows of its version"),
    "batch-shape": Check(
        "X04", _E, "BATCH has stream, encoding (with a format) and manifest (a list of texts)"
    ),
    "batch-format": Check("X05", _W, "the format of a BATCH is jsonl, parquet or arrow"),
    "batch-compression": Check("X06", _W, "the compression of a BATCH is none, gzip, zstd or snappy"),
    "batch-early": Check("X08", _E, "the SCHEMA of a stream comes before its first BATCH"),
    "replace-shape": Check(
        "X12", _E, "REPLACE has stream and where (an object of properties of the schema, none of them nested)"
    ),
    "replace-early": Check("X12", _E, "the SCHEMA of a stream comes before its first REPLACE"),
    "replace-open": Check(
        "X12", _E, "a STATE comes behind a REPLACE and what takes the place of the rows that go"
    ),
}
"""What is looked at in a stream. Names are stable: they stand in the JSON findings."""

NOT_IN_A_STREAM: dict[str, str] = {
    "T01-T14": "the command line and the exit code of a tap: `--tap`",
    "O07": "whether a digit was lost is known to the source only: `--tap` with a driver, `--target`",
    "O08": "flushing shows in time, not in bytes: `--tap`, `--target`",
    "R05, S06, S08, S16": "what is allowed; a reader has to cope: `--target`",
    "S18, C01-C19, SELECT": "the catalog is not in the stream: `--tap`",
    "ST01, ST02, ST04, ST10, ST12, ST15": "what happens with a state in the next run: `--tap`",
    "L01-L07": "logs and requests: `--tap`",
    "G01-G04, G07-G09, G11-G15": "what a target does: `--target`",
    "X07, X09, X10": "the files of a BATCH: `--target`",
}
"""Rules that no stream can show broken, with the reason and where they are tested instead."""
