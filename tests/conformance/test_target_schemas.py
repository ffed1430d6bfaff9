"""The rules of `singerkit_check.suite.test_target_schemas`, against our own executables."""

from singerkit_check.suite.test_target_schemas import *  # noqa: F403  pytest collects what stands in this module
