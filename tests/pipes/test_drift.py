"""A field changes its type at the source: what the last line says can be done, and done, helps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

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
