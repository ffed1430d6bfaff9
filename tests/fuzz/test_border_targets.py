"""Garbage from outside at every border of the targets: lines, config, state files, folders, environment (F.22).

As `test_border.py` for the tap: the table holds what was found or feared, random changes of it follow.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from fuzz.border import end_of, judged
from fuzz.mutate import mutations
from fuzz.test_border import COUNT, FILES, ODD_VALUES, SEED, WHOLE, wrong

STEP = 1 if WHOLE else 12
"""Of the larger tables every so manyth case is tried, another one with each seed."""
MARK = {"run": "r", "pipeline": "p", "complete": True}
SCHEMA = {
    "type": "SCHEMA",
    "stream": "s",
    "schema": {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "t": {"type": ["string", "null"]}},
    },
    "key_properties": ["id"],
    "bookmark_properties": ["id"],
}
RECORD = {
    "type": "RECORD",
    "stream": "s",
    "record": {"id": 1, "t": "x"},
    "time_extracted": "2024-01-01T00:00:00Z",
    "version": 1,
}
STATE = {
    "type": "STATE",
    "value": {"bookmarks": {"s": {"replication_key": "id", "replication_key_value": 1}}},
}
ACTIVATE = {"type": "ACTIVATE_VERSION", "stream": "s", "version": 1}
GOOD = [SCHEMA, RECORD, STATE, ACTIVATE]
ODD: list[Any] = [
    None, True, -1, 0, 2**63, -(2**63) - 1, 10**400, 1.5, 1e308, "", "x", "\x00", "\ud800", "x" * 300, "../x", "/",
    ".", "_singerkit_state", "_singerkit_manifest.json", "con", "\u4e2d" * 100, [], {}, [None], [[]], {"a": None},
    {"": 1}, {"\x00": 1}, ["id", "id"], ["nope"], [5], "9999-99-99", "0000-01-01T00:00:00Z", "2024-01-01T00:00:00+99:99",
]  # fmt: skip
SCHEMAS: list[Any] = [
    5, [], True, False, {"type": 5}, {"type": []}, {"type": "nonsense"}, {"type": "array"}, {"properties": 5},
    {"properties": {"id": 5}}, {"properties": {"id": {"type": 5}}}, {"properties": {"id": {"type": ["x", {}]}}},
    {"properties": {"id": True, "t": False}}, {"properties": {"": {}}}, {"properties": {"\x00": {}}},
    {"properties": {"x" * 70: {}, "x" * 80: {}}}, {"properties": {"A": {}, "a": {}}}, {"properties": {"ctid": {}}},
    {"properties": {"_record": {}}}, {"properties": {"_sdc_batched_at": {}}}, {"required": 5}, {"required": ["nope"]},
    {"$ref": "#"}, {"$ref": "#/x"}, {"$ref": "http://127.0.0.1:9/x"}, {"$ref": 5}, {"$schema": 5},
    {"$schema": "nonsense:"}, {"$id": "http://[::1"}, {"allOf": 5}, {"anyOf": []}, {"oneOf": [5]}, {"not": 5},
    {"properties": {"id": {"pattern": "("}}}, {"properties": {"t": {"type": "string", "pattern": "(a+)+$"}}},
    {"properties": {"id": {"type": "integer", "minimum": "x"}}}, {"properties": {"id": {"type": "integer", "maximum": 10**400}}},
    {"properties": {"id": {"type": "number", "multipleOf": 0}}}, {"properties": {"id": {"type": "number", "multipleOf": 1e-400}}},
    {"properties": {"t": {"type": "string", "maxLength": -1}}}, {"properties": {"t": {"type": "string", "maxLength": 1e99}}},
    {"properties": {"t": {"type": "string", "format": 5}}}, {"properties": {"id": {"enum": 5}}},
    {"properties": {"id": {"x-sql-datatype": 5}}}, {"properties": {"t": {"x-sql-datatype": "nonsense"}}},
    {"properties": {"t": {"x-sql-datatype": "text; DROP TABLE s"}}}, {"properties": {"t": {"contentEncoding": 5}}},
    {"properties": {"id": {"items": 5}}}, {"additionalProperties": 5}, {"patternProperties": {"(": {}}},
    {"properties": {f"c{number}": {} for number in range(2000)}}, {"definitions": {"a": {"$ref": "#/definitions/a"}}},
    {"properties": {"id": {"$ref": "#/definitions/a"}}, "definitions": {"a": {"properties": {"b": {"$ref": "#/definitions/a"}}}}},
]  # fmt: skip
RAW = [
    b"", b"\n", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf{}", b"null", b"5", b"[]", b'"x"', b"{}", b"{", b"}", b"{}{}",
    b'{"type":null}', b'{"type":5}', b'{"type":[]}', b'{"type":""}', b'{"type":"\\u0000"}', b'{"type":"RECORD"}',
    b'{"type":"SCHEMA"}', b'{"type":"STATE"}', b'{"type":"ACTIVATE_VERSION"}', b'{"type":"BATCH"}', b'{"type":"X\\ud800"}',
    b'{"type":"RECORD","type":"STATE","value":{}}', b'{"type":"RECORD","stream":"s","record":{"id":1,"id":2}}',
    b'{"type":"RECORD","stream":"s","record":{"id":' + b"9" * 10_000 + b"}}",
    b'{"type":"RECORD","stream":"s","record":{"id":1e999999}}', b'{"type":"RECORD","stream":"s","record":{"id":1e1000000000000000000000}}', b'{"type":"RECORD","stream":"s","record":{"id":NaN}}',
    b'{"type":"RECORD","stream":"s","record":{"id":1,"t":' + b"[" * 20_000 + b"]" * 20_000 + b"}}",
    b'{"type":"RECORD","stream":"s","record":{"id":1,"t":"\xff"}}', b'{"type":"STATE","value":' + b"9" * 10_000 + b"}",
    b'{"type":"STATE","value":{"a":' + b"9" * 10_000 + b"}}", b'{"type":"STATE","value":{"a":1e999999}}', b'{"type":"STATE","value":{"a":1e1000000000000000000000}}',
    b'{"type":"STATE","value":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}", b'{"type":"STATE","value":{"a":1,"a":2}}',
    b'{"type":"STATE","value":{"a":NaN}}', b'{"type":"STATE","value":{"a":"\\ud800","b":"\\u0000"}}', b"[" * 100_000,
    b'{"a":' * 100_000, b'{"type":"SCHEMA","stream":"s","key_properties":[],"schema":' + b'{"items":' * 400 + b"{}" + b"}" * 401,
    b'{"type":"RECORD","stream":"s","record":{"id":1}', b"x" * 100_000,
]  # fmt: skip
MARKS = [5, {}, {"run": 5}, MARK | {"pipeline": ""}, MARK | {"pipeline": "\x00"}, MARK | {"pipeline": "x" * 10_000}, MARK | {"complete": 5}, MARK | {"run": "\ud800"}, MARK | {"resumes": []}]  # fmt: skip


def lines(*messages: Any) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in messages)


def streams() -> dict[str, bytes]:
    """A good stream with each part replaced by something odd."""
    found = {}
    for at, message in enumerate(GOOD):
        for key in message:
            for number, odd in enumerate(ODD):
                changed = [*GOOD[:at], message | {key: odd}, *GOOD[at:]]
                found[f"{message['type']}.{key} = {str(odd)[:30]!r} ({number})"] = lines(*changed)
    for odd in ODD:
        for key in ("id", "t", "\x00"):
            found[f"record.{key!r} = {str(odd)[:30]!r}"] = lines(
                SCHEMA, RECORD | {"record": {"id": 1} | {key: odd}}, STATE
            )
    for schema in SCHEMAS:
        for keys in ([], ["id"]):
            text = lines(SCHEMA | {"schema": schema, "key_properties": keys}, RECORD, STATE)
            found[f"schema {str(schema)[:60]} {keys}"] = text
    for mark in MARKS:
        found[f"mark {str(mark)[:60]}"] = lines({"type": "STATE", "value": {"_singerkit": mark}}, *GOOD)
    for raw in RAW:
        found[f"raw {raw[:60]!r} {len(raw)}"] = lines(SCHEMA, RECORD, STATE, raw, RECORD, STATE)
        found[f"raw first {raw[:60]!r} {len(raw)}"] = lines(raw, *GOOD)
    return found


def some(table: Mapping[str, Any], step: int = STEP) -> list[tuple[str, Any]]:
    return list(table.items())[SEED % step :: step]


class Files:
    """target-jsonl, each time into a fresh folder."""

    name = "target-jsonl"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"

    def base(self) -> dict[str, Any]:
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir()
        return {"destination_path": str(self.data)}

    def run(
        self, stdin: bytes, *arguments: str, environment: Mapping[str, str] | None = None, **config: Any
    ) -> str | None:
        """What is wrong with the end of a run; None when nothing is."""
        return self.run_config(self.base() | config, stdin, *arguments, environment=environment)

    def run_config(
        self, config: Any, stdin: bytes, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> str | None:
        path = self.folder / "config.json"
        path.write_bytes(config if isinstance(config, bytes) else json.dumps(config).encode())
        return judged(end_of(self.name, ["--config", str(path), *arguments], stdin, environment))


class Tables(Files):
    """target-postgres, each time into an empty schema."""

    name = "target-postgres"

    def __init__(self, folder: Path, database: str) -> None:
        super().__init__(folder)
        self.database = database
        self.connection = psycopg2.connect(database)
        self.connection.autocommit = True

    def base(self) -> dict[str, Any]:
        with self.connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA IF EXISTS border CASCADE; CREATE SCHEMA border")
        return {
            "dsn": self.database,
            "default_target_schema": "border",
            "connect_timeout": 2,
            "reconnect_seconds": 0,
        }


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def tables(tmp_path: Path, postgres_dsn: str) -> Any:
    target = Tables(tmp_path, postgres_dsn)
    yield target
    target.base()
    target.connection.close()


@pytest.fixture(params=["files", "tables"])
def target(request: pytest.FixtureRequest) -> Files:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def test_a_good_stream_is_loaded(target: Files) -> None:
    """Else the rest of this page would say nothing."""
    path = target.folder / "config.json"
    path.write_text(json.dumps(target.base()))
    assert end_of(target.name, ["--config", str(path)], lines(*GOOD)).code == 0


def test_lines(target: Files) -> None:
    step = STEP if target.name == "target-jsonl" else 4 * STEP
    found = {name: target.run(text) for name, text in some(streams(), 1 if WHOLE else step)}
    assert wrong(found) == {}


def test_random_changes_of_lines(target: Files) -> None:
    seeds = [
        lines(*GOOD),
        lines({"type": "STATE", "value": {"_singerkit": MARK | {"complete": False}}}, *GOOD),
    ]
    count = COUNT if target.name == "target-jsonl" or WHOLE else COUNT // 3
    settings = {"on_invalid": "quarantine", "on_unstorable": "quarantine"}
    found = {}
    for number, data in enumerate(mutations(seeds, count, SEED)):
        found[repr(data)] = target.run(data, **(settings if number % 2 else {}))
    assert wrong(found) == {}


SETTINGS: dict[str, list[str]] = {
    "target-jsonl": ["destination_path"],
    "target-postgres": [
        "dsn", "host", "port", "user", "password", "database", "service", "sslmode", "sslrootcert", "sslcert", "sslkey",
        "connect_timeout", "application_name", "lock_timeout_seconds", "reconnect_seconds", "answer_seconds", "replay_bytes",
        "default_target_schema", "embedded", "embedded_folder", "load_method", "number_type", "column_types", "hard_delete",
    ],
}  # fmt: skip
COMMON = [
    "pipeline", "on_invalid", "on_unstorable", "quarantine_limit", "extra", "missing_fields", "validate_records",
    "add_record_metadata", "commit_rows", "commit_bytes", "commit_seconds", "max_line_bytes",
]  # fmt: skip
ODD_PLACES = [
    "/dev/null",
    "/dev/null/x",
    "/proc/x",
    "\x00",
    "x" * 300,
    "/" + "x/" * 2000,
    "~",
    "~nobody/x",
    "s3://x/y",
]


def test_settings(target: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {}
    for key in [*SETTINGS[target.name], *(COMMON if target.name == "target-jsonl" else ())]:
        more = ODD_PLACES if key in ("destination_path", "sslrootcert", "default_target_schema") else []
        for number, odd in enumerate([*ODD_VALUES, *more]):
            table[f"{key} = {str(odd)[:30]!r} ({number})"] = {key: odd}
    for odd in ODD:
        table[f"column_types {odd!r}"] = {"column_types": {"s.t": odd}}
    step = 1 if WHOLE else 24
    found = {}
    monkeypatch.chdir(target.folder)  # relative places stay in there
    for name, config in some(table, step):
        found[name] = target.run(lines(*GOOD), **config)
    assert wrong(found) == {}


def test_config_files(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files.folder)  # `{}` loads into the working directory
    found = {repr(data[:80]): files.run_config(data, lines(*GOOD)) for data in FILES}
    assert wrong(found) == {}


@pytest.mark.parametrize("beside", ["", ".lock", ".history"])
def test_state_files(beside: str, target: Files) -> None:
    """What stands in a state file, its lock and its history before the run."""
    path = target.folder / "state.json"
    found = {}
    step = STEP if target.name == "target-jsonl" else 3 * STEP
    for data in [*FILES, *mutations([data for data in FILES if len(data) < 2000], COUNT, SEED)][
        SEED % step :: 1 if WHOLE else step
    ]:
        for leftover in target.folder.glob("state.json*"):
            leftover.unlink()
        (target.folder / f"state.json{beside}").write_bytes(data)
        found[repr(data[:80])] = target.run(lines(*GOOD), "--state-file", str(path))
    assert wrong(found) == {}


def test_places_of_a_state_file(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("singerkit_shell.configfile._SECONDS", 0.3)  # of a pipe that nobody writes to
    (files.folder / "folder").mkdir()
    (files.folder / "circle").symlink_to("circle")
    (files.folder / "fifo").unlink(missing_ok=True)
    os.mkfifo(files.folder / "fifo")
    odd = [str(files.folder / name) for name in ("folder", "circle", "fifo", "none/x", "a\nb", "\udcff")]
    found = {
        place[:80]: files.run(lines(*GOOD), "--state-file", place)
        for place in [*odd, *(place for place in ODD_PLACES if "\x00" not in place and "~" not in place), ""]
        if place != "x" * 300
    }
    assert wrong(found) == {}


@pytest.mark.parametrize(
    "name",
    [
        "_singerkit_manifest.json",
        "_singerkit_manifest.json.lock",
        "s.jsonl",
        "_singerkit_manifest.json.history",
    ],
)
def test_what_stands_in_the_folder(name: str, files: Files) -> None:
    manifest = b'{"version":1,"pipeline":"default","epoch":1,"sequence":1,"state":"{}","files":{"s.jsonl":5},"run_id":"r"}'
    files.run(lines(*GOOD))
    written = (files.data / "_singerkit_manifest.json").read_bytes()
    torn = manifest.replace(b'"{}"', b'"{"')
    found = {}
    table = [*FILES, *mutations([manifest, written], COUNT, SEED)]
    for data in [torn, *table[SEED % STEP :: STEP]]:
        config = files.base()
        (files.data / name).write_bytes(data)
        found[repr(data[:120])] = files.run_config(config, lines(*GOOD))
    assert wrong(found) == {}


def test_states_in_the_row(tables: Tables) -> None:
    odd = [
        "5",
        "null",
        '"x"',
        "[]",
        "{}",
        '{"bookmarks":5}',
        '{"_singerkit":5}',
        '{"a":1e999999}',
        '{"a":1,"a":2}',
    ]
    found = {}
    for text in odd:
        config = tables.base()
        tables.run_config(config, lines(*GOOD))
        with tables.connection.cursor() as cursor:
            cursor.execute("UPDATE border._singerkit_state SET state = %s::json", [text])
        found[text] = tables.run_config(config, lines(*GOOD))
    assert wrong(found) == {}


ENVIRONMENTS: dict[str, dict[str, str]] = {
    "PGHOST": {"PGHOST": "\u4e2d"},
    "PGPORT": {"PGPORT": "abc"},
    "PGSSLMODE": {"PGSSLMODE": "nonsense"},
    "PGSSLROOTCERT": {"PGSSLROOTCERT": "/nowhere", "PGSSLMODE": "verify-full"},
    "PGOPTIONS": {"PGOPTIONS": "-c nonsense=1 \\"},
    "PGSERVICE": {"PGSERVICE": "nowhere", "PGSERVICEFILE": "/nowhere"},
    "PGPASSFILE": {"PGPASSFILE": "/dev/zero" if WHOLE else "/nowhere"},
    "PGCLIENTENCODING": {"PGCLIENTENCODING": "nonsense"},
    "PGCONNECT_TIMEOUT": {"PGCONNECT_TIMEOUT": "abc"},
    "PGTZ": {"PGTZ": "Nonsense/Nowhere", "PGDATESTYLE": "nonsense"},
    "PGAPPNAME": {"PGAPPNAME": "\u4e2d" * 100},
    "TZ": {"TZ": "Nonsense/Nowhere\x7f"},
    "LANG": {"LANG": "xx_YY.nonsense", "LC_ALL": "xx_YY.nonsense", "PYTHONIOENCODING": "ascii"},
    "HOME": {"HOME": "/nowhere", "XDG_CACHE_HOME": "/dev/null", "XDG_CONFIG_HOME": "/dev/null"},
    "TMPDIR": {"TMPDIR": "/nowhere"},
    "LOGLEVEL": {"TARGET_POSTGRES_LOGLEVEL": "nonsense", "TARGET_JSONL_LOGLEVEL": "nonsense"},
    "unread": {"TARGET_POSTGRES_PORT": "abc", "TARGET_JSONL_COMMIT_ROWS": "abc"},
}


def test_environments(target: Files) -> None:
    found = {name: target.run(lines(*GOOD), environment=changes) for name, changes in ENVIRONMENTS.items()}
    assert wrong(found) == {}


def test_config_from_the_environment(target: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(target.folder)
    prefix = target.name.upper().replace("-", "_")
    texts = [str(odd) for odd in ODD_VALUES if "\x00" not in str(odd) and "\ud800" not in str(odd)]
    table = {
        f"{key} = {text[:40]}": {f"{prefix}_{key.upper()}": text[:5000]}
        for key in [*SETTINGS[target.name], *COMMON]
        for text in texts
    }
    found = {}
    for name, changes in some(table, 3 if WHOLE else 60):
        given = {f"{prefix}_{key.upper()}": str(value) for key, value in target.base().items()}
        found[name] = judged(end_of(target.name, ["--config", "ENV"], lines(*GOOD), given | changes))
    assert wrong(found) == {}


@pytest.mark.parametrize(
    "command",
    [["show"], ["get"], ["history"], ["show", "--json"], ["reset", "--yes"], ["set", "{}"]],
    ids=" ".join,
)
def test_the_state_tool(command: list[str], tmp_path: Path) -> None:
    """singerkit-state over garbage in a file, a manifest and a history."""
    found = {}
    changes = list(mutations([data for data in FILES if len(data) < 2000], COUNT, SEED))
    for name in ("state.json", "state.json.history", "folder/_singerkit_manifest.json"):
        for data in [*FILES, *changes][SEED % STEP :: STEP]:
            place = tmp_path / "place"
            shutil.rmtree(place, ignore_errors=True)
            (place / "folder").mkdir(parents=True)
            (place / name).write_bytes(data)
            location = place / ("folder" if "/" in name else "state.json")
            end = end_of("singerkit-state", [command[0], str(location), *command[1:]])
            found[f"{name} {data[:80]!r}"] = judged(end)
    assert wrong(found) == {}
