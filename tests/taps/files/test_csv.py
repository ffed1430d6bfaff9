"""CSV: what becomes of every odd thing in a file, and that a later run goes on where a piece ended."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sampling import tries
from taps.files.reading_bytes import pieces_of, rows_of

from singerkit_shell.errors import BadDataError
from tap_files.formats import blocks, csvtext, textreader
from tap_files.formats.contract import BadRow, Piece, Spot, UnreadableFile
from tap_files.settings.csv import CSV, CsvSettings, csv_problems, csv_settings


def opener(**said: Any) -> Any:
    settings = csv_settings(said, "a.csv")
    return lambda content, start: csvtext.reader_of(settings, content, start)


def bounded(most: int) -> Any:
    return lambda content, start: csvtext.reader_of(CsvSettings(max_row_bytes=most), content, start)


def read(data: bytes, *, is_whole: bool = True, **said: Any) -> list[tuple[Any, ...]]:
    return rows_of(pieces_of(opener(**said), data, is_whole=is_whole))


def values(rows: list[tuple[Any, ...]]) -> list[Any]:
    """Return the values of good rows, and of bad ones what is said of them."""
    return [row.reason if isinstance(row, BadRow) else tuple(row.values()) for _, _, row in rows]


@pytest.mark.parametrize(
    ("data", "said", "expected"),
    [
        (b"id,a\n1,x\n2,y\n", {}, [("1", "x"), ("2", "y")]),
        (b"id,a\n1,x\n2,y", {}, [("1", "x"), ("2", "y")]),
        (b"id,a\r1,x\r2,y\r", {}, [("1", "x"), ("2", "y")]),
        (b"id,a\r\n1,x\n2,y\r3,z\r\n", {}, [("1", "x"), ("2", "y"), ("3", "z")]),
        (b'id,a\n1,"x\ny"\n2,"p\r\nq"\n', {}, [("1", "x\ny"), ("2", "p\r\nq")]),
        (b'id,a\n1,"say ""x"", y"\n2,""\n3,"""x"""\n', {}, [("1", 'say "x", y'), ("2", None), ("3", '"x"')]),
        (b'id,a\n1,5" pipe\n', {}, [("1", '5" pipe')]),
        (b"\n\nid,a\n\n1,x\n\n2,y\n\n", {}, [("1", "x"), ("2", "y")]),
        (b"id,a\n007,1e5\n1.10,\xc3\xbc\n", {}, [("007", "1e5"), ("1.10", "ü")]),
        (b"id,a\n1,x\0y\n", {}, [("1", "x\0y")]),
        (b"\xef\xbb\xbfid,a\n1,x\n", {}, [("1", "x")]),
        (b"\xef\xbb\xbfid,a\n1,x\n", {"encoding": "utf-8"}, [("1", "x")]),
        ("id,a\n1,ü\n".encode("utf-16"), {}, [("1", "ü")]),
        ("\ufeffid,a\n1,ü\n".encode("utf-32-be"), {}, [("1", "ü")]),
        ("id,a\n1,ü\n".encode("utf-16-be"), {"encoding": "UTF-16BE"}, [("1", "ü")]),
        ("id,a\n1,ü\n".encode("latin-1"), {"encoding": "latin-1"}, [("1", "ü")]),
        ("id,a\n1,表|ソ\n".encode("shift_jis"), {"encoding": "shift_jis"}, [("1", "表|ソ")]),
        ("id,a\x851,ä\x85".encode("cp273"), {"encoding": "cp273"}, [("1", "ä")]),
        (b"id;a\n1;x,y\n", {"delimiter": ";"}, [("1", "x,y")]),
        (b"id|a\n1|'x|y'\n", {"delimiter": "|", "quote": "'"}, [("1", "x|y")]),
        (b'id,a\n1,"x\n2,y"\n', {"quote": ""}, [("1", '"x'), ("2", 'y"')]),
        (b'id,a\n1,"x\\"y"\n2,x\\,y\n', {"escape": "\\"}, [("1", 'x"y'), ("2", "x,y")]),
        (b"1,x\n2,y\n", {"header": "none"}, [("1", "x"), ("2", "y")]),
        (b"1,x\n2,y\n", {"names": ["p", "q"]}, [("1", "x"), ("2", "y")]),
        (b"id,id\n1,x\n", {"names": ["p", "q"], "header": "first"}, [("1", "x")]),
        (b"made by x\n\nid,a\n1,x\n", {"skip_lines": 1}, [("1", "x")]),
        (b"# by x\nid,a\n1,x\n# y\n2,\"\n# z\"\n", {"comment": "#"}, [("1", "x"), ("2", "\n# z")]),
        (b"id,a\n1,x\ntotal,,1\nend", {"footer_lines": 2}, [("1", "x")]),
        (b"id,a\n1,x\n", {"footer_lines": 5}, []),
        (b"id,a\n1,NA\n2,\n,\n", {"nulls": ["NA", "-"]}, [("1", None), ("2", ""), ("", "")]),
        (b"id,a\n1\n2,y,z\n", {"short_rows": "pad", "long_rows": "cut"}, [("1", None), ("2", "y")]),
        (b"id,a\n1,x\n2\n3,y,z\n", {}, [("1", "x"), "Expected 2 fields, got 1 in line 3", "Expected 2 fields, got 3 in line 4"]),
        (
            b"id;a\n1;1.234.567,50\n2;-3,5\n3;12\n4;x,y\n5;\n6;1.5\n7;\"1.000\"\n8;1,2,3\n",
            {"delimiter": ";", "decimal_comma": ["a"], "thousands": {"a": "."}},
            [
                ("1", "1234567.50"),
                ("2", "-3.5"),
                ("3", "12"),
                ("4", "x,y"),
                ("5", None),
                "Expected a number with a comma before its decimals in field 2, got one with a point, which may mean decimals or thousands: say so in "
                "`csv.thousands`, or take the column out of `csv.decimal_comma`",
                ("7", "1000"),
                ("8", "1,2,3"),
            ],
        ),
        (b"id,a\n1,\"1,234.5\"\n2,\"1,23\"\n3,\"0,123\"\n4,-000.5\n", {"thousands": {"a": ","}}, [("1", "1234.5"), ("2", "1,23"), ("3", "0,123"), ("4", "-000.5")]),
        (
            b"id;a\n1;0.123\n2;-000.500\n3;-1.500\n",
            {"delimiter": ";", "decimal_comma": ["a"], "thousands": {"a": "."}},
            ["Expected a number with a comma before its decimals in field 2, got one with a point, which may mean decimals or thousands: say so in "
                "`csv.thousands`, or take the column out of `csv.decimal_comma`"] * 2 + [("3", "-1500")],
        ),
        (
            b"id,a\n1,\xfcx\n2,y\n",
            {},
            ["Expected `utf-8`, got bytes that are not in line 2 (byte 7)", ("2", "y")],
        ),
        (
            b'id,a\n1,x\n2,"y\n\xfc"\n3,z\n',
            {},
            [("1", "x"), "Expected `utf-8`, got bytes that are not in line 4 (byte 14)", ("3", "z")],
        ),
        (
            b"\xff\xfe" + "id,a\n1,".encode("utf-16-le") + b"\x00\xd8" + "\n2,y\n".encode("utf-16-le"),
            {},
            ["Expected `utf-16-le`, got bytes that are not in line 2 (byte 16)", ("2", "y")],
        ),
        (b"", {}, []),
        (b"id,a\n", {}, []),
        (b"id,a\n1," + b"x" * 200_000 + b"\n", {}, [("1", "x" * 200_000)]),
    ],
)  # fmt: skip
def test_what_becomes_of_odd_things(data: bytes, said: dict[str, Any], expected: list[Any]) -> None:
    assert values(read(data, **said)) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b'id,a\n1,"x\n2,y\n3,z',
            ['Expected a `"` that closes the field which begins with one in line 2, got the end of the file', ("2", "y"), ("3", "z")],
        ),
        (
            b'id,a\n1,"x\n2,"y"\n3,z\n',
            [
                'Expected the end of a field behind the `"` that closes the one which begins in line 2, got other text in line 3',
                ("2", "y"),
                ("3", "z"),
            ],
        ),
        (
            b'id,a\n"1\n\n","x\n2,"y"\n',
            [
                'Expected the end of a field behind the `"` that closes the one which begins in line 4, got other text in line 5',
                ("2", "y"),
            ],
        ),
        (
            b'id,a\n1,"5" pipe"\n2,y\n',
            ['Expected the end of a field behind the `"` that closes it, got other text in line 2', ("2", "y")],
        ),
    ],
)  # fmt: skip
def test_a_quote_that_is_not_closed_takes_its_line_and_no_other(data: bytes, expected: list[Any]) -> None:
    assert values(read(data)) == expected


def test_a_quote_is_waited_for_no_longer_than_a_row_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    small_pieces(monkeypatch, 64)
    rest = b"".join(b"%d,y\n" % number for number in range(2, 1000))
    reasons = []
    for closing in (b"", b'"\n9999,z\n'):
        open_reader = bounded(500)
        rows = rows_of(pieces_of(open_reader, b'id,a\n1,"x\n' + rest + closing))
        reasons.append(rows[0][2].reason)
        assert [number for number, _, row in rows if not isinstance(row, BadRow)][:998] == list(
            range(2, 1000)
        )
    assert (
        reasons
        == [
            'Expected a `"` that closes the field which begins with one in line 2, got none within 500 bytes (`max_row_bytes`)'
        ]
        * 2
    )


@pytest.mark.parametrize("end", [b"\n3,z\n", b"\r\n3,z\r\n", b"\r3,z\r", b"", b"\n"])
def test_a_line_that_is_too_long_is_one_bad_row(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    small_pieces(monkeypatch, 64)
    for length in range(5000, 5064):  # so that its end comes at every place of what is read at a time
        data = b"id,a\n1,x\n2," + b"y" * length + end
        rows = rows_of(pieces_of(bounded(1000), data))
        bad = rows[1][2]
        assert (bad.row, bad.line, bad.byte) == (2, 3, 9)
        assert (
            bad.reason
            == "Expected a row of at most 1,000 bytes (`max_row_bytes`), got a longer one in line 3"
        )
        assert [row[0] for row in rows] == ([1, 2, 3] if b"3" in end else [1, 2])
        assert rows[-1][1] == (4 if b"3" in end else 3)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_nobody_goes_on_behind_a_line_that_has_no_end(end: str) -> None:
    """It would be the other half of a value: `1,2` and then `5` are not `1,2` and another row."""
    for encoding in ("utf-8", "utf-16-le"):
        *_, last = pieces_of(opener(encoding=encoding), f"id,a\n1,x\n1,2{end}".encode(encoding))
        assert (last.behind is not None) == bool(end)
        assert last.count == 2


@pytest.mark.parametrize(
    ("data", "said", "sentence"),
    [
        (b"id,,b\n", {}, "got none for column 2; name the columns yourself"),
        (b"id,a,a\n", {}, "Two columns of the header have the name `a`"),
        (b"id;a\n1;x\n", {}, "got one name with `;` in it; set `\"delimiter\": \";\"` in `csv`"),
        (b"p,q\n1,x\n", {"names": ["p", "q"]}, "got the names of the columns"),
        (b"id,a\n1,x\n", {"names": ["p"], "header": "first"}, "Expected 1 names in the header, as `csv.names` has, got 2"),
        (b'id,"a\n1,x\n', {}, "closes the field which begins with one in line 1, got the end of the file"),
        ("id,a\n".encode("utf-16-le"), {}, "if the file is in UTF-16, say so in `csv.encoding`"),
        ("id,a\n".encode("utf-16-le"), {"encoding": "utf-16"}, "say `utf-16-le` or `utf-16-be` in `csv.encoding`"),
        (b"\xef\xbb\xbfid,a\n", {"encoding": "latin-1"}, "Expected `iso8859-1`, got the BOM of `utf-8`"),
        (b"id,\xe4\n", {}, "Expected `utf-8`, got bytes that are not in line 1 (byte 3); say the encoding of the file in `csv.encoding`"),
        (b"id,a\n", {"decimal_comma": ["b"]}, "Expected the column `b`, which `csv.decimal_comma` names, got `id`, `a` in the header"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_the_config_says_is_refused(
    data: bytes, said: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UnreadableFile) as raised:
        read(data, **said)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"delimiter": '"'}, "Expected different characters"),
        ({"quote": ","}, "Expected different characters"),
        ({"escape": "\n"}, "none of them an end of line"),
        ({"comment": ";", "delimiter": ";"}, "Expected different characters"),
        ({"encoding": "utf-7"}, "got `utf-7`, which is none, or one in which lines cannot be told"),
        ({"encoding": "rot13"}, "Expected an encoding of files"),
        ({"names": ["a", "a"]}, "Expected a different name for each column"),
        ({"names": ["a"], "header": "none"}, "has no effect beside"),
        ({"names": ["a"], "thousands": {"b": "."}}, "names the column `b`, which is not in"),
        ({"thousands": {"b": ","}, "decimal_comma": ["b"]}, "which stands before decimals"),
        ({"nulls": ["a", "a"]}, "Expected each text once"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(said: dict[str, Any], sentence: str) -> None:
    assert sentence in " ".join(csv_problems(said, "streams[0].csv"))


def test_each_setting_of_the_schema_is_one_that_is_read() -> None:
    said = {
        key: said.get(
            "default",
            ["x"] if said.get("type") == "array" else {"x": "."} if said.get("type") == "object" else "|",
        )
        for key, said in CSV["properties"].items()
    }
    read_so = csv_settings(said | {"header": "first", "encoding": "cp1252"}, "a.tsv")
    assert (read_so.delimiter, read_so.escape, read_so.comment, read_so.encoding) == ("|", "|", "|", "cp1252")
    assert (read_so.names, read_so.decimal_comma, read_so.thousands) == (("x",), ("x",), {"x": "."})
    assert csv_settings({}, "in/*.tsv").delimiter == "\t"


def small_pieces(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    monkeypatch.setattr(textreader, "BLOCK_BYTES", size)


ENCODINGS = (
    "utf-8",
    "utf-8-sig",
    "utf-16-le",
    "utf-16",
    "utf-32",
    "latin-1",
    "cp500",
    "shift_jis",
    "gb18030",
)
LETTERS = {
    "utf-8": "aü\u2028\x85\x0b😀",
    "latin-1": "aü",
    "cp500": "aü",
    "shift_jis": "a表ソ",
    "gb18030": "a中\x0b",
}


class Made:
    """A file of CSV as chance has it, with rows that are right and bad ones of every kind; and what is to be read of it."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.encoding = chance.choice(ENCODINGS)
        self.codec = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(
            self.encoding, self.encoding
        )
        self.letters = LETTERS.get(self.codec, LETTERS["utf-8"]) + "bc1 '#.-"
        self.end = chance.choice(["\n", "\r\n", "\r", ""])
        self.width = chance.choice([1, 2, 3, 5])
        self.quoting = chance.choice([0.0, 0.1, 1.0])
        self.is_bad = chance.choice([0.0, 0.0, 0.1])
        self.is_multiple = chance.choice([0.0, 0.1])
        self.names = [f"n{number}" for number in range(self.width)]
        self.expected: list[tuple[int, int, Any]] = []
        self.data = "".encode(self.encoding) if self.encoding in ("utf-8-sig", "utf-16", "utf-32") else b""
        self.line = self.row = 0
        self.add_line(",".join(self.names))
        for _ in range(chance.randrange(0, 25)):
            self.add_row()
        if chance.random() < 0.3 and self.data.endswith("\n".encode(self.codec)):
            self.data = self.data[: -len("\n".encode(self.codec))]
            if self.data.endswith("\r".encode(self.codec)):
                self.data = self.data[: -len("\r".encode(self.codec))]

    def add_line(self, text: str, bad: bytes = b"") -> None:
        end = self.end or self.chance.choice(["\n", "\r\n", "\r"] if text else ["\r\n"])
        self.data += text.encode(self.codec) + bad + end.encode(self.codec)
        self.line += 1

    def field(self) -> tuple[str, str]:
        """Return a field as it stands, and its value. One in quotes begins with a letter, so that no text before can be closed by it."""
        text = "".join(self.chance.choices(self.letters, k=self.chance.randrange(0, 6)))
        if self.chance.random() >= self.quoting:
            return ("a" + text if self.width == 1 else text), ("a" + text if self.width == 1 else text)
        text = "q" + text + self.chance.choice(["", ",", '""', '"",""', ', x""y""'])
        if self.chance.random() < self.is_multiple:
            text += self.chance.choice(["\n", "\r\n", "\n\n", "\r"]) + "z"
        return f'"{text}"', text.replace('""', '"')

    def add_row(self) -> None:
        if self.chance.random() < 0.05:
            self.add_line("")
        self.row += 1
        fields = [self.field() for _ in range(self.width)]
        text, line = ",".join(field for field, _ in fields), self.line + 1
        kind = (
            self.chance.choice(["short", "long", "bytes", "quote"])
            if self.chance.random() < self.is_bad
            else ""
        )
        if kind == "short" and self.width > 1:
            text = "a"
        elif kind == "long":
            text += ",x"
        elif kind == "quote":
            text = 'a,"qb' if self.width > 1 else '"qb'
        elif kind == "bytes" and self.codec in BAD_BYTES:
            text = text.replace("\r", "").replace("\n", "")
            self.add_line(text, BAD_BYTES[self.codec])
            self.expected.append((self.row, line, None))
            return
        else:
            kind = ""
        self.add_line(text)
        self.line += len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1
        row = {name: value or None for name, (_, value) in zip(self.names, fields, strict=True)}
        self.expected.append((self.row, line, None if kind else row))


