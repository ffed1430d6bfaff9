"""`load_method` by stream: which pattern counts, what is refused, and what each stream's table has then."""

from __future__ import annotations

import json

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from targets.shared.test_databases import Database, target

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.methods import Method, method_problems, methods_of
from singerkit_target.delivery import Ways, deliveries
from target_duckdb.target import TargetDuckDB

__all__ = ["target"]

INTEGER = {"type": ["integer", "null"]}


def of(value: object, stream: str) -> str:
    return methods_of(value).of(stream).value


def test_the_most_exact_pattern_counts() -> None:
    by_pattern = {"*": "append", "log_*": "upsert", "log_a*": "append", "log_ab": "upsert", "x[1]": "upsert"}
    found = {stream: of(by_pattern, stream) for stream in ("z", "log_z", "log_az", "log_ab", "x[1]", "x1")}
    assert found == {
        "z": "append",
        "log_z": "upsert",
        "log_az": "append",
        "log_ab": "upsert",
        "x[1]": "upsert",
        "x1": "upsert",
    }
    assert of({"a*": "append"}, "z") == "upsert", "the default"
    assert of(json.dumps(by_pattern), "log_az") == "append", "from the environment"
    assert of("append-only", "z") == of("append", "z") == "append"


def test_two_that_are_as_exact_are_refused_where_they_say_different_things() -> None:
    both = methods_of({"a*": "append", "*b": "upsert"})
    assert both.of("aa") is Method.APPEND
    with pytest.raises(ConfigurationError, match=r"for stream `ab`, got `a\*` and `\*b`"):
        both.of("ab")


def test_an_unknown_method_is_refused_with_the_nearest() -> None:
    assert "got `apend` at load_method (did you mean `append`?)" in method_problems("apend")[0]
    assert "got `upsrt` at load_method.a (did you mean `upsert`?)" in method_problems({"a": "upsrt"})[0]
    assert "got `1` at load_method.a" in method_problems({"a": 1})[0]
    assert not method_problems({"a": "append-only", "*": "upsert"})


def test_each_stream_is_loaded_by_its_own(target: Database) -> None:
    messages = [
        part
        for stream in ("log_a", "orders")
        for part in (SCHEMA(stream, {"id": INTEGER, "v": INTEGER}, ["id"]), RECORD(stream, {"id": 1, "v": 1}))
    ]
    config = {"load_method": {"log_*": "append", "ordres": "append", "*": "upsert"}}
    outcomes = [target.run(*messages, STATE({"n": n}), **config).expect(0) for n in range(2)]
    assert target.query("SELECT id FROM orders") == [(1,)]
    assert target.query("SELECT id FROM log_a") == [(1,), (1,)]
    assert outcomes[0].stderr.count("`load_method` names `ordres`, and this run had no stream") == 1
    assert "names `log_*`" not in outcomes[0].stderr
    refused = target.run(*messages, load_method={"orders": "upsret"}).expect(78)
    assert "did you mean `upsert`?" in refused.last_words


def test_the_promise_is_told_by_method() -> None:
    mixed = TargetDuckDB.ways_of_rows({"load_method": {"log_*": "append", "*": "upsert"}})
    assert mixed == Ways(replaces=True, appends=True)
    told = [one.configuration for one in deliveries(ways=mixed, has_state_url=True, state_file=None)]
    assert any("streams that `load_method` upserts, with a key" in how for how in told)
    assert any("streams that `load_method` appends" in how for how in told)
    assert TargetDuckDB.ways_of_rows({"load_method": {"*": "append"}}) == Ways(replaces=False, appends=True)
