"""Workbooks of Excel: cells by their type, days of both epochs, errors and formulas without a value, and what cannot be read."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st
from taps.files.ondisk import OnDisk

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_wire.typedrows import RowMaker
from tap_files.formats import xlsx as module
from tap_files.formats.contract import PIECE_BYTES, OtherSettings, Piece, Reader, Spot, UnreadableFile
from tap_files.formats.sheetplain import _PLAIN, Unusual
from tap_files.formats.sheetvalues import Look, look_of
from tap_files.formats.sheetxml import Row, _SheetParser
from tap_files.formats.xlsx import reader_of
from tap_files.settings.xlsx import Area, xlsx_problems, xlsx_settings

START = Spot()


def _reader(path: Path, start: Spot = START, **said: Any) -> Reader:
    assert list(xlsx_problems(said, "xlsx")) == []
    return reader_of(xlsx_settings(said), OnDisk(path), start)


def _lines(pieces: Sequence[Piece]) -> list[str]:
    lines = []
    for piece in pieces:
        assert piece.columns is not None
        assert piece.lines is not None
        assert piece.count == len(piece.numbers) == len(piece.lines)
        assert all(len(values) == piece.count for values in piece.columns.values())
        rows = RowMaker(list(piece.columns)).rows(zip(*piece.columns.values(), strict=True))
        lines += [bytes(row).decode() for row in rows]
    return lines


def _read(path: Path, **said: Any) -> list[str]:
    return _lines(list(_reader(path, **said).pieces()))


def _openpyxl(
    path: Path, rows: Sequence[Sequence[Any]], change: Callable[[Any, Any], None] | None = None
) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    if change is not None:
        change(book, book.active)
    book.save(path)
    return path


def _with_part(path: Path, change: Callable[[bytes], bytes], part: str = "xl/worksheets/sheet1.xml") -> Path:
    """Return the workbook with one of its files changed."""
    old = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == part else old.read(name))
    return path


def _cells(tmp_path: Path, cells: str, **said: Any) -> list[str]:
    """Read a sheet with a header `x` in A1 and these cells below."""
    path = _openpyxl(tmp_path / "a.xlsx", [["x"]])
    _with_part(path, lambda xml: xml.replace(b"</row>", b"</row>" + cells.encode(), 1))
    return _read(path, **said)


TODAY = dt.datetime(2026, 1, 2, 3, 4, 5, 678000)


def test_cells_come_by_their_type(tmp_path: Path) -> None:
    rows = [
        ["int", "float", "dec", "date", "moment", "time", "bool", "text", "zip", "big", "percent", "length"],
        [1, 1.5, Decimal("0.1"), dt.date(2026, 1, 2), TODAY, dt.time(1, 2, 3), True, ' "x" ', "007", 123456789012, 0.25, dt.timedelta(days=1, hours=2)],
        [None] * 12,
        [-2, 0.1 + 0.2, 1e-7, dt.date(1900, 1, 1), TODAY.replace(microsecond=0), dt.time(23, 59, 59, 999000), False, "", "1e5", 0, None, dt.timedelta(seconds=1)],
    ]  # fmt: skip
    path = _openpyxl(tmp_path / "a.xlsx", rows)
    reader = _reader(path)
    number, text = {"type": ["null", "number"]}, {"type": ["null", "string"]}
    assert reader.fields == {
        "int": {"type": ["null", "integer"]},
        "float": number,
        "dec": number,
        "date": {**text, "format": "date"},
        "moment": {**text, "format": "date-time"},
        "time": {**text, "format": "time"},
        "bool": {"type": ["null", "boolean"]},
        "text": text,
        "zip": text,
        "big": {"type": ["null", "integer"]},
        "percent": number,
        "length": text,
    }
    pieces = list(reader.pieces())
    assert _lines(pieces) == [
        '{"int":1,"float":1.5,"dec":0.1,"date":"2026-01-02","moment":"2026-01-02T03:04:05.678","time":"01:02:03","bool":true,'
        '"text":" \\"x\\" ","zip":"007","big":123456789012,"percent":0.25,"length":"P1DT2H"}',
        '{"int":-2,"float":0.3,"dec":1e-07,"date":"1900-01-01","moment":"2026-01-02T03:04:05","time":"23:59:59.999","bool":false,'
        '"text":null,"zip":"1e5","big":0,"percent":null,"length":"PT1S"}',
    ]  # openpyxl writes 0.3 for 0.1 + 0.2
    assert [(list(piece.numbers), piece.lines) for piece in pieces] == [([1, 2], [2, 4])]


def test_digits_stay_as_the_file_has_them(tmp_path: Path) -> None:
    numbers = [
        "0.30000000000000004",
        "12345678901234567",
        "1.10",
        "1.0",
        "1E3",
        "1E+400",
        "-0.0",
        "9007199254740993.0",
    ]
    cells = "".join(f'<row r="{place + 2}"><c r="A{place + 2}"><v>{text}</v></c></row>' for place, text in enumerate(numbers))  # fmt: skip
    assert [line[5:-1] for line in _cells(tmp_path, cells)] == [
        "0.30000000000000004",
        "12345678901234567",
        "1.10",
        "1",
        "1000",
        "1E+400",
        "0",
        "9007199254740993.0",
    ]


@pytest.mark.parametrize(
    ("options", "days"),
    [
        ({}, ["1900-01-01", "1900-02-28", "1900-02-29", "1900-03-01", "2026-01-31", "9999-12-31"]),
        ({"date_1904": True}, ["1904-01-02", "1904-02-29", "1904-03-01", "1904-03-02", "2030-02-01"]),
    ],
)
def test_both_epochs(tmp_path: Path, options: dict[str, Any], days: list[str]) -> None:
    path = tmp_path / "a.xlsx"
    book = xlsxwriter.Workbook(str(path), options)
    sheet, look = book.add_worksheet(), book.add_format({"num_format": "dd.mm.yyyy"})
    sheet.write(0, 0, "x")
    serials = [1, 59, 60, 61, 46053, 2958465][: len(days)]
    for place, serial in enumerate(serials):
        sheet.write_number(place + 1, 0, serial, look)
    book.close()
    assert _read(path) == [f'{{"x":"{day}"}}' for day in days]


def test_the_epoch_is_that_of_the_workbook_and_not_of_an_extension(tmp_path: Path) -> None:
    """Excel 2013 writes a `x15:workbookPr` behind the `workbookPr`, as in files of csvkit and agate."""
    path = _openpyxl(tmp_path / "a.xlsx", [["x"], [dt.date(2026, 1, 31)]])
    later = b'<x15:workbookPr xmlns:x15="x" chartTrackingRefBase="1"/></workbook>'
    _with_part(
        path,
        lambda xml: xml.replace(b"<workbookPr ", b'<workbookPr date1904="1" ').replace(b"</workbook>", later),
        "xl/workbook.xml",
    )
    assert _read(path) == ['{"x":"2030-02-01"}']


def test_days_among_moments_begin_at_midnight_and_other_kinds_stay_apart(tmp_path: Path) -> None:
    rows = [["d", "n", "t"], [dt.date(2026, 1, 2), 12345, dt.time(1)], [TODAY, "01234", dt.date(2026, 1, 2)], [None, True, 1.5]]  # fmt: skip
    path = _openpyxl(tmp_path / "a.xlsx", rows)
    assert _reader(path).fields == {
        "d": {"type": ["null", "string"], "format": "date-time"},
        "n": {"type": ["null", "boolean", "integer", "string"]},
        "t": {"type": ["null", "number", "string"]},
    }
    assert _read(path) == [
        '{"d":"2026-01-02T00:00:00","n":12345,"t":"01:00:00"}',
        '{"d":"2026-01-02T03:04:05.678","n":"01234","t":"2026-01-02"}',
        '{"d":null,"n":true,"t":1.5}',
    ]


@pytest.mark.parametrize(
    ("code", "look"),
    [
        ("General", Look.NUMBER),
        ("0.00%", Look.NUMBER),
        ('0 "days"', Look.NUMBER),
        ("[Red]0.0;[Blue]-0.0", Look.NUMBER),
        ("0\\d", Look.NUMBER),
        ("[$-407]d. mmmm yyyy", Look.DAY),
        ("mmm", Look.DAY),
        ("yyyy-mm-dd\\Thh:mm", Look.MOMENT),
        ("mm:ss.0", Look.TIME),
        ("[h]:mm:ss", Look.DURATION),
        ("[mm]", Look.DURATION),
        ("m/d/yy h:mm AM/PM", Look.MOMENT),
    ],
)
def test_a_format_shows_a_number_or_a_time(code: str, look: Look) -> None:
    assert look_of(164, code) is look


def test_errors_and_formulas_without_a_value_are_bad_rows_or_null(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    rows = [["a", "b", "c"], [1, "#N/A", 1], [2, "=1+1", 2], [3, 3, 3]]
    path = _openpyxl(tmp_path / "a.xlsx", rows)

    (piece,) = _reader(path).pieces()
    assert _lines([piece]) == ['{"a":3,"b":3,"c":3}']
    assert list(piece.numbers) == [3]
    assert [(one.row, one.line, one.reason) for one in piece.bad] == [
        (1, 2, "Expected a value in cell B2 of sheet `Sheet`, got the error #N/A"),
        (2, 3, "Expected a value in cell B3 of sheet `Sheet`, got a formula without a stored value"),
    ]
    assert piece.bad[0].text == '[1,"the error #N/A",1]'
    assert not caplog.text

    assert _read(path, errors="null") == [
        '{"a":1,"b":null,"c":1}',
        '{"a":2,"b":null,"c":2}',
        '{"a":3,"b":3,"c":3}',
    ]
    assert "2 cells that hold an error, or a formula without a stored value, were sent as null" in caplog.text

    reader = _reader(path)
    reader.wanted = ["a", "c"]
    assert _lines(list(reader.pieces())) == ['{"a":1,"c":1}', '{"a":2,"c":2}', '{"a":3,"c":3}']


def test_formulas_have_the_value_that_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["n", "t", "b"])
    for column, (formula, value) in enumerate([("=1+1", 2), ('="a"&"b"', "ab"), ("=TRUE()", True)]):
        sheet.write_formula(1, column, formula, None, value)
    book.close()
    assert _read(path) == ['{"n":2,"t":"ab","b":true}']


def test_merged_cells_have_one_value_or_all_of_them(tmp_path: Path) -> None:
    def merge(_book: Any, sheet: Any) -> None:
        sheet.merge_cells("A2:A4")
        sheet.merge_cells("B3:C3")

    path = _openpyxl(
        tmp_path / "a.xlsx", [["a", "b", "c"], ["x", 1, 2], [None, 3, 4], [None, None, 5]], merge
    )
    assert _read(path) == ['{"a":"x","b":1,"c":2}', '{"a":null,"b":3,"c":null}', '{"a":null,"b":null,"c":5}']
    assert _read(path, fill_merged=True) == ['{"a":"x","b":1,"c":2}', '{"a":"x","b":3,"c":3}', '{"a":"x","b":null,"c":5}']  # fmt: skip


def test_sheets_ranges_and_names(tmp_path: Path) -> None:
    def second(book: Any, _sheet: Any) -> None:
        sheet = book.create_sheet("Über & all")
        for row in (
            [None, "title"],
            [],
            [None, "id", "name"],
            [None, 1, "x"],
            [None, 2, "y"],
            [None, "sum", 3],
        ):
            sheet.append(row)

    path = _openpyxl(tmp_path / "a.xlsx", [["a"], [1]], second)
    assert _read(path) == ['{"a":1}']
    both = ['{"id":1,"name":"x"}', '{"id":2,"name":"y"}']
    assert _read(path, sheet="Über & all", range="B3:C5") == both
    assert _read(path, sheet=2, range="$b$4:c5", names=["id", "name"]) == both
    assert _read(path, sheet=2, range="C3") == ['{"name":"x"}', '{"name":"y"}', '{"name":3}']
    with pytest.raises(
        OtherSettings, match="Expected sheet `b` in the workbook, got 2 others: `Sheet`, `Über & all`"
    ):
        _reader(path, sheet="b")
    with pytest.raises(OtherSettings, match="Expected sheet number 3"):
        _reader(path, sheet=3)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"range": "B3:A1"}, "Expected a range of cells at `s.xlsx.range`"),
        ({"range": "A0"}, "Expected a range of cells"),
        ({"range": "XFE:XFE"}, "Expected a range of cells"),
        ({"names": ["a", "a"]}, "Expected a different name for each column at `s.xlsx.names`"),
        ({"names": []}, "Expected a different name"),
    ],
)
def test_what_the_settings_may_not_say(said: dict[str, Any], sentence: str) -> None:
    (problem,) = xlsx_problems(said, "s.xlsx")
    assert sentence in problem


def test_ranges() -> None:
    assert xlsx_settings({"range": "B3:F200"}).area == Area(2, 3, 6, 200)
    assert xlsx_settings({"range": "B:F"}).area == Area(2, 1, 6)
    assert xlsx_settings({"range": "aa10"}).area == Area(27, 10)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([["a", "a"], [1, 2]], "got `a` in both A and B"),
        ([["a", None], [1, 2]], "got none for column B of sheet `Sheet` in the header in row 1"),
        ([["a"], [1, 2]], "got none for column B"),
    ],
)
def test_each_column_with_values_has_one_name(tmp_path: Path, rows: list[list[Any]], sentence: str) -> None:
    with pytest.raises(UnreadableFile, match=sentence):
        _reader(_openpyxl(tmp_path / "a.xlsx", rows))


def test_a_long_sheet_is_read_in_pieces_and_goes_on_behind_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    rows = [
        ["id", "t", "d"],
        *([number, f"{number:05}" * 300, dt.date(2026, 1, 1)] for number in range(2000)),
    ]
    path = _openpyxl(tmp_path / "a.xlsx", rows)
    pieces = list(_reader(path).pieces())
    assert len(pieces) > 2
    whole = _lines(pieces)
    assert whole == [f'{{"id":{number},"t":"{text}","d":"2026-01-01"}}' for number, text, _ in rows[1:]]
    assert max(sum(map(len, piece.columns["t"])) for piece in pieces if piece.columns) < 2 * PIECE_BYTES
    monkeypatch.setattr(module, "_MOST_KEPT", 100)  # then the sheet is read a second time
    for piece in pieces:
        assert piece.behind is not None
        assert _lines(list(_reader(path, piece.behind).pieces())) == whole[piece.behind.row :]


RICH = (
    '<row r="2"><c r="A2" t="inlineStr"><is><r><t>a</t></r><r><rPr><b/></rPr><t xml:space="preserve"> b</t></r>'
    "<rPh sb='0' eb='1'><t>no</t></rPh></is></c></row>"
)


@pytest.mark.parametrize(
    ("cells", "lines"),
    [
        (RICH, ['{"x":"a b"}']),
        ('<row r="2"><c r="A2" t="str"><v>1 &lt; &#x32; &amp;&#10;_x000D__x005F_</v></c></row>', [r'{"x":"1 < 2 &\n\r_"}']),
        ('<row r="2"><c r="A2" t="str"><v></v></c></row><row r="3"><c r="A3" t="str"><f>""</f><v>y</v></c></row>', ['{"x":"y"}']),
        ('<row r="2" spans="1:1"/><row r="3"><c r="A3"><v>5</v></c></row><row r="7"><c r="A7"><v>6</v></c></row>', ['{"x":5}', '{"x":6}']),
        ('<row><c><v>1</v></c></row><row><c><v>2</v></c></row>', ['{"x":1}', '{"x":2}']),
        ('<row r="2"><c r="A2" t="d"><v>2026-01-02</v></c></row>', ['{"x":"2026-01-02"}']),
        ('<row r="2"><!-- c --><c r="A2" t="str"><v><![CDATA[<&>]]></v></c></row>', ['{"x":"<&>"}']),
        ('<row r="2"><c r="A2" t="str"><v>_xD83D__xDE00_ _xD83D_</v></c></row>', ['{"x":"_xD83D__xDE00_ _xD83D_"}']),
    ],
)  # fmt: skip
def test_other_ways_to_write_cells(tmp_path: Path, cells: str, lines: list[str]) -> None:
    assert _cells(tmp_path, cells) == lines


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ('<row r="2"><c r="A2"><v>12a</v></c></row>', "as Excel writes it, got"),
        ('<row r="2"><c r="A2" t="s"><v>999</v></c></row>', "as Excel writes it, got"),
        ('<row r="2"><c r="A2" s="999"><v>1</v></c></row>', "as Excel writes it, got"),
        ('<row r="2"><c r="A2"><v>1</v></c>', "mismatched tag"),
        ('<row r="1"><c r="A1"><v>1</v></c></row>', "row 1 behind row 1"),
        ('<row r="2"><c r="B2"><v>1</v></c><c r="A2"><v>1</v></c></row>', "cell A2 behind column B"),
        ('<row r="2"><c r="XFE2"><v>1</v></c></row>', "a cell with the name `XFE2`"),
        ('<row r="1048577"><c r="A1"><v>1</v></c></row>', "row 1048577"),
        ('<row r="2"><c r="A2" t="zz"><v>1</v></c></row>', "a cell of the type `zz`"),
    ],
)
def test_a_damaged_sheet_is_one_sentence(tmp_path: Path, cells: str, sentence: str) -> None:
    with pytest.raises(UnreadableFile, match=sentence) as told:
        _cells(tmp_path, cells)
    assert "sheet1.xml" in str(told.value)
    assert "\n" not in str(told.value)


def test_what_is_no_workbook_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    good = _openpyxl(path, [["a"], [1]]).read_bytes()
    sheet = zipfile.ZipFile(path).getinfo("xl/worksheets/sheet1.xml")
    place = sheet.header_offset + 30 + len(sheet.filename) + 3
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as other:
        other.writestr("a.csv", "id\n1\n")
    for content, sentence in (
        (b"", "got one of 0 bytes"),
        (b"id,name\n1,x\n", "it is of another format"),
        (good[:-60], "got a damaged one"),
        (plain.getvalue(), "got a zip without a workbook"),
        (
            good[:place] + bytes(40) + good[place + 40 :],
            "Expected `xl/worksheets/sheet1.xml` in the workbook, got damage",
        ),
    ):
        path.write_bytes(content)
        with pytest.raises(UnreadableFile, match=sentence):
            _read(path)
    path.write_bytes(good)
    _with_part(path, lambda xml: b'<!DOCTYPE a [<!ENTITY b "c">]>' + xml)
    with pytest.raises(UnreadableFile, match="a document type"):
        _read(path)


def test_a_workbook_with_a_password_or_of_another_kind_needs_calamine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    path = tmp_path / "a.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(BadDataError, match="cannot be read"):
        _reader(path, errors="null")
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'singerkit\[excel\]'"):
        _reader(path)


_TEXT = st.text(st.sampled_from("aZ0 .-_x&<>\"'\r\nü😀"), max_size=6)
_NUMBER = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
    st.sampled_from(["1.0", "1E3", "-0", "0.10", "1e400", "007", "", "abc"]),
)


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


@st.composite
def _cell(draw: st.DrawFn) -> str:
    """A cell as programs write it, without its place."""
    style = draw(st.sampled_from(["", ' s="0"', ' s="1"', ' s="2"', ' s="9"']))
    formula = draw(st.sampled_from(["", "", "<f>A1+1</f>", '<f t="shared" si="0"/>']))
    value = _xml(draw(_NUMBER))
    text = _xml(draw(_TEXT))
    return draw(
        st.sampled_from(
            [
                f"{style}/>",
                f"{style} />",
                f"{style}>{formula}<v>{value}</v></c>",
                f'{style} t="n">{formula}<v>{value}</v></c>',
                f'{style} t="str">{formula}<v>{text}</v></c>',
                f'{style} t="s"><v>{len(text) // 4}</v></c>',
                f'{style} t="b"><v>{len(text) % 2}</v></c>',
                f'{style} t="e">{formula}<v>#N/A</v></c>',
                f"{style}>{formula}</c>",
                f"{style}>{formula}<v/></c>",
                f'{style} t="inlineStr"><is><t>{text}</t></is></c>',
                f'{style} t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>',
            ]
        )
    )


@given(st.lists(st.lists(st.one_of(st.none(), _cell()), max_size=4), max_size=4))
def test_the_quick_way_and_the_parser_give_the_same(rows: list[list[str | None]]) -> None:
    data = ""
    for row, cells in enumerate(rows, 1):
        inside = "".join(f'<c r="{letter}{row}"{cell}' for letter, cell in zip("ABCD", cells, strict=False) if cell is not None)  # fmt: skip
        data += f'<row r="{row}" spans="1:4">{inside}</row>' if inside else f'<row r="{row}"/>'
    sheet = f'<worksheet xmlns="a"><sheetData>{data}</sheetData></worksheet>'.encode()
    assert _PLAIN.fullmatch(data) is not None  # else it would not be the quick way

    parser = _SheetParser(["a", "_x000D_"], [Look.NUMBER, Look.MOMENT, Look.DURATION], False)
    try:
        exact = list(parser.rows(iter([sheet, b""]), "sheet1.xml"))
    except UnreadableFile:
        with pytest.raises(Unusual):
            list(parser.plain_rows(iter([sheet, b""])))
        return
    for size in (7, len(sheet)):
        chunks = [sheet[start : start + size] for start in range(0, len(sheet), size)]
        assert _shown(parser.plain_rows(iter([*chunks, b""]))) == _shown(exact)


def _shown(rows: Iterable[Row]) -> list[Any]:
    return [
        (row, [(type(value), bytes(value) if isinstance(value, msgspec.Raw) else value) for value in values])
        for row, values in rows
    ]
