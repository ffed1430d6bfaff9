"""The rules of `singerkit_check.suite.test_tap_catalog`, against our own executables."""

from singerkit_check.suite.test_tap_catalog import *  # noqa: F403  pytest collects what stands in this module
