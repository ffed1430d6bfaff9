"""A field changes its type at the source: the pipe goes on, and where somebody has said what it is, the last line says what helps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome
from faults.loads import load as load_into_postgres
from faults.loads import query as query_postgres
from taps.rest.api_server import Api, json_reply, page_of, serving
from taps.rest.in_process import run_here
from targets.duckdb.test_target_duckdb import load as load_into_duckdb
from targets.duckdb.test_target_duckdb import query as query_duckdb

STREAM = {"name": "days", "path": "/rows", "primary_keys": ["id"], "pagination": {"type": "page", "size": 20}}
A_UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a%02d"
FIELDS = ("day", "seen_at", "no", "uid")
DRIFTS = {
    "a date that becomes a moment": ("day", "2024-02-01T10:00:00Z"),
    "a date that becomes nothing": ("day", ""),
    "hours of a day that has more": ("clock", "24h"),
    "a flag that becomes a number": ("flag", 0),
    "a flag that becomes text": ("flag", "yes"),
    "a number that becomes text": ("no", "N/A"),
    "a number with a fraction": ("no", 0.5),
    "a number that becomes a list": ("no", [1, "2"]),
    "an identifier that becomes text": ("uid", "none"),
    "a moment that becomes a number": ("seen_at", 1706781600),
}

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(params=["target-postgres", "target-duckdb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[..., Outcome], Query]:
    """What loads messages, and what reads the table."""
    if request.param == "target-duckdb":
        file = tmp_path / "x.duckdb"
        return lambda *lines, **config: load_into_duckdb(file, *lines, **config), lambda text: query_duckdb(
            file, text
        )
    database = request.getfixturevalue("database")
    return lambda *lines, **config: load_into_postgres(
        database, *lines, **config
    ), lambda text: query_postgres(database, text)


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "day": "2024-01-02",
        "seen_at": "2024-01-02T10:00:00Z",
        "no": number,
        "uid": A_UUID % number,
    } | more


ODD = {"day": "soon", "seen_at": "n/a", "no": "N/A", "uid": "none"}


def stored(query: Query) -> list[tuple[Any, ...]]:
    fields = ", ".join(f"CAST({name} AS VARCHAR)" for name in FIELDS)
    return query(f"SELECT id, {fields} FROM days WHERE id IN (1, 30, 31) ORDER BY id")


@pytest.mark.parametrize("memory", ["a cache", "none"])
def test_the_pipe_goes_on_when_inference_was_wrong(memory: str, target: Any, tmp_path: Path) -> None:
    load, query = target
    rows = [row(number) for number in range(1, 13)]
    caches = iter(range(10))

    def run(api: Api) -> None:
        cache = tmp_path / ("cache" if memory == "a cache" else f"cache{next(caches)}")
        load(*run_here(api, STREAM, cache=cache).all).expect(0)

    with serving({"/rows": lambda asked: json_reply(page_of(rows, asked, 20))}) as api:
        run(api)
        types = [
            str(found)
            for (found,) in query(
                "SELECT data_type FROM information_schema.columns WHERE table_name = 'days'"
            )
        ]
        assert {name.lower() for name in types} >= {"date", "timestamp with time zone", "bigint", "uuid"}
        rows.append(row(30, **ODD))
        run(api)
        first = (1, "2024-01-02", "2024-01-02T10:00:00Z", "1", A_UUID % 1)
        assert stored(query) == [first, (30, "soon", "n/a", '"N/A"', "none")]
        # The source is mended, and one more row comes.
        rows[-1:] = [row(31)]
        run(api)
    assert stored(query)[1:] == [
        (30, "soon", "n/a", '"N/A"', "none"),
        (31, "2024-01-02", "2024-01-02T10:00:00Z", "31", A_UUID % 31),
    ]


def test_each_type_that_was_inferred_takes_what_comes_later(target: Any, tmp_path: Path) -> None:
    """Of public reports: an inferred type that one later value breaks ended each run, and nothing of any stream came."""
    load, query = target
    plain = row(1, clock="10:00:00", flag=True)
    tables = {f"s{number}": drift for number, drift in enumerate(DRIFTS.values())}
    sent = {name: [plain] for name in tables}
    streams = [STREAM | {"name": name, "path": f"/{name}"} for name in tables]
    paths = {
        f"/{name}": lambda asked, name=name: json_reply(page_of(sent[name], asked, 20)) for name in tables
    }
    with serving(paths) as api:
        load(*run_here(api, *streams, cache=tmp_path).all).expect(0)
        for name, (field, value) in tables.items():
            sent[name] = [plain, plain | {"id": 2, field: value}]
        for _ in range(2):  # and not once, either
            load(*run_here(api, *streams, cache=tmp_path).all).expect(0)
    for name, (field, value) in tables.items():
        found = query(f"SELECT id, CAST({field} AS VARCHAR) FROM {name} ORDER BY id")
        assert [number for number, _ in found] == [1, 2], name
        for (_, text), was in zip(found, (plain[field], value), strict=True):
            assert value_of(text) in (was, json.dumps(was)), (name, field)


def value_of(text: str) -> Any:
    """What a column shows, as it was sent or as its JSON; numbers without zeros that say nothing."""
    if "." in text and text.replace(".", "").isdigit():
        return json.dumps(int(float(text)) if float(text).is_integer() else float(text))
    return text


def test_another_value_in_the_middle_of_the_first_load(target: Any, tmp_path: Path) -> None:
    load, query = target
    rows = [row(number) for number in range(1, 26)]
    rows.append(row(30, **ODD))
    with serving({"/rows": lambda asked: json_reply(page_of(rows, asked, 20))}) as api:
        messages = run_here(api, STREAM, cache=tmp_path / "cache", infer={"pages": 1}).all
    assert sum(message["type"] == "SCHEMA" for message in messages) == 2
    load(*messages).expect(0)
    assert stored(query)[1] == (30, "soon", "n/a", '"N/A"', "none")
    assert query("SELECT count(*) FROM days") == [(26,)]


def test_what_somebody_has_said_is_not_widened(target: Any, tmp_path: Path) -> None:
    load, query = target
    rows = [row(1)]
    stream = STREAM | {"schema_overrides": {"day": {"format": "date"}}}
    with serving({"/rows": lambda asked: json_reply(page_of(rows, asked, 20))}) as api:
        load(*run_here(api, stream, cache=tmp_path).all).expect(0)
        rows.append(row(30, day="soon"))
        refused = (
            load(*run_here(api, stream, cache=tmp_path).all, on_type_conflict="fail").expect(65).last_words
        )
        assert '`"soon"` at days.$.day' in refused
        loose = STREAM | {"schema_overrides": {"day": {"type": "string"}}}
        refused = (
            load(*run_here(api, loose, cache=tmp_path).all, on_type_conflict="fail").expect(65).last_words
        )
    assert "for `day` of stream `days`" in refused
    assert stored(query)[0][1] == "2024-01-02"


def test_the_pipe_goes_on_when_a_document_was_wrong(target: Any, tmp_path: Path) -> None:
    """An OpenAPI document says what the first rows are, and what none of them has; later ones are something else."""
    load, query = target
    formats = {"day": "date", "seen_at": "date-time", "uid": "uuid"}
    fields = {name: {"type": "string", "format": said} for name, said in formats.items()}
    fields |= {"id": {"type": "integer"}, "no": {"type": "integer"}, "never": {"type": "boolean"}}
    document = {"openapi": "3.0.0", "components": {"schemas": {"Day": {"properties": fields}}}}
    (tmp_path / "api.json").write_text(json.dumps(document))
    stream = STREAM | {"schema": {"openapi": str(tmp_path / "api.json"), "component": "Day"}}
    rows = [row(number) for number in range(1, 30)] + [row(30, **ODD), row(31, more="than that")]
    with serving({"/rows": lambda asked: json_reply(page_of(rows, asked, 20))}) as api:
        load(*run_here(api, stream, cache=tmp_path, infer={"pages": 1}).all).expect(0)
    [first, odd, last] = stored(query)
    assert first[1] == last[1] == "2024-01-02"
    assert [text.strip('"') for text in odd[1:]] == [ODD[name] for name in FIELDS]
    assert query("SELECT count(*), count(never), count(more) FROM days") == [(31, 0, 1)]
