"""Keys that come again within a unit: the last row counts, whatever rows weigh."""

from __future__ import annotations

import random

import pytest
from faults.loads import RECORD, SCHEMA, STATE, load, table

SCHEMAS = SCHEMA("s", {"id": {"type": "integer"}, "n": {"type": "integer"}, "v": {"type": "string"}}, ["id"])


@pytest.mark.parametrize("seed", [1, 9, 11])
def test_the_last_row_of_a_key_counts_where_rows_are_long_and_short_by_turns(
    database: str, seed: int
) -> None:
    """PostgreSQL puts a short row on a page before that of the last one, if there is room: not in the order in which rows come."""
    dice = random.Random(seed)
    rows = [
        {
            "id": dice.randrange(100),
            "n": n,
            "v": f"{dice.getrandbits(4 * dice.choice((1, dice.randint(10, 1900)))):x}",
        }
        for n in range(3_000)
    ]
    messages = [SCHEMAS]
    for at in range(0, len(rows), 500):
        messages += [*(RECORD("s", row) for row in rows[at : at + 500]), STATE({"at": at})]
    load(database, *messages, commit_rows=1).expect(0)
    assert table(database, "s", "id", "n") == sorted({row["id"]: row["n"] for row in rows}.items())
