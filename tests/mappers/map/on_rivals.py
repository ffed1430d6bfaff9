"""``make test-maps``: pipelinewise-transform-field and meltano-map-transformer themselves, and the converted config in `singerkit-map`, on one stream.

Both come from PyPI, pinned, into environments of their own. What they make otherwise is named here, and in docs/singerkit-map.md.
"""

from __future__ import annotations

import hmac
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mappers.map.mapping import record_line, schema_line

ROOT = Path(__file__).parents[3]
TRANSFORM_FIELD = ROOT / ".envs" / "maps-pipelinewise" / "bin" / "transform-field"
MAP_TRANSFORM = ROOT / ".envs" / "maps-sdk" / "bin" / "meltano-map-transform"
OURS = Path(sys.executable).with_name("singerkit-map")
KEY = "correct horse battery staple"
TEXT = {"type": ["string", "null"]}
PROPERTIES = {
    "id": {"type": "integer"},
    "mail": TEXT,
    "ssn": TEXT,
    "name": TEXT,
    "age": {"type": ["integer", "null"]},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "address": {"type": ["object", "null"], "properties": {"city": TEXT}},
}
ROWS: list[dict[str, Any]] = [
    {
        "id": 1,
        "mail": "ann@x.example",
        "ssn": "123-45-6789",
        "name": "Ann",
        "age": 41,
        "at": "2026-03-05T10:11:12+00:00",
        "address": {"city": "Bonn"},
    },
    {
        "id": 2,
        "mail": "",
        "ssn": "1",
        "name": "b",
        "age": 0,
        "at": "2025-12-31T23:59:59+02:00",
        "address": {"city": ""},
    },
]
NOTHING = {"id": 3, "mail": None, "ssn": None, "name": None, "age": None, "at": None, "address": None}


def written_by(
    program: Path, config: dict[str, Any], folder: Path, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    file = folder / f"{program.name}.json"
    file.write_text(json.dumps(config))
    data = schema_line("s", PROPERTIES, ["id"]) + b"".join(record_line("s", row) for row in rows)
    done = subprocess.run(
        [program, "--config", file],
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "MAP_KEY": KEY},
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def records(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["record"] for one in messages if one["type"] == "RECORD"]


def map_of(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    file = folder / "theirs.json"
    file.write_text(json.dumps(config))
    done = subprocess.run(
        [OURS, "convert", file, "--hmac-key-env", "MAP_KEY"], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def transformations(*said: dict[str, Any]) -> dict[str, Any]:
    return {"transformations": [{"tap_stream_name": "s", **one} for one in said]}


def test_transformations_that_are_the_same(tmp_path: Path) -> None:
    config = transformations(
        {"field_id": "mail", "type": "SET-NULL"},
        {"field_id": "age", "type": "MASK-NUMBER"},
        {"field_id": "name", "type": "MASK-HIDDEN"},
        {"field_id": "address", "type": "MASK-HIDDEN", "field_paths": ["city"]},
        {"field_id": "at", "type": "MASK-DATE"},
    )
    theirs = records(written_by(TRANSFORM_FIELD, config, tmp_path, ROWS))
    ours = records(written_by(OURS, map_of(config, tmp_path), tmp_path, ROWS))
    for their, our in zip(theirs, ours, strict=True):
        # They keep the time of day, which is not hidden by that; `truncate` goes to the beginning of the year.
        assert their.pop("at")[:11] == our["at"][:11]
        assert our.pop("at")[11:19] == "00:00:00"
    assert ours == theirs


def test_transformations_that_are_not(tmp_path: Path) -> None:
    config = transformations(
        {"field_id": "ssn", "type": "MASK-STRING-SKIP-ENDS-2"},
        {"field_id": "mail", "type": "HASH"},
        {"field_id": "age", "type": "MASK-NUMBER"},
        {"field_id": "address", "type": "MASK-HIDDEN", "field_paths": ["city"]},
    )
    rows = [*ROWS, NOTHING]
    theirs = records(written_by(TRANSFORM_FIELD, config, tmp_path, rows))
    ours = records(written_by(OURS, map_of(config, tmp_path), tmp_path, rows))
    assert [one["ssn"] for one in theirs] == ["12*******89", "*", None]
    assert [one["ssn"] for one in ours] == ["12*******89", "***", None]
    assert [one["mail"] for one in ours] == [
        row["mail"]
        if row["mail"] is None
        else hmac.new(KEY.encode(), row["mail"].encode(), "sha256").hexdigest()
        for row in rows
    ]
    assert [len(one["mail"] or "") for one in theirs] == [64, 64, 0]
    assert [one["age"] for one in theirs] == [one["age"] for one in ours] == [0, 0, 0]
    assert (theirs[2]["address"], ours[2]["address"]) == ("hidden", None), "theirs is no object any more"


@pytest.mark.parametrize(
    "said",
    [
        {"email": "mail", "mail": None, "ssn": "'hidden'", "age": "str(age)"},
        {"__alias__": "people", "__filter__": "id == 1", "city": "address.city", "address": None},
    ],
)
def test_stream_maps_that_are_the_same(said: dict[str, Any], tmp_path: Path) -> None:
    config = {"stream_maps": {"s": said}}
    theirs = written_by(MAP_TRANSFORM, config, tmp_path, ROWS)
    ours = written_by(OURS, map_of(config, tmp_path), tmp_path, ROWS)
    assert records(ours) == records(theirs)
    assert len({one["stream"] for one in (*ours, *theirs)}) == 1
    assert ours[0]["key_properties"] == theirs[0]["key_properties"] == ["id"]
    assert set(ours[0]["schema"]["properties"]) == set(theirs[0]["schema"]["properties"])
