"""The rules of `singerkit_check.suite.test_target_loading`, against our own executables."""

from singerkit_check.suite.test_target_loading import *  # noqa: F403  pytest collects what stands in this module
