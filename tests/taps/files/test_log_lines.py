"""Lines of logs by known patterns and by expressions of one's own; rows of several lines; lines that do not fit."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from taps.files.contents import (
    Data,
    continued_everywhere,
    faults_of,
    numbers_of,
    read_all,
    records_of,
    rows_of,
)

from tap_files.formats import loglines, wholelines
from tap_files.formats.contract import Piece, Spot, UnreadableFile
from tap_files.settings.log import LogSettings, log_problems


def read(text: str | bytes, is_whole: bool = True, most: int = 1 << 20, **settings: Any) -> list[Piece]:
    data = text if isinstance(text, bytes) else text.encode()
    return read_all(loglines.reader_of(LogSettings(**settings), Data(data, is_whole, most), Spot()))


KNOWN_LINES = [
    (
        "common",
        '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326',
        [
            "127.0.0.1",
            None,
            "frank",
            "10/Oct/2000:13:55:36 -0700",
            "GET",
            "/apache_pb.gif",
            "HTTP/1.0",
            "GET /apache_pb.gif HTTP/1.0",
            "200",
            "2326",
        ],
    ),
    (
        "common",
        '::1 - Jane Doe [10/Oct/2000:13:55:36 -0700] "-" 408 -',
        ["::1", None, "Jane Doe", "10/Oct/2000:13:55:36 -0700", None, None, None, "-", "408", None],
    ),
    (
        "combined",
        r'h - - [10/Oct/2000:13:55:36 +0000] "GET /a?q=\"x\" y HTTP/1.1" 404 0 "https://a.b/\\" "Mozilla/5.0 (X11; \x22)"',
        [
            "h",
            None,
            None,
            "10/Oct/2000:13:55:36 +0000",
            None,
            None,
            None,
            r"GET /a?q=\"x\" y HTTP/1.1",
            "404",
            "0",
            r"https://a.b/\\",
            r"Mozilla/5.0 (X11; \x22)",
        ],
    ),
    (
        "combined",
        r'10.0.0.9 - - [10/Oct/2000:13:55:36 +0000] "\x16\x03\x01" 400 150 "-" "-"',
        [
            "10.0.0.9",
            None,
            None,
            "10/Oct/2000:13:55:36 +0000",
            None,
            None,
            None,
            r"\x16\x03\x01",
            "400",
            "150",
            None,
            None,
        ],
    ),
    (
        "syslog",
        "Oct 11 22:14:15 mymachine su[77]: 'su root' failed for lonvick on /dev/pts/8",
        [None, "Oct 11 22:14:15", "mymachine", "su", "77", "'su root' failed for lonvick on /dev/pts/8"],
    ),
    (
        "syslog",
        "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
        ["13", "Feb  5 17:32:18", "10.0.0.99", None, None, "Use the BFG!"],
    ),
    (
        "syslog",
        "2026-01-31T10:00:00.123456+01:00 web-1 kernel: [    0.000000] Linux version 6.1: -",
        [
            None,
            "2026-01-31T10:00:00.123456+01:00",
            "web-1",
            "kernel",
            None,
            "[    0.000000] Linux version 6.1: -",
        ],
    ),
    (
        "syslog",
        "Oct 11 22:14:15 mail postfix/smtpd[1]: -",
        [None, "Oct 11 22:14:15", "mail", "postfix/smtpd", "1", "-"],
    ),
    (
        "rfc5424",
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed",
        [
            "34",
            "1",
            "2003-10-11T22:14:15.003Z",
            "mymachine.example.com",
            "su",
            None,
            "ID47",
            None,
            "'su root' failed",
        ],
    ),
    (
        "rfc5424",
        r'<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [ex@1 iut="3\]" s="A\"p"][b@1 c="]"]',
        [
            "165",
            "1",
            "2003-10-11T22:14:15.003Z",
            "h",
            "evntslog",
            None,
            "ID47",
            r'[ex@1 iut="3\]" s="A\"p"][b@1 c="]"]',
            None,
        ],
    ),
]


@pytest.mark.parametrize(("pattern", "line", "values"), KNOWN_LINES)
def test_known_patterns(pattern, line, values):
    for end in ("\n", "\r\n", ""):
        (row,) = rows_of(read(line + end, pattern=pattern))
        assert list(row.values()) == values
    (fault,) = faults_of(read("some other line\n", pattern=pattern))
    assert fault == (1, 1, 0, f"Expected a row that the pattern `{pattern}` fits, got another one")


def test_nothing_stands_for_nothing_in_known_patterns_alone():
    assert rows_of(read("a -\n", expression=r"(?P<x>\S+) (?P<y>\S+)(?: (?P<z>.*))?")) == [
        {"x": "a", "y": "-", "z": None}
    ]


def test_groups_without_a_name_are_no_columns():
    rows = rows_of(read("a b c\nd e f\n", expression=r"(\S+) (?P<y>\S+) ((?P<x>\S)+)"))
    assert rows == [{"y": "b", "x": "c"}, {"y": "e", "x": "f"}]


def test_logfmt():
    lines = [
        (r'time=2026-01-31T10:00:00Z level=info msg="it \"works\" \u00e9" n=07 empty= q="" a.b/c=x', None),
        (r'path=C:\dir msg="a\\b"', None),
        ("level=info words", "Expected `key=value`, got other text (character 10 of the row)"),
        ("a=1 a=2", "Expected each key once, got one twice (character 4 of the row)"),
        ('a="open', "Expected `key=value`, got other text (character 0 of the row)"),
        (r'a="\q"', "Expected escapes of JSON in quotes, got others"),
        ('a="x"b=1', "Expected `key=value`"),
        ("=1", "Expected `key=value`"),
    ]
    pieces = read("\n".join(line for line, _ in lines), pattern="logfmt")
    assert records_of(pieces) == [
        '{"time":"2026-01-31T10:00:00Z","level":"info","msg":"it \\"works\\" é","n":"07","empty":"","q":"","a.b/c":"x"}'.encode(),
        rb'{"path":"C:\\dir","msg":"a\\b"}',
    ]
    faults = faults_of(pieces)
    assert [line for _, line, _, _ in faults] == [3, 4, 5, 6, 7, 8]
    assert all(said in fault[3] for fault, (_, said) in zip(faults, lines[2:], strict=True))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholelines, "PIECE_BYTES", 64)


TRACES = "".join(
    f"2026-01-{day:02} ERROR it failed\n  File é\n\n"
    + "  more\n" * (day % 4)
    + f"2026-01-{day:02} INFO fine\n"
    for day in range(1, 11)
)
SEVERAL = {"expression": r"(?P<day>\S+) (?P<level>[A-Z]+) (?P<message>.*)", "row_start": r"\d{4}-\d\d-\d\d "}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le"])
def test_rows_of_several_lines_are_put_together_whatever_the_pieces(codec):
    settings = LogSettings(**SEVERAL, encoding=codec)
    expected = [
        dict(zip(("day", "level", "message"), match.groups(), strict=True))
        for match in re.finditer(r"(?ms)^(2026-01-\d\d) ([A-Z]+) (.*?)\n+(?=2026|\Z)", TRACES)
    ]
    data = TRACES.encode(codec)
    for most in (1, 50, 1 << 20):
        pieces = read(data, most=most, encoding=codec, **SEVERAL)
        assert rows_of(pieces) == expected
        assert numbers_of(pieces) == list(range(1, 21))
    lines = [line for piece in pieces for line in piece.lines]
    assert [TRACES.split("\n")[line - 1][:4] for line in lines] == ["2026"] * 20
    continued_everywhere(lambda content, start: loglines.reader_of(settings, content, start), data, rows_of)


@pytest.mark.usefixtures("small")
def test_the_last_row_of_several_lines_waits_for_the_one_behind_it():
    text = "2026-01-01 INFO a\n  b\n2026-01-02 INFO c\n  d\n"
    pieces = read(text, is_whole=False, **SEVERAL)
    assert [row["message"] for row in rows_of(pieces)] == ["a\n  b"]
    spot = pieces[-1].behind
    assert (spot.byte, spot.line, spot.row) == (text.index("2026-01-02"), 2, 1)
    later = loglines.reader_of(
        LogSettings(**SEVERAL), Data((text + "  e\n2026-01-03 INFO f\n").encode()[spot.byte :]), spot
    )
    assert [row["message"] for row in rows_of(read_all(later))] == ["c\n  d\n  e", "f"]


def test_lines_before_the_first_row_and_rows_that_are_too_long_are_bad():
    text = "  of a row before\n\n2026-01-01 INFO a\n" + "  more\n" * 300 + "2026-01-02 INFO b\n"
    pieces = read(text, max_row_bytes=1000, **SEVERAL)
    assert [row["message"] for row in rows_of(pieces)] == ["b"]
    assert [fault[:3] for fault in faults_of(pieces)] == [(1, 1, 0), (2, 3, text.index("2026"))]
    assert "Expected a row that begins as `log.row_start` says" in faults_of(pieces)[0][3]
    assert "Expected a row of at most 1000 bytes" in faults_of(pieces)[1][3]
    assert max(len(bad.text) for piece in pieces for bad in piece.bad) <= 10_000


def test_bad_bytes_are_a_bad_row_and_blank_lines_are_none():
    pieces = read(b"a 1\n\n  \nb\xff 2\nc 3\n", expression=r"(?P<k>\w+) (?P<v>\d)")
    assert rows_of(pieces) == [{"k": "a", "v": "1"}, {"k": "c", "v": "3"}]
    assert faults_of(pieces) == [(2, 4, 8, "Expected `utf-8`, got other bytes (byte 1 of the line)")]
    assert numbers_of(pieces) == [1, 3]


def test_an_expression_that_goes_back_for_ever_makes_a_bad_row(monkeypatch):
    monkeypatch.setattr(loglines, "_BLOCK_SECONDS", 0.1)
    monkeypatch.setattr(loglines, "_ROW_SECONDS", 0.1)
    text = "aaab 1\n" + "a" * 40 + "\nab 2\n"
    began = time.process_time()
    pieces = read(text, expression=r"(?P<x>(?:a+)+b) (?P<n>\d)")
    assert [row["n"] for row in rows_of(pieces)] == ["1", "2"]
    ((row, line, byte, said),) = faults_of(pieces)
    assert (row, line, byte) == (2, 2, 7)
    assert "takes less than 0.1 seconds" in said
    assert time.process_time() - began < 20, "it would take hours"
    with pytest.raises(UnreadableFile, match=r"Expected `log.row_start` to take less"):
        read("a" * 40 + "\n", expression="(?P<x>.*)", row_start=r"(?:a+)+b")


def test_what_a_config_may_not_say():
    for said, problem in (
        ({}, "Expected one of `s.log.pattern`"),
        ({"pattern": "common", "expression": "(?P<a>.)"}, "got both"),
        ({"expression": "(?P<a>"}, "Expected a regular expression of Python at `s.log.expression`"),
        ({"expression": ".*"}, "Expected named groups"),
        ({"pattern": "common", "row_start": "a*"}, "that not every line begins with"),
        (
            {"pattern": "common", "row_start": "["},
            "Expected a regular expression of Python at `s.log.row_start`",
        ),
        ({"pattern": "common", "encoding": "utf-9"}, "Expected an encoding of files"),
    ):
        assert problem in "; ".join(log_problems(said, "s.log"))
    assert not list(log_problems({"expression": "(?P<a>.*)", "row_start": r"\S"}, "s.log"))
