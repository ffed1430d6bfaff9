"""What tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults.torture.inject import NoCompilerError, library
from faults.torture.pipeline import Bench


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    """Server, proxy and zygote of this worker, for any number of pipelines."""
    try:
        library()
    except NoCompilerError as error:
        pytest.skip(str(error))
    with Bench() as made:
        yield made
