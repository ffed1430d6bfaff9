"""All CSV of packages that have odd or large public files, beside what pandas reads of them as text: `make test-odd-files`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from taps.files.test_odd_files import LENIENT, fixed, ours, theirs

FOLDER = Path(__file__).parents[3] / ".envs/odd"
FOUND = sorted(file for ending in ("csv", "tsv") for file in FOLDER.rglob(f"*.{ending}"))
BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb": "utf-8-sig"}
ODD_HERE = {
    "Datagov_FY10_EDU_recp_by_State.csv": "names",
    "FY09_EDU_Recipients_by_State.csv": "names",
    "sheetsxlsx_converted.csv": "names",
    "test_empty_columns.csv": "names",
    "sniff_limit.csv": ";",
    "test_csv_sniff.csv": "|",
    "test_latin1.csv": "latin1",
}
"""Files that are refused without a word in the config; the first of them is so in one of the packages alone."""
RAGGED = ("bad.csv", "bad_skip_lines.csv", "test_empty_columns_long_row.csv")


@pytest.mark.parametrize("file", FOUND, ids=lambda file: str(file.relative_to(FOLDER)))
def test_a_file_is_read_as_pandas_reads_it(file: Path) -> None:
    begin = file.read_bytes()[:2]
    if begin.strip() == b"":
        assert file.name in ("empty.csv", "bad_skip_lines.csv", "test_skip_lines.csv")
        if file.name == "empty.csv":
            assert ours(file, {})[0] == ([], [])
            return
    options = {"encoding": BOMS.get(begin, "utf-8")}
    said: dict[str, object] = {}
    odd = ODD_HERE.get(file.name)
    if odd == "names":
        width = len(pd.read_csv(file, dtype=str, nrows=0).columns)
        said = {"header": "first", "names": [f"n{number}" for number in range(width)]}
        options |= {"header": 0, "names": said["names"]}
    elif odd == "latin1":
        said, options = {"encoding": odd}, {"encoding": odd}
    elif odd:
        said = {"delimiter": odd}
        options["sep"] = odd
    table, bad = ours(file, said | LENIENT)
    assert not bad
    if file.name in RAGGED:
        options |= {"engine": "python", "on_bad_lines": lambda row: row[:3]}
    assert table == theirs(file, **options)


def test_the_census_by_places_of_columns() -> None:
    folder = next(FOLDER.rglob("census_2000"))
    _, layout = theirs(folder / "determination_schema.csv")
    columns = [{"name": row[4], "from": int(row[1]), "to": int(row[2])} for row in layout]
    spans = [(int(row[1]) - 1, int(row[2])) for row in layout]
    frame = pd.read_fwf(
        folder / "VROUTFSJ.TXt", colspecs=spans, dtype=str, na_filter=False, header=None, encoding="latin1"
    )
    read = fixed(folder / "VROUTFSJ.TXt", columns, encoding="latin1", short_rows="pad", long_rows="cut")
    assert read == list(frame.itertuples(index=False, name=None))


def test_there_are_files() -> None:
    assert len(FOUND) > 100