BAD_BYTES = {
    "utf-8": b"\xff",
    "utf-16-le": b"\x00\xd8",
    "utf-32-le": b"\x00\x00\x22\x00",
    "shift_jis": b"\x81",
}


def plainly(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(number, line, None if isinstance(row, BadRow) else row) for number, line, row in rows]


@settings(max_examples=tries(60), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from([16, 40, 150, 1 << 20]),
    step=st.sampled_from([1, 7, 1 << 20]),
)
def test_a_file_is_read_as_it_was_written_and_a_later_run_reads_the_rest(
    seed: int, size: int, step: int
) -> None:
    made = Made(seed)
    said = {} if made.encoding in ("utf-8-sig", "utf-16", "utf-32", "utf-8") else {"encoding": made.encoding}
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_pieces(monkeypatch, size)
        pieces = list(pieces_of(opener(**said), made.data, step=step))
        rows = rows_of(pieces)
        assert plainly(rows) == made.expected
        for number in made.chance.sample(range(1, len(pieces) + 1), k=min(4, len(pieces))):
            piece = pieces[number - 1]
            if piece.behind is None:
                assert number == len(pieces)
                assert not made.data.endswith(("\n".encode(made.codec), "\r".encode(made.codec)))
                continue
            assert rows_of(pieces_of(opener(**said), made.data, piece.behind)) == rows_of(pieces[number:])
        growing = grown(made, opener(**said))
        assert rows_of(growing) == rows
        for replaced in ("cells_of", "both"):
            monkeypatch.setattr(csvtext, "cells_of", lambda *_: None)
            if replaced == "both":
                monkeypatch.setattr(csvtext.CsvReader, "_piece_at_once", lambda *_: None)
            assert rows_of(pieces_of(opener(**said), made.data)) == rows


