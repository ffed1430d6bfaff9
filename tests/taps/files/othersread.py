"""What other libraries read of a file, held against what tap-files does, value by value."""

from __future__ import annotations

import datetime as dt
import math
import struct
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import msgspec
import openpyxl
import python_calamine
from taps.files.ondisk import OnDisk

from tap_files.formats import avro, parquet, xlsx
from tap_files.formats.contract import Spot
from tap_files.settings.avro import AvroSettings
from tap_files.settings.parquet import ParquetSettings
from tap_files.settings.xlsx import xlsx_settings

_encode = msgspec.json.Encoder(decimal_format="number").encode


def _decoded(value: Any) -> Any:
    """A value as it leaves, with numbers as their digits."""
    return msgspec.json.Decoder(float_hook=Decimal).decode(_encode(value))


def _records(reader: Any) -> Iterator[dict[str, Any]]:
    for piece in reader.pieces():
        for row in zip(*piece.columns.values(), strict=True) if piece.columns else [()] * piece.count:
            yield dict(zip(piece.columns, map(_decoded, row), strict=True))


def _same(ours: Any, theirs: Any, single: bool = False) -> bool:
    """Tell whether a value as it leaves is what another library has read. ``single``: a float may be one of four bytes."""
    if isinstance(theirs, bool) or theirs is None or isinstance(theirs, str):
        return bool(ours == theirs)
    if isinstance(theirs, float):
        if not math.isfinite(theirs):
            return ours is None
        both = {float(ours), theirs}
        return len(both) == 1 or (single and len({struct.pack("f", one) for one in both}) == 1)
    if isinstance(theirs, int | Decimal):
        return bool(Decimal(ours) == theirs)
    if isinstance(theirs, bytes):
        return bool(ours == _decoded(theirs))
    if isinstance(theirs, dt.datetime):
        moment = dt.datetime.fromisoformat(ours)
        zone = theirs.tzinfo or moment.tzinfo
        return moment.replace(tzinfo=moment.tzinfo or zone) == theirs.replace(tzinfo=zone)
    if isinstance(theirs, dt.date | dt.time):
        return bool(ours == theirs.isoformat())
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs, [single] * len(ours)))
    if isinstance(theirs, dict):
        return ours.keys() == {str(key) for key in theirs} and all(
            _same(ours[str(key)], value, single) for key, value in theirs.items()
        )
    return str(theirs) == ours


def check_parquet(path: Path) -> None:
    """Compare with DuckDB."""
    ours = list(_records(parquet.reader_of(ParquetSettings("null"), OnDisk(path), Spot())))
    with duckdb.connect() as connection:
        found = connection.execute(f"select * from read_parquet('{path}', hive_partitioning = false)")
        names = [one[0] for one in found.description or ()]
        theirs = found.fetchall()
    assert len(ours) == len(theirs)
    for record, row in zip(ours, theirs, strict=True):
        assert list(record) == names
        wrong = {name: (record[name], value) for name, value in zip(names, row, strict=True) if not _same(record[name], value, True)}  # fmt: skip
        assert not wrong


def check_avro(path: Path, *, by_apache: bool) -> None:
    """Compare with the library of Apache, or with fastavro as it is used elsewhere."""
    theirs = _by_apache(path) if by_apache else _by_fastavro(path)
    ours = list(_records(avro.reader_of(AvroSettings("null"), OnDisk(path), Spot())))
    whole = [record if isinstance(theirs[0], dict) else record["value"] for record in ours]
    assert len(whole) == len(theirs)
    for one, other in zip(whole, theirs, strict=True):
        assert _same(one, other, True), (one, other)


