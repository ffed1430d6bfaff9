"""Odd public files, value by value beside what pandas reads of them as text; tests/taps/files/odd/README.md says where they are from."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from taps.files.reading_bytes import pieces_of, rows_of

from tap_files.formats import csvtext, fixedwidth
from tap_files.formats.contract import BadRow, UnreadableFile
from tap_files.settings.csv import csv_settings
from tap_files.settings.fixedwidth import fixed_width_settings

ODD = Path(__file__).parent / "odd"
LENIENT = {"short_rows": "pad", "long_rows": "cut"}

Table = tuple[list[str], list[tuple[str, ...]]]


def ours(file: Path, said: dict[str, Any]) -> tuple[Table, list[str]]:
    """Return the header and the rows as text, null as nothing, and what is said of bad rows."""
    settings = csv_settings(said, file.name)
    names: list[str] = []

    def opened(content: Any, start: Any) -> Any:
        reader = csvtext.reader_of(settings, content, start)
        names.extend(reader.fields or ())
        return reader

    rows = rows_of(pieces_of(opened, file.read_bytes()))
    good = [tuple(value or "" for value in row.values()) for *_, row in rows if not isinstance(row, BadRow)]
    return (names, good), [row.reason for *_, row in rows if isinstance(row, BadRow)]


def theirs(file: Path, **options: Any) -> Table:
    delimiter = "\t" if file.suffix == ".tsv" else ","
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)  # of rows that are cut, as we do
        frame = pd.read_csv(
            file, **{"sep": delimiter, "dtype": str, "na_filter": False, "index_col": False} | options
        )
    return [str(name) for name in frame.columns], list(frame.fillna("").itertuples(index=False, name=None))


NAMED = {"header": "first", "names": [f"n{number}" for number in range(10)]}
FILES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Datagov_FY10_EDU_recp_by_State.csv", {}, {}),
    ("FY09_EDU_Recipients_by_State.csv", NAMED, {"header": 0, "names": NAMED["names"]}),
    ("bad.csv", LENIENT, {"engine": "python", "on_bad_lines": lambda row: row[:3]}),
    ("bad_skip_lines.csv", LENIENT, {"engine": "python", "on_bad_lines": lambda row: row[:3]}),
    ("blanks.csv", {}, {}),
    ("dummy.tsv", {}, {}),
    ("join_a_short.csv", LENIENT, {"engine": "python"}),
    ("mac_newlines.csv", {}, {}),
    ("null_byte.csv", {}, {}),
    ("optional_quote_characters.csv", {}, {}),
    ("optional_quote_characters.csv", {"quote": ""}, {"quoting": csv.QUOTE_NONE}),
    ("sniff_limit.csv", {"delimiter": ";"}, {"sep": ";"}),
    ("test_cr.csv", {}, {}),
    ("test_crlf.csv", {}, {}),
    ("test_csv_sniff.csv", {"delimiter": "|"}, {"sep": "|"}),
    ("test_empty_columns_long_row.csv", LENIENT, {"engine": "python", "on_bad_lines": lambda row: row[:3]}),
    ("test_extra_header.csv", LENIENT, {"engine": "python"}),
    ("test_geo.csv", {}, {}),
    ("test_header_newline.csv", {}, {}),
    ("test_latin1.csv", {"encoding": "latin1"}, {"encoding": "latin1"}),
    ("test_locale.csv", {}, {}),
    ("test_no_header.csv", {"names": [*"pqrstu"]}, {"names": [*"pqrstu"]}),
    ("test_quote_nonnumeric.csv", {}, {}),
    ("test_skip_lines.csv", {"skip_lines": 3}, {"skiprows": 3}),
    ("test_utf16_big.csv", {}, {"encoding": "utf-16"}),
    ("test_utf16_little.csv", {}, {"encoding": "utf-16"}),
    ("test_utf8_bom.csv", {}, {"encoding": "utf-8-sig"}),
    ("testfixed_schema.csv", {}, {}),
    ("testjson_nested_converted.csv", {}, {}),
]


@pytest.mark.parametrize(("name", "said", "options"), FILES)
def test_an_odd_file_is_read_as_pandas_reads_it(
    name: str, said: dict[str, Any], options: dict[str, Any]
) -> None:
    table, bad = ours(ODD / name, said)
    assert not bad
    assert table == theirs(ODD / name, **options)


def test_no_odd_file_is_left_out() -> None:
    assert {file.name for file in ODD.iterdir()} == {name for name, *_ in FILES} | {"README.md", "testfixed"}


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("bad.csv", ["Expected 3 fields, got 4 in line 2", "Expected 3 fields, got 2 in line 3"]),
        ("join_a_short.csv", ["Expected 3 fields, got 2 in line 2", "Expected 3 fields, got 1 in line 3"]),
        ("test_latin1.csv", ["Expected `utf-8`, got bytes that are not in line 3 (byte 16)"]),
    ],
)
def test_a_bad_row_of_an_odd_file_is_told(name: str, reasons: list[str]) -> None:
    assert ours(ODD / name, {})[1] == reasons


@pytest.mark.parametrize(
    "name", ["FY09_EDU_Recipients_by_State.csv", "sniff_limit.csv", "test_csv_sniff.csv"]
)
def test_an_odd_header_is_refused_where_pandas_makes_one_up(name: str) -> None:
    with pytest.raises(UnreadableFile):
        ours(ODD / name, {})


def test_numbers_of_another_country() -> None:
    table, _ = ours(ODD / "test_locale.csv", {"decimal_comma": ["a", "b"], "thousands": {"b": "."}})
    assert table == (["a", "b", "c"], [("1.7", "200000000", "")])


def fixed(file: Path, columns: list[dict[str, Any]], **said: Any) -> list[tuple[str, ...]]:
    settings = fixed_width_settings({"columns": columns, **said}, file.name)
    rows = rows_of(
        pieces_of(lambda content, start: fixedwidth.reader_of(settings, content, start), file.read_bytes())
    )
    assert not any(isinstance(row, BadRow) for *_, row in rows)
    return [tuple(value or "" for value in row.values()) for *_, row in rows]


def test_fixed_width_is_read_as_pandas_reads_it() -> None:
    _, layout = theirs(ODD / "testfixed_schema.csv")
    columns = [{"name": name, "from": int(start) + 1, "width": int(length)} for name, start, length in layout]
    spans = [(int(start), int(start) + int(length)) for _, start, length in layout]
    frame = pd.read_fwf(ODD / "testfixed", colspecs=spans, dtype=str, na_filter=False, header=None)
    read = fixed(ODD / "testfixed", columns, short_rows="pad")
    assert read == list(frame.itertuples(index=False, name=None))
