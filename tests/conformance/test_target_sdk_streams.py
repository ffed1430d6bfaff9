"""The rules of `singerkit_check.suite.test_target_sdk_streams`, against our own executables."""

from singerkit_check.suite.test_target_sdk_streams import *  # noqa: F403  pytest collects what stands in this module
