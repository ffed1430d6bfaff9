"""singer-sdk's standard target tests on target-duckdb, and after each of them a look into the file."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conformance.sdk_oracle import expected_rows, same_rows
from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.runners import TargetTestRunner
from targets.duckdb.driver import read_duckdb

from target_duckdb.target import TargetDuckDB

Standard: Any = get_target_test_class(TargetDuckDB)


class TestTargetDuckDB(Standard):
    """Each test gets a file of its own, which must hold what its file of messages says."""

    @pytest.fixture
    def runner(self, tmp_path: Path) -> Iterator[TargetTestRunner]:
        file = tmp_path / "standard.duckdb"
        runner = TargetTestRunner(TargetDuckDB, config={"database": str(file)}, parse_env_config=False)
        yield runner
        if runner.input_filepath is not None:
            self.check(file, Path(str(runner.input_filepath)))

    def check(self, file: Path, path: Path) -> None:
        for stream, rows in expected_rows(path).items():
            found = [
                {name: without_zeros(value) for name, value in row.items()}
                for row in read_duckdb(file, stream)
            ]
            assert same_rows(found, rows), (stream, found, rows)


def without_zeros(value: Any) -> Any:
    """A decimal as an integer where it is one: `DECIMAL(38,9)` has nine digits after the point of each."""
    return int(value) if isinstance(value, Decimal) and value == int(value) else value