def _by_apache(path: Path) -> list[Any]:
    """Read by the library of Apache; by fastavro what that refuses: names with `$`, which Java writes, and snappy without a package of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from avro.datafile import DataFileReader
        from avro.errors import InvalidName, UnsupportedCodec
        from avro.io import DatumReader

        try:
            with path.open("rb") as file, DataFileReader(file, DatumReader()) as reader:
                return list(reader)
        except (InvalidName, UnsupportedCodec):
            return _by_fastavro(path)


def _by_fastavro(path: Path) -> list[Any]:
    with path.open("rb") as file:
        return list(fastavro.reader(file))


Cells = dict[tuple[str, int, int], Any]


def _our_cells(path: Path) -> Cells:
    book = xlsx._opened(str(path), xlsx_settings({"errors": "null"}))
    cells = {}
    for number, name in enumerate(book.sheets):
        for row, values in book.rows(number):
            for column, value in enumerate(values, 1):
                if value is not None and value != "":
                    cells[name, row, column] = value
    book.close()
    return cells


def check_xlsx(path: Path) -> None:
    """Compare with openpyxl, and with python-calamine where that asks for parts that are named and not there."""
    ours = _our_cells(path)
    try:
        _compare(ours, _by_openpyxl(path))
    except KeyError:
        _compare(_without_blanks(ours), _without_blanks(_by_calamine(path)))


def _without_blanks(cells: Cells) -> Cells:
    """python-calamine loses those between the parts of a text."""
    return {
        place: value.replace(" ", "") if isinstance(value, str) else value for place, value in cells.items()
    }


def _by_openpyxl(path: Path) -> Cells:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book = openpyxl.load_workbook(path, data_only=True)
    return {
        (sheet.title, cell.row, cell.column): cell.value
        for sheet in book.worksheets
        for row in sheet.iter_rows()
        for cell in row
        if cell.value is not None and cell.value != ""
    }


def _by_calamine(path: Path) -> Cells:
    cells: Cells = {}
    book = python_calamine.load_workbook(str(path))
    for name in book.sheet_names:
        sheet = book.get_sheet_by_name(name)
        left = sheet.start[1] if sheet.start else 0
        for row, values in enumerate(sheet.iter_rows(), 1):
            cells |= {
                (name, row, left + place): value for place, value in enumerate(values, 1) if value != ""
            }
    return cells


def check_xls(path: Path) -> None:
    """Compare with xlrd."""
    import xlrd

    book = xlrd.open_workbook(path)
    theirs: Cells = {}
    for sheet in book.sheets():
        for row in range(sheet.nrows):
            for column, cell in enumerate(sheet.row(row)):
                if cell.ctype not in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK) and cell.value != "":
                    theirs[sheet.name, row + 1, column + 1] = _of_xlrd(xlrd, book, cell)
    _compare(_our_cells(path), theirs)


def _of_xlrd(xlrd: Any, book: Any, cell: Any) -> Any:
    if cell.ctype == xlrd.XL_CELL_DATE:
        if cell.value < 1:
            return (dt.datetime.min + dt.timedelta(seconds=round(cell.value * 86_400))).time()
        return xlrd.xldate_as_datetime(cell.value, book.datemode)
    return bool(cell.value) if cell.ctype == xlrd.XL_CELL_BOOLEAN else cell.value


def _compare(ours: Cells, theirs: Cells) -> None:
    assert ours.keys() == theirs.keys()
    wrong = {}
    for place, value in theirs.items():
        own = _decoded(str(ours[place]) if isinstance(ours[place], str) else ours[place])
        if not _same_cell(own, value):
            wrong[place] = (own, value)
    assert not wrong


def _same_cell(own: Any, value: Any) -> bool:
    if isinstance(value, dt.datetime) and isinstance(own, str):
        found = dt.datetime.fromisoformat(own) if len(own) > 8 else value
        return abs(found - value) < dt.timedelta(milliseconds=1) and len(own) > 8
    if isinstance(value, dt.time) and isinstance(own, str):
        first, second = (dt.datetime.combine(dt.date.min, one) for one in (dt.time.fromisoformat(own), value))
        return abs(first - second) < dt.timedelta(milliseconds=1)
    if isinstance(value, dt.timedelta):
        return isinstance(own, str) and own.startswith(("P", "-P"))
    if isinstance(value, str) and value.startswith("#") and isinstance(own, str):
        return own == value or own == f"the error {value}"
    return _same(own, value)
