"""singer-sdk's standard target tests on target-jsonl, and after each of them a look into the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.sdk_oracle import expected_rows, same_rows
from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.runners import TargetTestRunner
from targets.jsonl.driver import read_lines

from target_jsonl.target import TargetJsonl

Standard: Any = get_target_test_class(TargetJsonl)


class TestTargetJsonl(Standard):
    """Each test gets a folder of its own, which must hold what its file says."""

    @pytest.fixture
    def runner(self, tmp_path: Path) -> Iterator[TargetTestRunner]:
        config = {"destination_path": str(tmp_path), "on_unstorable": "replace"}
        runner = TargetTestRunner(TargetJsonl, config=config, parse_env_config=False)
        yield runner
        if runner.input_filepath is not None:
            self.check(tmp_path, Path(str(runner.input_filepath)))

    def check(self, folder: Path, path: Path) -> None:
        for stream, rows in expected_rows(path, appends=True).items():
            found = read_lines(folder, stream)
            assert same_rows(found, rows, {"\0": "\ufffd"}), (stream, found, rows)
