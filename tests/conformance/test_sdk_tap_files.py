"""singer-sdk's standard tap tests on tap-files, and the rows it read compared with those of the folder.

The SDK wants the streams while tests are collected, when no fixture can run yet: the folder is filled with this module.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from singer_sdk.testing.runners import TapTestRunner
from taps.files.driver import FolderSource

from singerkit_check.suite.singer import written
from tap_files.tap import TapFiles

FOLDER = tempfile.mkdtemp(prefix="conformance-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
SOURCE = FolderSource(Path(FOLDER))
SUITE = SuiteConfig(max_records_limit=1000)

Standard: Any = get_tap_test_class(TapFiles, config=SOURCE.config, suite_config=SUITE, parse_env_config=False)


class TestTapFiles(Standard):
    """The SDK's tests, and ours on the records that its runner has collected."""

    @pytest.mark.parametrize("stream_name", SOURCE.streams)
    def test_the_records_are_the_rows_of_the_folder(self, runner: TapTestRunner, stream_name: str) -> None:
        # the runner reads JSON with floats, and so does this; the digits are checked in test_tap_messages.py
        rows = [json.loads(written(row)) for row in SOURCE.rows(stream_name)]
        assert runner.records[stream_name] == rows
