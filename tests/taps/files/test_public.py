"""A few of the public files that `make test-typed-files` reads: old Parquet that comes with pyarrow, and what stands in `public/`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from taps.files.othersread import check_avro, check_parquet, check_xlsx

PUBLIC = Path(__file__).parent / "public"


@pytest.mark.parametrize("path", sorted((Path(pa.__file__).parent / "tests/data/parquet").glob("*.parquet")), ids=lambda path: path.name)  # fmt: skip
def test_parquet_is_what_duckdb_reads(path: Path) -> None:
    check_parquet(path)


@pytest.mark.parametrize("path", sorted(PUBLIC.glob("*.avro")), ids=lambda path: path.name)
def test_avro_is_what_fastavro_reads(path: Path) -> None:
    check_avro(path, by_apache=False)


@pytest.mark.parametrize("path", sorted(PUBLIC.glob("*.xlsx")), ids=lambda path: path.name)
def test_xlsx_is_what_openpyxl_reads(path: Path) -> None:
    check_xlsx(path)


def test_they_are_there() -> None:
    assert len(list(PUBLIC.iterdir())) == 8
