"""singer-sdk's standard target tests on target-postgres, and after each of them a look into the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.sdk_oracle import expected_rows, same_rows
from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.runners import TargetTestRunner
from targets.postgres.driver import read_table

from target_postgres.target import TargetPostgres

Standard: Any = get_target_test_class(TargetPostgres)


class TestTargetPostgres(Standard):
    """Each test gets a database of its own, which must hold what its file says."""

    @pytest.fixture
    def runner(self, database: str) -> Iterator[TargetTestRunner]:
        config = {"dsn": database, "on_unstorable": "replace"}
        runner = TargetTestRunner(TargetPostgres, config=config, parse_env_config=False)
        yield runner
        if runner.input_filepath is not None:
            self.check(database, Path(str(runner.input_filepath)))

    def check(self, database: str, path: Path) -> None:
        for stream, rows in expected_rows(path).items():
            found = read_table(database, "public", stream)
            assert same_rows(found, rows, {"\0": "\ufffd"}), (stream, found, rows)
