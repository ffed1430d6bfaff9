"""A field changes its type at the source: what the last line says can be done, and done, helps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from faults.loads import query
from faults.pipes import pipe
from taps.rest.api_server import json_reply, serving

STREAM = {"name": "days", "path": "/rows", "primary_keys": ["id"], "pagination": {"type": "single"}}
KEPT, DRIFTED = {"id": 1, "v": "2024-01-02"}, {"id": 2, "v": "soon"}


def test_a_date_that_becomes_text(database: str, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [KEPT]
    with serving({"/rows": lambda _: json_reply(rows)}) as api:

        def run(code: int) -> tuple[str, str]:
            ended = pipe(database, api.url, STREAM, schema_cache=str(tmp_path / "cache"))
            assert ended.target.code == code, ended.target.stderr
            return ended.tap.stderr, ended.target.last_words

        run(0)
        rows[:] = [KEPT, DRIFTED]
        grows, refused = run(65)
        # The source is mended, and the cache still knows the other type.
        rows[:] = [KEPT, {"id": 2, "v": "2024-01-03"}]
        assert run(65)[1] == refused
        named = re.search(r"its schema grows and stays so: to infer it anew, remove (\S+\.json)", grows)
        assert named
        assert "remove the stream's file from the folder `schema_cache`" in refused
        Path(named[1]).unlink()
        run(0)
        assert query(database, "SELECT v::text FROM days ORDER BY id") == [("2024-01-02",), ("2024-01-03",)]
        # The source keeps the new type.
        rows[:] = [KEPT, DRIFTED]
        _, refused = run(65)
        change = re.search(r"`(ALTER TABLE .*?)`", refused)
        assert change
        query(database, change[1])
        run(0)
        assert query(database, "SELECT v FROM days ORDER BY id") == [("2024-01-02",), ("soon",)]


@pytest.mark.parametrize("way", ["cache", "infer"])
def test_a_date_that_becomes_text_in_the_first_load(database: str, tmp_path: Path, way: str) -> None:
    """Nothing is there yet that could be changed; it was told how."""
    stream = STREAM | {"pagination": {"type": "page"}}

    def page(asked: Any) -> Any:
        number = int(asked.query.get("page", ["1"])[0])
        return json_reply(
            [{"id": number, "v": "soon" if number == 4 else "2024-01-02"}] if number < 6 else []
        )

    with serving({"/rows": page}) as api:

        def run(code: int, infer: int = 1, cache: str = "cache") -> str:
            more = {"infer": {"pages": infer}, "schema_cache": str(tmp_path / cache)}
            ended = pipe(database, api.url, stream, **more)
            assert ended.target.code == code, ended.target.stderr
            return ended.target.last_words

        refused = run(65)
        assert "nothing of it is kept: run again" in refused
        if way == "cache":
            run(0)
        else:
            assert run(65, cache="thrown away") == refused
            run(0, infer=5, cache="as well")
    assert query(database, "SELECT id, v FROM days WHERE id IN (1, 4) ORDER BY id") == [
        (1, "2024-01-02"),
        (4, "soon"),
    ]
    assert query(database, "SELECT count(*) FROM days") == [(5,)]