def grown(made: Made, open_reader: Any) -> list[Piece]:
    """Return what is read of a file that grows, by runs that begin where the one before ended."""
    pieces: list[Piece] = []
    spot = Spot()
    for end in sorted(made.chance.sample(range(len(made.data) + 1), k=min(8, len(made.data)))):
        found = list(pieces_of(open_reader, made.data[:end], spot, is_whole=False)) if end >= 4 else []
        pieces += found
        spot = found[-1].behind or spot if found else spot
    return pieces + list(pieces_of(open_reader, made.data, spot))


@settings(max_examples=tries(150), deadline=None)
@given(
    text=st.text(alphabet='ab",;\n\r#\\', max_size=60),
    said=st.sampled_from(
        [
            {},
            {"delimiter": ";", "comment": "#"},
            {"quote": ""},
            {"escape": "\\"},
            {"footer_lines": 1},
            {"short_rows": "pad"},
            {"nulls": ['a"', "b"]},
        ]
    ),
    size=st.sampled_from([4, 16, 1 << 20]),
)
@example('"a""",b\n', {"nulls": ['a"', "b"]}, 1 << 20)
def test_whatever_stands_in_a_file_is_read_alike_by_each_way(
    text: str, said: dict[str, Any], size: int
) -> None:
    data = b"x" + said.get("delimiter", ",").encode() + b"y\n" + text.encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_pieces(monkeypatch, size)
        pieces = list(pieces_of(opener(**said), data))
        rows = rows_of(pieces)
        for number, piece in enumerate(pieces, 1):
            assert number == len(pieces) if piece.behind is None else True
            assert (
                rows_of(pieces_of(opener(**said), data, piece.behind)) == rows_of(pieces[number:])
                or piece.behind is None
            )
        monkeypatch.setattr(csvtext, "cells_of", lambda *_: None)
        assert rows_of(pieces_of(opener(**said), data)) == rows
        monkeypatch.setattr(csvtext.CsvReader, "_piece_at_once", lambda *_: None)
        assert rows_of(pieces_of(opener(**said), data)) == rows


