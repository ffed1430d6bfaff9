"""Parquet, Avro and Excel through the whole tap: columns with their types, resumed in the middle, and never taken for a file that grows."""

from __future__ import annotations

import gzip
import io
import sys
from typing import Any

import fastavro
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from taps.files.conftest import Folder, cuts

from singerkit_shell.errors import BadDataError, CannotWriteError, ConfigurationError

SYNC = b"0123456789abcdef"


def _parquet(ids: list[int], text: str = "x") -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": ids, "t": [text] * len(ids)}), file, row_group_size=50)
    return file.getvalue()


def _avro(ids: list[int], text: str = "x") -> bytes:
    file = io.BytesIO()
    fields = [{"name": "id", "type": "long"}, {"name": "t", "type": "string"}]
    schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": fields})
    fastavro.writer(file, schema, [{"id": one, "t": text} for one in ids], sync_marker=SYNC)
    return file.getvalue()


def _xlsx(ids: list[int], text: str = "x") -> bytes:
    file, book = io.BytesIO(), openpyxl.Workbook()
    for row in (["id", "t"], *([one, text] for one in ids)):
        book.active.append(row)
    book.save(file)
    return file.getvalue()


WRITERS: dict[str, Any] = {"parquet": _parquet, "avro": _avro, "xlsx": _xlsx}
LONG = "y" * 30_000


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_come_once_wherever_a_run_ends(folder: Folder, kind: str) -> None:
    write = WRITERS[kind]
    folder.write(f"in/a.{kind}", write([1, 2, 3]))
    folder.write(f"in/b.{kind}", write([*range(10, 310)], LONG))
    stream = {"path": f"in/*.{kind}"}
    whole = folder.sync(state_every=1, **stream)
    assert whole.column("id") == [1, 2, 3, *range(10, 310)]
    assert whole.column("_row") == [1, 2, 3, *range(1, 301)]
    assert whole.properties()["id"] == {"type": ["null", "integer"]}

    halves = list(cuts(whole.messages))
    assert any(3 < len(committed) < 303 for committed, _ in halves)  # in the middle of the second file
    for committed, state in halves[1:-1:2]:
        rest = folder.sync(state, **stream)
        ids = [message["record"]["id"] for message in committed] + rest.column("id")
        assert ids == whole.column("id")

    assert folder.sync(whole.state, **stream).rows() == []
    if kind == "avro":  # to which blocks may be added
        (folder.path / "in/a.avro").write_bytes(write([1, 2, 3]) + write([4]).partition(SYNC)[2])
        assert folder.sync(whole.state, **stream).column("id") == [4]
    else:
        folder.write(f"in/a.{kind}", write([1, 2, 3, 4]))
        with pytest.raises(
            BadDataError, match=rf"in/a.{kind} of stream `t` was read before \(3 rows\) and has changed since"
        ):
            folder.sync(whole.state, on_changed="fail", **stream)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_damaged_file_is_named(folder: Folder, kind: str) -> None:
    folder.write(f"in/a.{kind}", b"id,t\n1,x\n")
    with pytest.raises(BadDataError, match=rf"Expected .*, of the file in/a.{kind} of stream `t`"):
        folder.sync(path=f"in/*.{kind}")
    if kind == "parquet":
        outcome = folder.run(path="in/*.parquet")
        assert outcome.code == 65
        assert "Traceback" not in outcome.stderr


def test_without_room_for_a_copy_a_run_says_what_to_do(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not on this disk as it is read (in a bucket, or packed) is copied, where a reader goes to and fro."""
    file = io.BytesIO()
    pq.write_table(pa.table({"id": [1]}), file)
    folder.write("in/a.parquet.gz", gzip.compress(file.getvalue()))
    with open("/dev/full", "w+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda **_: full)
        with pytest.raises(CannotWriteError, match=r"No space left.*make room there.*TMPDIR"):
            folder.sync(path="in/*.parquet.gz")


def test_a_row_with_an_error_of_excel_is_a_bad_row(folder: Folder) -> None:
    file, book = io.BytesIO(), openpyxl.Workbook()
    for row in (["id", "n"], [1, 5], [2, "#DIV/0!"], [3, 7]):
        book.active.append(row)
    book.save(file)
    folder.write("in/a.xlsx", file.getvalue())
    with pytest.raises(BadDataError, match=r"cell B3 of sheet `Sheet`, got the error #DIV/0!.*in/a.xlsx"):
        folder.sync(path="in/*.xlsx")
    run = folder.sync(path="in/*.xlsx", on_bad_row="set_aside")
    assert [(row["id"], row["n"], row["_row"]) for row in run.rows()] == [(1, 5, 1), (3, 7, 3)]
    (bad,) = run.rows("t__bad_rows")
    assert (bad["_file"], bad["_row"]) == ("in/a.xlsx", 2)
    assert folder.sync(path="in/*.xlsx", xlsx={"errors": "null"}).column("n") == [5, None, 7]


@pytest.mark.parametrize(
    ("kind", "module", "extra"), [("parquet", "pyarrow", "arrow"), ("avro", "fastavro", "avro")]
)
def test_a_package_that_is_missing_is_named(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, kind: str, module: str, extra: str
) -> None:
    folder.write(f"in/a.{kind}", WRITERS[kind]([1]))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"`{module}`.*pip install 'singerkit\[{extra}\]'"):
        folder.sync(path=f"in/*.{kind}")
