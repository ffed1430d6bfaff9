"""The list of faults: what goes wrong, what must happen, and the exit codes that are allowed to come of it.

It is the one place that says which faults there are. `table.py` checks marked tests against it and makes
docs/faults.md of it and of a test run.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ROWS", "SECTIONS", "Row"]


@dataclass(frozen=True)
class Row:
    """One fault. ``exits`` are exit codes as a shell shows them (137 for a kill)."""

    id: str
    fault: str
    must: str
    exits: tuple[int, ...]


def _rows(*rows: tuple[str, str, str, tuple[int, ...]]) -> tuple[Row, ...]:
    return tuple(Row(*row) for row in rows)


SECTIONS: dict[str, tuple[Row, ...]] = {
    "Process, pipe, state file": _rows(
        (
            "P1",
            "the target is killed at any point",
            "the transaction rolls back, the next run goes on from the committed state",
            (137,),
        ),
        (
            "P2",
            "the input ends in the middle of a line",
            "what a STATE covers is committed, the line is no record and is not set aside",
            (65,),
        ),
        (
            "P3",
            "the tap dies between two lines",
            "our tap: rows after its last STATE are dropped, no version is activated; a tap of others: its streams have "
            "ended",
            (65, 0),
        ),
        (
            "P4",
            "SIGTERM or SIGINT while idle, in COPY, in merge, in COMMIT",
            "the unit is finished or rolled back, a STATE is printed only if it is committed",
            (143, 130),
        ),
        ("P5", "a second signal", "the statement is cancelled, the unit rolls back at once", (143,)),
        ("P6", "SIGTERM to the tap", "it stops between two records, no state runs ahead", (143,)),
        ("P7", "the target has died", "the tap ends with one line", (69,)),
        ("P8", "a stopped target goes on after a new run took over", "it commits nothing", (76, 69)),
        (
            "P9",
            "two runs at once",
            "the second is refused: which run holds the lock, since when",
            (75,),
        ),
        (
            "P10",
            "stdout is full, or its reader has gone",
            "the state is saved in the database, not printed",
            (74,),
        ),
        (
            "S1",
            "no space for the state file",
            "the old file stays; the next run brings it up to date",
            (74,),
        ),
        ("S2", "the state file is empty, torn, not JSON", "refused, with the way out", (78,)),
        ("S3", "the state file of another pipeline", "refused, naming both", (78,)),
        ("S4", "fsync fails", "the write has failed and is not tried again", (74,)),
        ("S6", "the clock jumps", "no bookmark moves", (0,)),
    ),
    "Postgres": _rows(
        (
            "D1",
            "the connection is lost in COPY, in merge, while idle",
            "the unit rolls back; reconnects and replays it while it is held, else the next run goes on",
            (0, 69),
        ),
        (
            "D2",
            "the connection is lost during COMMIT",
            "the sequence number in the state row decides; without an answer the run ends and the next one finds out",
            (0, 69),
        ),
        ("D3", "the server is restarted at once", "as D1", (0, 69)),
        (
            "D4",
            "a deadlock, a serialization failure, a lock that is not given up",
            "the whole unit again, a bounded number of times, then names the sessions that are in the way",
            (0, 75),
        ),
        (
            "D5",
            "a statement timeout, a full disk",
            "named, the unit rolls back; not repeated for ever",
            (69, 74),
        ),
        (
            "D6",
            "a read-only standby, too many connections, an administrator's shutdown",
            "named; not repeated for ever",
            (69, 74),
        ),
        (
            "D7",
            "a pooler in transaction mode",
            "a warning that no lock protects, the epoch still does; what the pooler refuses is said",
            (0,),
        ),
        (
            "D8",
            "a table is dropped, renamed or altered meanwhile",
            "named; a table that the state says was loaded is not made again",
            (65,),
        ),
        (
            "D9",
            "privileges are missing",
            "found before the input is read, for a stream's table before its first row is committed",
            (77,),
        ),
        (
            "D10",
            "odd TimeZone, DateStyle, search_path, isolation, encoding",
            "set on connect, no value changes",
            (0, 65),
        ),
        (
            "D11",
            "a key is null or missing; a key comes twice in a unit",
            "refused naming field and line; the last one wins",
            (65, 0),
        ),
        ("D12", "another writer inserts the same key", "waited for, then the row is updated", (0,)),
    ),
    "HTTP source": _rows(
        (
            "H1",
            "429 with Retry-After in seconds, as a date, huge, or without",
            "honoured, capped, counted",
            (0, 69),
        ),
        (
            "H2",
            "500, 502, 503, 504, refused, no such name, TLS",
            "waits longer each time, with jitter; TLS is never given up",
            (0, 69),
        ),
        (
            "H3",
            "401 or 403 in mid-run",
            "a token from a file is read from there again, once it has changed; else failure",
            (77,),
        ),
        ("H4", "other 4xx", "fails at once, with an excerpt of the body and no secret", (65,)),
        ("H5", "no answer; a byte a second", "a deadline for the whole response", (69,)),
        (
            "H6",
            "a body shorter than Content-Length, a broken chunk",
            "the page is asked for again, never read as it is",
            (0, 69),
        ),
        ("H7", '200 with HTML, bad JSON, `{"error": ...}`, nothing', "never zero records", (65,)),
        (
            "H8",
            "a wrong charset, a byte order mark, invalid UTF-8",
            "a declared charset is read, anything else refused",
            (65, 0),
        ),
        (
            "H9",
            "rows are inserted while pages are read",
            "keyset and cursor paging read each row once; rows that page numbers show twice are one by their key",
            (0,),
        ),
        ("H10", "pages that lead to themselves, A-A and A-B-A", "noticed; a page limit", (65,)),
        (
            "H11",
            "a redirect to another host",
            "no credential goes there; refused unless listed",
            (77,),
        ),
        (
            "H12",
            "a next link to another host",
            "no credential goes there; refused unless listed",
            (77,),
        ),
        (
            "H13",
            "a link-local or metadata address behind a name or a redirect",
            "refused unless configured",
            (78,),
        ),
        ("H14", "a huge body, a gzip bomb", "a limit on decompressed bytes", (65,)),
        (
            "H15",
            "many rows of one moment, across pages and runs",
            "nothing lost, nothing doubled",
            (0,),
        ),
        ("H16", "rows that appear late", "the lookback window finds them", (0,)),
    ),
    "PostgreSQL as a source": _rows(
        (
            "L1",
            "`wal_level` is not `logical`",
            "refused with the statement, before anything is made or read",
            (78,),
        ),
        (
            "L2",
            "the role may not read, or not make what a log needs",
            "each grant in turn, with its statement",
            (77,),
        ),
        ("L3", "the slot is in use", "refused, naming who reads by it; the next run goes on", (75,)),
        ("L4", "the slot has lost its log", "never passed by; started over, the run makes it again", (78,)),
        ("L5", "the publication is gone", "never passed by; started over, the run makes it again", (78,)),
        (
            "L6",
            "a table is gone, before a run or in it",
            "named; the other streams go on once the catalog is made again",
            (78, 65),
        ),
        (
            "L7",
            "a table has no replica identity",
            "never published, since its own application could not change it",
            (78,),
        ),
        ("L8", "two taps on one slot", "the second is refused, the first goes on", (75,)),
        (
            "L9",
            "the server is away, at the beginning or in mid-log",
            "the next run goes on from what was committed",
            (69,),
        ),
        (
            "L10",
            "no room for the spool: a full disk, or `log.spool_bytes`",
            "the transaction comes whole with the next run that has room",
            (74,),
        ),
    ),
    "Files as a source": _rows(
        (
            "F4",
            "a file is uploaded by and by",
            "it waits for its marker, or for its age; without either its rows are replaced when it is complete",
            (0,),
        ),
        (
            "F6",
            "bytes that are none of the encoding",
            "named with record and line; the rows before are safe",
            (65,),
        ),
        ("F7", "a quote that is never closed", "a bad row up to its line, never the rest of the file", (65,)),
        (
            "F10",
            "gzip that is cut, or has something behind its end",
            "named with the byte; the rows before are safe",
            (65,),
        ),
        ("F11", "another delimiter than is said", "refused, since no run guesses one", (65,)),
        (
            "F12",
            "a log is renamed, copied and emptied, or packed",
            "each line comes once, whatever its file is called by then",
            (0,),
        ),
        (
            "F13",
            "a cell of Excel with an error, a workbook that is locked",
            "named with the cell; refused",
            (65,),
        ),
        (
            "F14",
            "a bomb, an archive that leads elsewhere or is locked by a password, `..` in `path`",
            "nothing of it is read; of a bomb no more than the limit",
            (65, 78),
        ),
        ("F18", "Parquet of a newer version", "said with the version that reads it", (65,)),
        ("F19", "no credentials, or wrong ones", "the setting is named, never its value", (77,)),
        ("F20", "a folder that is not there, or is empty", "an error; a warning", (78, 0)),
    ),
    "Messages and values": _rows(
        (
            "M1",
            "a malformed line; blank lines, byte order mark, CRLF",
            "ends at the last STATE before it, naming line, byte and stream, never its content; the others are tolerated",
            (65, 0),
        ),
        (
            "M2",
            "an unknown message type, `type` in another case",
            "skipped with one warning; read",
            (0,),
        ),
        (
            "M3",
            "RECORD before SCHEMA; schemas that change and flip back; a key change",
            "refused; rows stay in order; the new key holds from there on",
            (65, 0),
        ),
        (
            "M4",
            "STATE null, `{}`, without bookmarks",
            "erases nothing of an earlier run; clears what the same run has said before",
            (0,),
        ),
        (
            "M5",
            "a field is missing, a field is null",
            "from our taps the stored value stays, from those of others it is null (`missing_fields`); null is stored",
            (0,),
        ),
        ("M6", "an integer beyond 2^63", "the column becomes numeric", (0,)),
        ("M7", "NaN, Infinity", "`on_unstorable` decides", (65, 0)),
        ("M8", "decimals of 17 to 1000 digits, 1e400", "exact", (0,)),
        (
            "M9",
            "timestamps with offsets, without, with nanoseconds, leap seconds",
            "the same instant ([values](values.md))",
            (0,),
        ),
        (
            "M10",
            "year 0000, 10000, BC, 30 February",
            "`on_unstorable` decides, the field is named",
            (65, 0),
        ),
        ("M11", "NUL, at any depth, in keys too", "`on_unstorable` decides", (65, 0)),
        ("M12", "lone surrogates, at any depth, in keys too", "`on_unstorable` decides", (65, 0)),
        ("M13", "100,000 levels of nesting", "refused", (65,)),
        (
            "M14",
            "a line of a gigabyte, 5,000 columns, a row too big for a page",
            "refused, naming line or stream, in bounded memory",
            (65,),
        ),
        (
            "M15",
            "names over 63 bytes; names that differ in case or Unicode form; collisions; names of our own tables",
            "shortened with a hash, the whole name in a comment; kept apart; refused before anything is written",
            (0, 65),
        ),
        ("M16", "streams `a-users` and `b-users`", "two tables", (0,)),
        ("M17", "quotes, percent signs, SQL in names", "plain names, quoted", (0,)),
        (
            "M18",
            "`../../x`, `/etc/x`, `CON` as stream name of a file target",
            "stays under the root",
            (0,),
        ),
        (
            "M20",
            "secrets in config, DSN, headers, URLs, environment, errors, `--about`, state",
            "never printed, never written",
            (65, 69, 77, 78, 0),
        ),
        (
            "M21",
            "a value that only the server refuses, anywhere in a unit with several STATEs",
            "the state is that of the last rows stored, on every run, or the row is set aside by policy",
            (65, 0),
        ),
        ("M22", "the source changes between two answers of a read", "the next runs bring it", (0,)),
        (
            "M23",
            "a replication key whose order is not known: dates and versions as text",
            "refused before the first row, with the formats that read it",
            (78,),
        ),
        (
            "M24",
            "a run ends between a REPLACE and the commit of what takes the place, or its connection is lost there",
            "the old rows are there, or the new ones, as the state says; a unit that is held is written again",
            (137, 0),
        ),
        (
            "M25",
            "records with data that a map hides, bad in other fields or of another kind, with `--debug`",
            "it is seen nowhere: no row, dead letter, result of a rule, log line or state",
            (0, 65),
        ),
        (
            "M26",
            "a rule of quality is broken: by a record, by all rows together, by one that is to be set aside; once more",
            "nothing of that unit is committed, what came before it is; or its dead letter is there once, and the run goes on",
            (65, 0),
        ),
    ),
}
ROWS: dict[str, Row] = {row.id: row for rows in SECTIONS.values() for row in rows}
"""Every fault by its id, in the order of the list."""
