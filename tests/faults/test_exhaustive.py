"""A spread sample of the exhaustive loops (`faults.torture.exhaustive`); SINGERKIT_KILLS=all runs every case.

Each run takes other cases: every STEP-th one, beginning at an offset that is printed with a failure and that
SINGERKIT_KILLS=<number> sets. The offsets 0 to STEP - 1 cover all cases.
"""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator

import pytest
from faults.torture.exhaustive import SETTINGS, Loop, Result, Stage, loops, run_loop, run_one, sample
from faults.torture.modes import Mode
from faults.torture.pipeline import Bench

GIVEN = os.environ.get("SINGERKIT_KILLS", "")
STEP = 300
FEW = 1800
"""Step of the sample with another way to load, a different one with each offset."""
MODES = (
    "append,keep",
    "overwrite,keyless,variants",
    "delete+insert",
    "history,versions",
    "upsert,atomic,variants",
)
# All workers of one pytest-xdist run take the same offset, so that its log can say how to repeat it.
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(random.SystemRandom().randrange(10**9))
OFFSET = int(GIVEN) if GIVEN.isdigit() else zlib.crc32(_RUN.encode()) % STEP


@pytest.fixture(scope="module")
def stage(bench: Bench) -> Iterator[Stage]:
    with Stage(bench=bench) as made:
        yield made


@pytest.mark.parametrize("setting", SETTINGS)
def test_nothing_is_lost_or_doubled_whatever_call_fails(stage: Stage, setting: str) -> None:
    chosen = loops([setting])
    results = [run_loop(stage, loop) for loop in chosen] if GIVEN == "all" else [run_sample(stage, chosen)]
    failures = [failure for result in results for failure in result.failures]
    assert not failures, "\n".join([f"SINGERKIT_KILLS={GIVEN or OFFSET}", *failures])
    assert sum(result.struck for result in results) > 0


@pytest.mark.parametrize("setting", ["url.later", "duckdb.later"])
def test_nothing_is_lost_or_doubled_however_rows_are_loaded(bench: Bench, setting: str) -> None:
    mode = Mode.named(MODES[OFFSET % len(MODES)])
    with Stage(mode, bench) as stage:
        result = run_sample(stage, loops([setting]), FEW, OFFSET * 7)
    assert not result.failures, "\n".join([f"SINGERKIT_KILLS={OFFSET}", *result.failures])
    assert result.cases > 0


def run_sample(stage: Stage, chosen: list[Loop], step: int = STEP, offset: int = OFFSET) -> Result:
    """Run the cases of this offset; the result is of all these loops."""
    result = Result(chosen[0])
    for case in sample(stage, chosen, step, offset):
        run_one(stage, case, result)
    return result


def test_every_loop_and_case_has_a_name_of_its_own_that_repeats_it() -> None:
    names = [str(loop) for loop in loops()]
    assert len(set(names)) == len(names) > 300
    assert "url.later.target.send.kill" in names
    assert "file.later.sql.commit.swallow+" in names
    assert "jsonl.first.target.rename.eio" in names
