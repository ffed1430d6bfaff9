"""The rules of `singerkit_check.suite.test_tap_command`, against our own executables.

What an interpreter's own start can change, as it starts for a user: the environment, signals, exit codes.
"""

from collections.abc import Iterator

import pytest
import starting

from singerkit_check.suite.test_tap_command import *  # noqa: F403  pytest collects what stands in this module

AS_FOR_A_USER = (
    "test_t03_several_config_files_merge_and_env_is_read",
    "test_t14_a_signal_stops_at_a_message_boundary",
)


@pytest.fixture(autouse=True)
def _starts(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.function.__name__ in AS_FOR_A_USER:
        with starting.really():
            yield
    else:
        yield
