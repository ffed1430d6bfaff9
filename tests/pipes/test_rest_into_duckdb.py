"""tap-rest into a DuckDB file: a corpus of odd values with 0 differing."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from taps.rest.api_server import json_reply, serving
from targets.duckdb.driver import read_duckdb

BIN = Path(sys.executable).parent
SECONDS = 60

ODD = r"""[
 {"id": 1, "i": 9223372036854775807, "big": 99999999999999999999999999999999999999, "n": 0.1, "b": true, "s": "", "at": "2024-02-29T23:59:59.999999Z",
  "doc": {"n": 1.10000000000000000000000000000000000001, "s": "\u0000\ud83c\udf63"}, "list": [], "mixed": 1, "say \"hi\"; --": "x"},
 {"id": 2, "i": -9223372036854775808, "big": -99999999999999999999999999999999999999, "n": -12345678901234567890123456789.123456789, "b": false,
  "s": "two\nlines\tand \"quotes\" \\N \\.", "at": "2024-01-01T10:00:00.123456+02:00", "doc": {}, "list": [1, null, "two", {"three": 3}], "mixed": "1",
  "say \"hi\"; --": "\u2028"},
 {"id": 3, "i": 0, "big": 1, "n": 100, "b": null, "s": "null", "at": null, "doc": null, "list": null, "mixed": [true], "say \"hi\"; --": null},
 {"id": 4, "i": null, "big": null, "n": 1.50e3, "s": "e\u0301 \u00e9 \ud83c\udf63 \u0000", "at": "0001-01-01T00:00:00Z", "doc": {"": {"": [[]]}}, "mixed": null},
 {"id": 9007199254740993, "n": -1E-9, "s": "  blanks  ", "at": "9999-12-31T23:59:59Z", "list": [0.30000000000000004], "mixed": {"a": 1.0}}
]"""


def test_odd_values_of_an_api_arrive_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "odd.duckdb"
    stream = {"name": "odd", "path": "/odd", "records": "$[*]", "primary_keys": ["id"]}
    (tmp_path / "target.json").write_text(json.dumps({"database": str(file)}))
    with serving({"/odd": lambda _: json_reply(ODD.encode())}) as api:
        (tmp_path / "tap.json").write_text(json.dumps({"base_url": api.url, "streams": [stream]}))
        assert run_pipe(tmp_path) == (0, 0)
    wanted = [parsed(row) for row in json.loads(ODD, parse_float=Decimal)]
    stored = [parsed(row) for row in read_duckdb(file, "odd")]
    assert sorted(stored, key=by_id) == wanted


def run_pipe(folder: Path) -> tuple[int, int]:
    read = [BIN / "tap-rest", "--config", folder / "tap.json"]
    load = [BIN / "target-duckdb", "--config", folder / "target.json"]
    tap = subprocess.Popen(read, stdout=subprocess.PIPE)
    loaded = subprocess.run(load, stdin=tap.stdout, stdout=subprocess.DEVNULL, timeout=SECONDS)
    assert tap.stdout is not None
    tap.stdout.close()
    return tap.wait(SECONDS), loaded.returncode


def by_id(row: dict[str, Any]) -> Any:
    return row["id"]


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    """Without nulls, which a complete record has where the source has left a field out; moments in UTC, numbers as decimals."""
    return {name: _plain(name, value) for name, value in row.items() if value is not None}


def _plain(name: str, value: Any) -> Any:
    if name == "at":
        moments = {"2024-01-01T10:00:00.123456+02:00": "2024-01-01T08:00:00.123456+00:00"}
        return moments.get(value, value).replace("Z", "+00:00")
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        return value
    return Decimal(str(value))
