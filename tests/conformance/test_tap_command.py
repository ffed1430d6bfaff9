"""The rules of `singerkit_check.suite.test_tap_command`, against our own executables, as they start for a user."""

import pytest

from singerkit_check.suite.test_tap_command import *  # noqa: F403  pytest collects what stands in this module

pytestmark = pytest.mark.usefixtures("really_started")
