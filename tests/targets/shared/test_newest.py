"""`newest_by`: an older version of a row takes no newer one's place, whatever the unit, the fields that came, and who says that it is gone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from targets.shared.test_databases import INTEGER, MOMENT, TEXT, Database, target

__all__ = ["target"]

OWN = SCHEMA("s", {"id": INTEGER, "ver": INTEGER, "v": TEXT, "w": TEXT, "_sdc_deleted_at": MOMENT}, ["id"])
BY: dict[str, Any] = {"newest_by": {"s": "ver"}}
GONE = "2026-01-01T00:00:00Z"
ALL = "SELECT id, ver, v, w FROM s ORDER BY id"


def row(id_: int, at: int | None, v: str, **more: Any) -> dict[str, Any]:
    return RECORD("s", {"id": id_, "ver": at, "v": v, "w": v, **more})


def test_an_older_row_changes_nothing_and_of_a_unit_the_newest_counts(target: Database) -> None:
    first = [
        row(1, 5, "a"),
        row(2, 5, "a"),
        row(2, 7, "b"),
        row(2, 6, "c"),
        row(3, None, "a"),
        STATE({"n": 1}),
    ]
    outcome = target.run(OWN, *first, **BY).expect(0)
    assert target.query(ALL) == [(1, 5, "a", "a"), (2, 7, "b", "b"), (3, None, "a", "a")]
    assert "older by" not in outcome.stderr
    later = [
        row(1, 4, "old"),
        row(1, None, "none"),
        row(2, 7, "same"),
        row(3, 1, "some"),
        row(4, 1, "new"),
        STATE({"n": 2}),
    ]
    outcome = target.run(OWN, *later, **BY).expect(0)
    assert target.query(ALL) == [
        (1, 5, "a", "a"),
        (2, 7, "same", "same"),
        (3, 1, "some", "some"),
        (4, 1, "new", "new"),
    ]
    assert (
        "Stream `s`: 1 row that came was older by `ver` than what is stored, and changed nothing"
        in outcome.stderr
    )
    target.run(OWN, row(1, 4, "old"), STATE({"n": 3})).expect(0)
    assert target.query(ALL)[0] == (1, 4, "old", "old"), "without the setting the last one counts"


@pytest.mark.parametrize("hard", [True, False])
def test_a_deletion_that_is_older_deletes_nothing(target: Database, hard: bool) -> None:
    target.run(OWN, row(1, 5, "a"), row(2, 5, "a"), row(3, 5, "a"), STATE({"n": 1}), **BY).expect(0)
    gone = [
        row(1, 4, "x", _sdc_deleted_at=GONE),
        row(2, 6, "x", _sdc_deleted_at=GONE),
        RECORD("s", {"id": 3, "_sdc_deleted_at": GONE}),  # nothing says that it is older
    ]
    target.run(OWN, *gone, STATE({"n": 2}), hard_delete=hard, **BY).expect(0)
    there = target.query("SELECT id, ver FROM s WHERE _sdc_deleted_at IS NULL")
    assert there == [(1, 5)]
    assert len(target.query(ALL)) == (1 if hard else 3)


def test_a_row_that_is_older_is_not_gone_with_the_load_that_it_came_with(target: Database) -> None:
    config = {"add_record_metadata": True, **BY}
    activated = [{"type": "ACTIVATE_VERSION", "stream": "s", "version": n} for n in (1, 2)]
    first = [row(n, 5, "a") | {"version": 1} for n in (1, 2)]
    target.run(OWN, *first, activated[0], STATE({"n": 1}), **config).expect(0)
    target.run(OWN, row(1, 4, "old") | {"version": 2}, activated[1], STATE({"n": 2}), **config).expect(0)
    assert target.query(ALL) == [(1, 5, "a", "a")]


def load_at_random(target: Database, seed: int) -> None:
    """Load rows of all kinds, and hold what is stored against what docs/target-postgres/newest-by.md says of one after the other."""
    pick = random.Random(seed)
    config = {"missing_fields": "keep", "hard_delete": seed % 2 == 0, **BY}
    if seed == 1:
        config["on_invalid"] = "quarantine"
    stored: dict[int, dict[str, Any]] = {}
    least: dict[int, int] = {}
    for unit in range(3):
        messages = []
        for _ in range(pick.randint(1, 25)):
            id_ = pick.randint(1, 5)
            record = {"id": id_, "ver": pick.choice([None, *range(6)]), "_sdc_deleted_at": None}
            record |= {name: pick.choice("abc") for name in "vw" if pick.random() < 0.7}
            if pick.random() < 0.2:
                record["_sdc_deleted_at"] = GONE
                if pick.random() < 0.3:
                    del record["ver"]
            elif id_ in least:  # nobody knows any more what was deleted
                record["ver"] = max(least[id_], record["ver"] or 0)
            messages.append(RECORD("s", record))
            before = stored.get(id_)
            is_gone = record["_sdc_deleted_at"] is not None
            if before is not None and before["ver"] is not None and "ver" in record:
                at = record["ver"]
                if (at is None and not is_gone) or (at is not None and at < before["ver"]):
                    continue
            if config["hard_delete"] and is_gone:
                stored.pop(id_, None)
                least[id_] = 5
            else:
                blank = {"id": id_, "ver": None, "v": None, "w": None}
                stored[id_] = (before or blank) | record
        target.run(OWN, *messages, STATE({"n": unit}), **config).expect(0)
        found = target.query("SELECT id, ver, v, w, _sdc_deleted_at IS NOT NULL FROM s ORDER BY id")
        wanted = [
            (r["id"], r["ver"], r["v"], r["w"], r["_sdc_deleted_at"] is not None)
            for _, r in sorted(stored.items())
        ]
        assert found == wanted, (seed, unit)


@pytest.mark.parametrize("seed", range(2))
def test_what_is_stored_is_what_stands_in_order(target: Database, seed: int) -> None:
    load_at_random(target, seed)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (
            {"newest_by": {"s": "verr"}},
            "a field of stream `s` at `newest_by`, got `verr` (did you mean `ver`?)",
        ),
        ({"newest_by": {"s": "id"}}, "that is not of its key"),
        ({"newest_by": {"s": "v"}}, "numbers, dates or date-times, got `v`, which is `string`"),
        ({"newest_by": {"s": "doc"}}, "got `doc`, which is `json`"),
        ({**BY, "load_method": "append"}, "of which it says `append`"),
        ({**BY, "load_method": "overwrite", "end_of_input": "state"}, "of which it says `overwrite`"),
        (
            {"newest_by": {"*": "ver"}, "load_method": {"s": "append"}},
            'leave it out (`{"newest_by": {"s": null}}`)',
        ),
    ],
)
def test_a_field_that_cannot_tell_is_refused(target: Database, config: dict[str, Any], why: str) -> None:
    own = SCHEMA("s", {"id": INTEGER, "ver": INTEGER, "v": TEXT, "doc": {"type": "object"}}, ["id"])
    outcome = target.run(own, RECORD("s", {"id": 1, "ver": 1}), STATE({"n": 1}), **config).expect(78)
    assert why in outcome.last_words


def test_a_stream_without_a_key_and_a_pattern_that_meets_nothing(target: Database) -> None:
    own = SCHEMA("s", {"id": INTEGER, "ver": INTEGER})
    records = [RECORD("s", {"id": 1, "ver": 1}), STATE({"n": 1})]
    assert "a stream with a key" in target.run(own, *records, **BY).expect(78).last_words
    said = target.run(own, *records, newest_by={"*": "ver", "s": None, "t": "ver"}).expect(0).stderr
    assert "`newest_by` names `t`, and this run had no stream that it matches" in said


def test_a_value_that_cannot_be_compared_is_refused_and_stands_in_no_variant(target: Database) -> None:
    odd = RECORD("s", {"id": 1, "ver": "soon", "v": "x"})
    assert "Expected `integer`" in target.run(OWN, odd, STATE({"n": 1}), **BY).expect(65).last_words
    lacking = RECORD("s", {"id": 2, "v": "x"})
    messages = [OWN, odd, lacking, row(3, 1, "a"), STATE({"n": 1})]
    target.run(*messages, on_invalid="quarantine", missing_fields="keep", **BY).expect(0)
    assert target.query(ALL) == [(3, 1, "a", "a")]
    reasons = [reason for (reason,) in target.query("SELECT reason FROM _singerkit_rejects ORDER BY reason")]
    assert len(reasons) == 2
    assert "which version of a row is the newer" in reasons[1]
