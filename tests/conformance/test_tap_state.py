"""The rules of `singerkit_check.suite.test_tap_state`, against our own executables."""

from singerkit_check.suite.test_tap_state import *  # noqa: F403  pytest collects what stands in this module
