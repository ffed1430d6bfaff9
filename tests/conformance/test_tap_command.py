"""The rules of `singerkit_check.suite.test_tap_command`, against our own executables."""

from singerkit_check.suite.test_tap_command import *  # noqa: F403  pytest collects what stands in this module