def test_an_encoding_that_is_said_after_a_run_has_failed_is_taken_for_the_rest(folder: Any) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_pieces(monkeypatch, 8)
        folder.write("in/a.csv", "id,a\n1,x\n2,y\n3,ü\n4,z\n".encode("latin-1"))
        with pytest.raises(BadDataError, match=r"say the encoding of the file in `csv\.encoding`"):
            folder.sync(on_bad_row="fail")
        first = folder.result()
        assert first.column("id") == [1, 2]
        second = folder.sync(first.state, csv={"encoding": "latin-1"})
        assert second.column("a") == ["ü", "z"]


@pytest.mark.parametrize("bom", ["utf-16", "utf-32", "utf-8-sig"])
def test_what_a_bom_has_told_holds_for_the_rest(bom: str) -> None:
    data = "id,a\n1,x\n2,ü\n".encode(bom)
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_pieces(monkeypatch, 8)
        pieces = list(pieces_of(opener(encoding=bom), data))
    assert rows_of(pieces_of(opener(encoding=bom), data, pieces[0].behind)) == rows_of(pieces[1:])


def test_other_names_than_the_beginning_was_read_with_are_refused() -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_pieces(monkeypatch, 4)
        piece, *_ = pieces_of(opener(names=["p", "q"]), b"1,x\n2,y\n")
    with pytest.raises(UnreadableFile, match="got others in `csv`; take them back"):
        list(pieces_of(opener(names=["p", "r"]), b"1,x\n2,y\n", piece.behind))
