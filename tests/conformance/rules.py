"""The rules of Singer that every executable is tested against: id, and what the test of it says.

A test says which rule it is of by its name: ``test_g11_...`` tests G11, ``test_c01_c04_...`` tests C01 and C04.
Ids that are missing in a row (O10, S02, ...) are notes without anything to test.
"""

from __future__ import annotations

import re

__all__ = ["RULES", "rules_of"]

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
    "ST16": "an empty state never erases a good one",
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
}

_NAME = re.compile(r"(?:test_)((?:(?:st|[a-z])\d\d_|select_)+)")


def rules_of(test_name: str) -> list[str]:
    """Return the ids of the rules that a test of this name is for."""
    match = _NAME.match(test_name)
    return [part.upper() for part in match.group(1).rstrip("_").split("_")] if match else []
