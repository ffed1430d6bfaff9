"""tap-sqlite into target-duckdb with a map in the pipe, and with the same map in the target: the same tables of odd values, by real processes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from targets.duckdb.driver import read_duckdb

BIN = Path(sys.executable).parent
CORPUS = """
CREATE TABLE numbers (id INTEGER PRIMARY KEY, i INTEGER, n NUMERIC);
INSERT INTO numbers VALUES (1, 9223372036854775807, 10), (2, -9223372036854775808, 1.5), (3, NULL, NULL), (9007199254740993, 0, 123456789012345680000);
CREATE TABLE texts (k TEXT PRIMARY KEY NOT NULL, v TEXT);
INSERT INTO texts VALUES ('', ''), ('a', 'say "hi"; --'), ('A', char(8232) || char(133)), ('é', '🍣' || char(13, 10, 9)), ('x', NULL);
CREATE TABLE blobs (a, b BLOB);
INSERT INTO blobs VALUES (1, x'00ff'), ('1', x''), (1.5, NULL), (x'31', x'6869'), (NULL, x'0a');
CREATE TABLE times (id INTEGER PRIMARY KEY, at DATETIME);
INSERT INTO times VALUES (1, '2024-01-01T00:00:00Z'), (2, '2024-01-01 10:00:00.123456+02:00'), (3, NULL);
CREATE TABLE hollow (a INT);
"""
STREAMS = ("numbers", "texts", "blobs", "times", "hollow", "lumps")

MAP = {
    "streams": {
        "numbers": [
            {"op": "rename", "from": "n", "to": "amount"},
            {"op": "cast", "field": "i", "to": "text"},
            {"op": "filter", "field": "id", "is": "less", "value": 9007199254740993},
        ],
        "texts": [{"op": "mask", "field": "v", "keep_last": 1}, {"op": "copy", "from": "k", "to": "kk"}],
        "blobs": [{"op": "drop", "fields": ["b"]}, {"op": "rename_stream", "to": "lumps"}],
        "hollow": [{"op": "drop_stream"}],
        "t*": [{"op": "constant", "field": "source", "value": 'é"\\'}],
    }
}


def loaded(folder: Path, file: Path, in_target: bool) -> dict[str, list[str]]:
    """Run the pipe and return the tables."""
    folder.mkdir()
    state, tables = folder / "state.json", folder / "a.duckdb"
    config = {"database": str(tables), **({"map": MAP} if in_target else {})}
    for name, said in (("tap", {"path": str(file)}), ("map", MAP), ("target", config)):
        (folder / f"{name}.json").write_text(json.dumps(said))
    commands = [[str(BIN / "tap-sqlite"), "--state", str(state), "--config", str(folder / "tap.json")]]
    if not in_target:
        map_ = [
            sys.executable,
            "-m",
            "singerkit_map",
            "--config",
            str(folder / "map.json"),
            "--state",
            str(state),
        ]
        commands.append(map_)
    commands.append(
        [str(BIN / "target-duckdb"), "--config", str(folder / "target.json"), "--state-file", str(state)]
    )
    source, processes = None, []
    for number, command in enumerate(commands):
        errors = folder / f"{number}.err"
        with errors.open("wb") as file_of_errors:
            process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=file_of_errors)
        if source is not None:
            source.close()
        source = process.stdout
        processes.append(process)
    processes[-1].communicate(timeout=60)
    codes = [process.wait(60) for process in processes]
    assert codes == [0] * len(codes), [one.read_text() for one in folder.glob("*.err")]
    mark = json.loads(state.read_text())["_singerkit"]
    assert ("target_map" if in_target else "map") in mark
    return {stream: sorted(map(repr, read_duckdb(tables, stream))) for stream in STREAMS}


def test_a_map_in_the_pipe_is_as_one_in_the_target(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as source, source:
        source.executescript(CORPUS)
    piped = loaded(tmp_path / "pipe", file, in_target=False)
    assert piped == loaded(tmp_path / "target", file, in_target=True)
    assert (piped["blobs"], piped["hollow"]) == ([], [])
    assert len(piped["numbers"]) == 3
    assert all("'amount'" in row and "'n'" not in row for row in piped["numbers"])
    assert len(piped["lumps"]) == 5
    assert not any("'b'" in row for row in piped["lumps"])
    assert any("source" in row for row in piped["times"])
