"""Few cases hold each three values together."""

from __future__ import annotations

import itertools

from covering import threes


def test_each_three_values_stand_in_a_case_together() -> None:
    axes = ([0, 1], [0, 1], [0, 1], [0, 1, 2], [0, 1])
    chosen = threes(*axes)
    for some in itertools.combinations(range(len(axes)), 3):
        found = {tuple(case[at] for at in some) for case in chosen}
        assert found == set(itertools.product(*(axes[at] for at in some)))
    assert len(set(chosen)) == len(chosen) < 20
