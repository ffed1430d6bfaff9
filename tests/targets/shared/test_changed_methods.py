"""`load_method` changed between two runs, for each pair of methods: what is refused, with the statement that goes on, and what the table has then."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path
from typing import Any

from faults.loads import MARKED, RECORD, SCHEMA, load, query
from targets.duckdb import test_target_duckdb as duck

INTEGER = {"type": ["integer", "null"]}
KEYED, ALL = (
    ("upsert", "overwrite", "delete+insert"),
    ("upsert", "append", "overwrite", "delete+insert", "history"),
)
LEAVES_ROWS = (65, "to have each one appended, drop the primary key with")
WANTS_KEY = (65, "leaves of rows with one key the one that stands last")
WANTS_RANGES = (78, "have no range in which they held")
HAS_RANGES = (78, "has its history (`load_method: history`)")
REFUSED = {
    **{(one, "append"): LEAVES_ROWS for one in KEYED},
    **{("append", one): WANTS_KEY for one in KEYED},
    **{(one, "history"): WANTS_RANGES for one in (*KEYED, "append")},
    **{("history", one): HAS_RANGES for one in (*KEYED, "append")},
}
"""In target-postgres, of which rows with one key were appended; in all other pairs the second run goes on with what is there."""
THEN = {
    "upsert": [(1, 1), (2, 2), (4, 4)],
    "append": [(1, 1), (1, 9), (2, 2), (4, 4)],
    "overwrite": [(1, 1), (4, 4)],
    "delete+insert": [(1, 1), (2, 2), (4, 4)],
    "history": [(1, 1), (2, 2), (4, 4)],
}


def messages(streams: Any, *rows: tuple[int, int]) -> list[Any]:
    sent = [MARKED({"bookmarks": {}})]
    for stream in streams:
        sent += [SCHEMA(stream, {"id": INTEGER, "v": INTEGER}, ["id"])]
        sent += [RECORD(stream, {"id": id_, "v": v}) for id_, v in rows]
    return [*sent, MARKED({"bookmarks": {}}, complete=True)]


def config(methods: dict[str, str], **more: Any) -> dict[str, Any]:
    sets = {stream: ["id"] for stream, method in methods.items() if method == "delete+insert"}
    return {"load_method": methods} | ({"replace_by": sets} if sets else {}) | more


def test_each_pair_of_methods(database: str) -> None:
    pairs = {f"{one}_{other}": (one, other) for one, other in permutations(ALL, 2)}
    first = messages(pairs, (1, 1), (2, 2), (1, 9))
    load(database, *first, **config({stream: one for stream, (one, _) in pairs.items()})).expect(0)
    second = {stream: other for stream, (_, other) in pairs.items()}
    changes = (1, 1), (4, 4)
    for stream, pair in pairs.items():
        if pair in REFUSED:
            code, said = REFUSED[pair]
            one = config({stream: second[stream]}, on_invalid="quarantine")
            words = load(database, *messages([stream], *changes), **one).expect(code).last_words
            assert said in words
            for statement in re.findall("`((?:ALTER|DELETE) [^`]*)`", words):
                query(database, statement)
    load(database, *messages(pairs, *changes), **config(second, on_invalid="quarantine")).expect(0)
    found = {
        pairs[stream]: query(
            database,
            f'SELECT id, v FROM "{stream}" {"WHERE _sdc_valid_to IS NULL" if other == "history" else ""} ORDER BY 1, 2',
        )
        for stream, other in second.items()
    }
    assert found == {pair: THEN[pair[1]] for pair in pairs.values()}


def test_each_pair_of_methods_in_duckdb(tmp_path: Path) -> None:
    """Rows that were appended have no key there; what says so has the way to have all of them come again."""
    file = tmp_path / "a.duckdb"
    pairs = {f"{one}_{other}": (one, other) for one, other in permutations(ALL, 2)}
    first = messages(pairs, (1, 1), (2, 2), (1, 9))
    duck.load(file, *first, **config({stream: one for stream, (one, _) in pairs.items()})).expect(0)
    changes = (1, 1), (4, 4)
    for stream in [stream for stream, (one, _) in pairs.items() if one == "append"]:
        del pairs[stream]
    other = config({"append_overwrite": "overwrite"})
    refused = duck.load(file, *messages(["append_overwrite"], *changes), **other).expect(65)
    assert "to be unique and not null" in refused.last_words
    second = {stream: other for stream, (_, other) in pairs.items()}
    for stream, pair in pairs.items():
        if "history" in pair:
            one = config({stream: second[stream]})
            code, said = WANTS_RANGES if pair[1] == "history" else HAS_RANGES
            words = duck.load(file, *messages([stream], *changes), **one).expect(code).last_words
            assert said in words
            (statements,) = re.findall("run `((?:ALTER|DELETE) [^`]*)`", words)
            for statement in statements.split("; "):
                duck.query(file, statement)
    duck.load(file, *messages(pairs, *changes), **config(second)).expect(0)
    holds = {
        stream: "WHERE _sdc_valid_to IS NULL" for stream, (_, other) in pairs.items() if other == "history"
    }
    found = {
        pair: duck.query(file, f'SELECT id, v FROM "{stream}" {holds.get(stream, "")} ORDER BY 1, 2')
        for stream, pair in pairs.items()
    }
    assert found == {pair: THEN[pair[1]] for pair in pairs.values()}
