"""``make interop``: our taps into targets by others, taps by others into our targets, and Meltano with ours alone.

Programs by others come from PyPI, pinned, each into an environment of its own under .envs/. Every case compares
the rows that arrived with the rows at the source, value by value. Ends with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))  # the server and the environments are those of `make bench`

from compare import differences, rows_of_duckdb, rows_of_jsonl, rows_of_table  # noqa: E402  needs the path above
from database import Database, server  # noqa: E402
from measure import ProcessFailed, pipe  # noqa: E402
from others import environment, our_environment, our_executable, version_of  # noqa: E402
from report import machine, table  # noqa: E402
from source import (  # noqa: E402
    PLANES,
    TRIP_SCHEMA,
    TRIPS,
    Row,
    changed,
    datasette,
    planes,
    to_postgres,
    to_singer,
    to_sqlite,
    trips,
)

PAGE_OF_DOCS = ROOT / "docs" / "interop.md"
MELTANO = "meltano==4.4.1"
MELTANO_PROJECT = ROOT / "examples" / "meltano"
_MAPPED_RUN = ("tap-sqlite", "hide", "target-duckdb")
Command = list[str | Path]


@dataclass(frozen=True)
class Line:
    """One line of the table; ``result`` is ``equal`` or says what is not."""

    what: str
    versions: str
    rows: str
    result: str
    note: str = ""

    @property
    def is_good(self) -> bool:
        return self.result == "equal"

    def cells(self) -> list[str]:
        shown = f"{self.result}; {self.note}" if self.note else self.result
        return [self.what, self.versions, self.rows, shown]


@dataclass(frozen=True)
class Place:
    """Where a case works: a folder and a schema of its own, both empty."""

    database: Database
    folder: Path
    schema: str

    def write(self, name: str, value: Any) -> Path:
        """Write a JSON file into the folder."""
        path = self.folder / name
        path.write_text(json.dumps(value), encoding="utf-8")
        return path


# Our taps into targets by others


@dataclass(frozen=True)
class Target:
    """A target by others: its package and what is installed ``beside`` it, its command line, and how to read what it has stored.

    ``stores`` returns the value that this target makes of another, where it changes some by itself; ``note`` says
    so in the table.
    """

    requirement: str
    command: Callable[[Place, Path], Command]
    stored: Callable[[Place, str], list[dict[str, Any]]]
    stores: Callable[[Any], Any] = lambda value: value
    note: str = ""
    beside: tuple[str, ...] = ()

    def expected(self, rows: list[Row]) -> list[Row]:
        """Return the rows as this target is known to store them."""
        return [{name: self.stores(value) for name, value in row.items()} for row in rows]

    @property
    def name(self) -> str:
        name = self.requirement.partition("==")[0]
        return f"{name} of others" if name in _OUR_NAMES else name


def _jsonl_command(place: Place, bin_folder: Path) -> Command:
    config = place.write("target.json", {"destination_path": str(place.folder), "do_timestamp_file": False})
    return [bin_folder / "target-jsonl", "--config", config]


def _stored_in_files(place: Place, stream: str) -> list[dict[str, Any]]:
    return rows_of_jsonl(place.folder / f"{stream}.jsonl")


def _stored_in_tables(place: Place, stream: str) -> list[dict[str, Any]]:
    return rows_of_table(place.database, place.schema, stream)


def _postgres_command(place: Place, bin_folder: Path, *, database_key: str, **more: Any) -> Command:
    config = _connection(place.database, database_key) | {"default_target_schema": place.schema, **more}
    return [bin_folder / "target-postgres", "--config", place.write("target.json", config)]


def _duckdb_command(place: Place, bin_folder: Path, *, path_key: str, **more: Any) -> Command:
    config = {path_key: str(_duckdb_file(place)), "default_target_schema": place.schema, **more}
    return [bin_folder / "target-duckdb", "--config", place.write("target.json", config)]


def _duckdb_file(place: Place) -> Path:
    return place.folder / "interop.duckdb"


def _stored_in_duckdb(place: Place, stream: str, *, bin_folder: Callable[[], Path]) -> list[dict[str, Any]]:
    return rows_of_duckdb(bin_folder() / "python", _duckdb_file(place), place.schema, stream)


def _connection(database: Database, database_key: str) -> dict[str, Any]:
    return {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
        database_key: database.name,
    }


def _without_empty_text(value: Any) -> Any:
    return None if value == "" else value


def _as_pipelinewise_stores(value: Any) -> Any:
    """Its CSV holds JSON strings, whose escapes COPY does not undo, and nothing for an empty one."""
    if not isinstance(value, str):
        return value
    return "".join(json.dumps(letter)[1:-1] if letter < " " else letter for letter in value) or None


_OUR_NAMES = {"target-duckdb", "target-jsonl", "target-postgres"}
_DUCKDB_OF_OTHERS = "target-duckdb==0.8.0"
_DUCKDB_OF_ITS_TIME = "duckdb==1.1.3"
"""With 2.0.1 it takes the first row for the head of a CSV, and loses it."""
TARGETS = [
    Target("target-jsonl==0.1.4", _jsonl_command, _stored_in_files),
    Target(
        "pipelinewise-target-postgres==2.1.2",
        partial(_postgres_command, database_key="dbname"),
        _stored_in_tables,
        stores=_as_pipelinewise_stores,
        note="it stores '' as null and line ends and tabs as \\n and \\t",
    ),
    Target(
        "meltanolabs-target-postgres==0.8.1",
        partial(_postgres_command, database_key="database"),
        _stored_in_tables,
    ),
    Target(
        _DUCKDB_OF_OTHERS,
        partial(_duckdb_command, path_key="path"),
        partial(_stored_in_duckdb, bin_folder=partial(environment, _DUCKDB_OF_OTHERS, _DUCKDB_OF_ITS_TIME)),
        stores=_without_empty_text,
        note="it stores '' as null, and with duckdb 2.0.1 in place of 1.1.3 loses a row",
        beside=(_DUCKDB_OF_ITS_TIME,),
    ),
]


@contextmanager
def _tap_rest(place: Place, file: Path) -> Iterator[Command]:
    with datasette(file) as url:
        yield [our_executable("tap-rest"), "--config", place.write("tap.json", _tap_rest_config(url))]


@contextmanager
def _tap_sqlite(place: Place, file: Path) -> Iterator[Command]:
    config = {"path": str(file), "streams": [{"name": "trips", "replication_key": "updated_at"}]}
    yield [our_executable("tap-sqlite"), "--config", place.write("tap.json", config)]


OUR_TAPS: dict[str, Callable[[Place, Path], AbstractContextManager[Command]]] = {
    "tap-rest": _tap_rest,
    "tap-sqlite": _tap_sqlite,
}


def our_tap_into(target: Target, tap_name: str, place: Place) -> Line:
    """Read two streams twice, from Datasette or from its file, with changes in between."""
    bin_folder = environment(target.requirement, *target.beside)
    rows, later, plane_rows = trips(), changed(trips()), planes()
    file, state, wire = (place.folder / name for name in ("interop.db", "state.json", "wire.jsonl"))
    to_sqlite(file, rows, plane_rows)
    with OUR_TAPS[tap_name](place, file) as tap:
        into = target.command(place, bin_folder)
        _run(tap, into, state, wire)
        first = _first_difference(
            differences(target.expected(rows), target.stored(place, "trips"), TRIPS, "id"),
            differences(target.expected(plane_rows), target.stored(place, "planes"), PLANES, "tailnum"),
        )
        to_sqlite(file, later)
        _run([*tap, "--state", state], into, state, wire)
    travelled = _count_records(wire, "trips")
    result = _first_difference(
        first,
        _prefixed(
            "second run: ",
            differences(target.expected(_merged(rows, later)), target.stored(place, "trips"), TRIPS, "id"),
        ),
        "equal"
        if travelled == len(later)
        else f"second run: {travelled} trips travelled, {len(later)} had changed",
    )
    versions = f"{_our_version()}, {target.requirement.partition('==')[2]}"
    shown = f"{len(rows):,} + {len(plane_rows):,}, then {travelled} of trips"
    return Line(f"{tap_name} to {target.name}", versions, shown, result, target.note)


def _tap_rest_config(url: str) -> dict[str, Any]:
    # SQLite has no booleans: Datasette serves 0 and 1.
    properties = TRIP_SCHEMA["properties"] | {"is_open": {"type": ["null", "integer"]}}
    trips_stream = {
        "name": "trips",
        "path": "/trips.json",
        "primary_keys": ["id"],
        "replication_key": "updated_at",
        "is_sorted": True,
        "params": {"_sort": "updated_at"},
        "incremental": {"param": "updated_at__gte"},
        "schema": TRIP_SCHEMA | {"properties": properties},
    }
    return {
        "base_url": url,
        "params": {"_shape": "objects", "_size": 700},
        "pagination": {"type": "next_url", "next": "$.next_url"},
        "streams": [
            trips_stream | {"records": "$.rows[*]"},
            {"name": "planes", "path": "/planes.json", "records": "$.rows[*]", "primary_keys": ["tailnum"]},
        ],
    }


# Taps by others into our targets


@dataclass(frozen=True)
class Ours:
    """One of our targets: its command line, and how to read what it has stored."""

    name: str
    command: Callable[[Place, Path], Command]
    stored: Callable[[Place, str], list[dict[str, Any]]]


OUR_TARGETS = [
    Ours("target-postgres", partial(_postgres_command, database_key="database"), _stored_in_tables),
    Ours(
        "target-duckdb",
        partial(_duckdb_command, path_key="database"),
        partial(_stored_in_duckdb, bin_folder=our_environment),
    ),
]


@dataclass(frozen=True)
class Tap:
    """A tap by others, the stream it makes of the trips, and how it is started.

    ``prepare(place, bin_folder)`` sets the source up and returns the command line; ``change(place, rows)`` brings
    the second day to the source, for taps that continue where they stopped.
    """

    requirement: str
    stream: str
    prepare: Callable[[Place, Path], Iterator[Command]]
    change: Callable[[Place, list[Row]], None] | None = None


def _meltanolabs_tap_postgres(place: Place, bin_folder: Path) -> Iterator[Command]:
    to_postgres(place.database, f"source_{place.schema}", trips())
    settings = {"filter_schemas": [f"source_{place.schema}"]}
    config = place.write("tap.json", _connection(place.database, "database") | settings)
    tap: Command = [bin_folder / "tap-postgres", "--config", config]
    yield [*tap, "--catalog", _selected_catalog(tap, place)]


def _pipelinewise_tap_postgres(place: Place, bin_folder: Path) -> Iterator[Command]:
    to_postgres(place.database, f"source_{place.schema}", trips())
    settings = {"filter_schemas": f"source_{place.schema}"}
    config = place.write("tap.json", _connection(place.database, "dbname") | settings)
    tap: Command = [bin_folder / "tap-postgres", "--config", config]
    yield [*tap, "--properties", _selected_catalog(tap, place)]


def _selected_catalog(tap: Command, place: Place) -> Path:
    done = subprocess.run([*tap, "--discover"], capture_output=True, text=True)
    if done.returncode != 0:
        raise ProcessFailed(f"{Path(tap[0]).name} --discover: {done.stderr[-500:]}")
    catalog = json.loads(done.stdout)
    incremental = {"replication-method": "INCREMENTAL", "replication-key": "updated_at"}
    for stream in catalog["streams"]:
        stream |= {"replication_method": "INCREMENTAL", "replication_key": "updated_at"}
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"] |= {"selected": True} | incremental
    return place.write("catalog.json", catalog)


def _change_in_postgres(place: Place, rows: list[Row]) -> None:
    to_postgres(place.database, f"source_{place.schema}", rows)


def _tap_singer_jsonl(place: Place, bin_folder: Path) -> Iterator[Command]:
    path = place.folder / "trips.singer"
    to_singer(path, trips())
    config = {
        "source": "local",
        "local": {"folders": [str(path.parent)], "recursive": False},
        "add_record_metadata": False,
    }
    yield [bin_folder / "tap-singer-jsonl", "--config", place.write("tap.json", config)]


def _tap_rest_api_msdk(place: Place, bin_folder: Path) -> Iterator[Command]:
    file = place.folder / "interop.db"
    to_sqlite(file, trips())
    with datasette(file) as url:
        config = {
            "api_url": url,
            "next_page_token_path": "$.next",
            "pagination_next_page_param": "_next",
            "pagination_limit_per_page_param": "_size",
            "pagination_page_size": 700,
            "streams": [
                {
                    "name": "trips",
                    "path": "/trips.json",
                    "params": {"_shape": "objects"},
                    "records_path": "$.rows[*]",
                    "primary_keys": ["id"],
                    "num_inference_records": 700,
                }
            ],
        }
        yield [bin_folder / "tap-rest-api-msdk", "--config", place.write("tap.json", config)]


TAPS = [
    Tap(
        "meltanolabs-tap-postgres==0.10.0", "source_{}-trips", _meltanolabs_tap_postgres, _change_in_postgres
    ),
    Tap(
        "pipelinewise-tap-postgres==1.8.4", "source_{}-trips", _pipelinewise_tap_postgres, _change_in_postgres
    ),
    Tap("tap-singer-jsonl==0.1.0", "trips", _tap_singer_jsonl),
    Tap("tap-rest-api-msdk==1.4.2", "trips", _tap_rest_api_msdk),
]


def into_our_target(tap: Tap, ours: Ours, place: Place) -> Line:
    """Load the trips from a tap by others; once more with changes in between, where the tap can continue."""
    bin_folder = environment(tap.requirement)
    rows, later = trips(), changed(trips())
    state, wire = place.folder / "state.json", place.folder / "wire.jsonl"
    stream = tap.stream.format(place.schema)
    into = ours.command(place, our_environment())
    shown = f"{len(rows):,}"
    result = "not run"
    for command in tap.prepare(place, bin_folder):
        _run(command, into, state, wire)
        result = differences(rows, ours.stored(place, stream), TRIPS, "id")
        if tap.change and result == "equal":
            tap.change(place, later)
            _run([*command, "--state", state], into, state, wire)
            found = differences(_merged(rows, later), ours.stored(place, stream), TRIPS, "id")
            result = _prefixed("second run: ", found)
            shown += f", then {_count_records(wire, stream)}"
    name, _, version = tap.requirement.partition("==")
    return Line(f"{name} to {ours.name}", f"{version}, {_our_version()}", shown, result)


# Meltano with ours


def with_meltano(place: Place) -> Line:
    """``meltano run`` twice from examples/meltano: Meltano keeps the state that our target prints."""
    meltano = environment(MELTANO) / "meltano"
    rows, later = trips(), changed(trips())
    file = place.folder / "interop.db"
    to_sqlite(file, rows)
    with datasette(file) as url:
        variables = _meltano_variables(place, url)
        _meltano(meltano, variables, "install")
        _meltano(meltano, variables, "run", "tap-rest", "target-postgres")
        first = differences(rows, _stored_in_tables(place, "trips"), TRIPS, "id")
        before = _row_versions(place)
        to_sqlite(file, later)
        _meltano(meltano, variables, "run", "tap-rest", "target-postgres")
    rewritten = len(_row_versions(place).items() - before.items())
    result = _first_difference(
        first,
        _prefixed(
            "second run: ", differences(_merged(rows, later), _stored_in_tables(place, "trips"), TRIPS, "id")
        ),
        "equal"
        if rewritten == len(later)
        else f"second run wrote {rewritten} rows, {len(later)} had changed",
    )
    shown = f"{len(rows):,}, then {rewritten}"
    return Line("meltano run tap-rest target-postgres", _meltano_versions(), shown, result)


def with_meltano_and_no_server(place: Place) -> Line:
    """``meltano run`` twice with the two plugins that need a file each."""
    meltano = environment(MELTANO) / "meltano"
    rows, later = trips(), changed(trips())
    file = place.folder / "interop.db"
    to_sqlite(file, rows)
    variables = _meltano_variables(place, "") | {
        "TAP_SQLITE_PATH": str(file),
        "TARGET_DUCKDB_DATABASE": str(_duckdb_file(place)),
        "TARGET_DUCKDB_DEFAULT_TARGET_SCHEMA": place.schema,
        "TARGET_DUCKDB_ADD_RECORD_METADATA": "true",
    }
    stored = partial(_stored_in_duckdb, place, "trips", bin_folder=our_environment)
    _meltano(meltano, variables, "install")
    _meltano(meltano, variables, "run", "tap-sqlite", "target-duckdb")
    before = stored()
    to_sqlite(file, later)
    _meltano(meltano, variables, "run", "tap-sqlite", "target-duckdb")
    after = stored()
    came = {(row["id"], row["_sdc_received_at"]) for row in after}
    rewritten = len(came - {(row["id"], row["_sdc_received_at"]) for row in before})
    result = _first_difference(
        differences(rows, before, TRIPS, "id"),
        _prefixed("second run: ", differences(_merged(rows, later), after, TRIPS, "id")),
        "equal"
        if rewritten == len(later)
        else f"second run wrote {rewritten} rows, {len(later)} had changed",
    )
    shown = f"{len(rows):,}, then {rewritten}"
    return Line("meltano run tap-sqlite target-duckdb", _meltano_versions(), shown, result)


def with_meltano_and_a_mapper(place: Place) -> Line:
    """``meltano run`` twice through the mapping of examples/meltano; the mapper is a process between tap and target."""
    meltano = environment(MELTANO) / "meltano"
    rows, later = trips(), changed(trips())
    file, key = place.folder / "interop.db", secrets.token_hex(32)
    to_sqlite(file, rows)
    variables = _meltano_variables(place, "") | {
        "MAP_KEY": key,
        "TAP_SQLITE_PATH": str(file),
        "TARGET_DUCKDB_DATABASE": str(_duckdb_file(place)),
        "TARGET_DUCKDB_DEFAULT_TARGET_SCHEMA": place.schema,
    }

    def mapped(row: Row) -> Row:
        hashed = hmac.new(key.encode(), str(row["note"]).encode(), "sha256").hexdigest()
        note = None if row["note"] is None else hashed
        kept = {name: value for name, value in row.items() if name not in ("code", "seats")}
        return {**kept, "trip_code": row["code"], "note": note}

    types = {
        **{name: kind for name, kind in TRIPS.items() if name not in ("code", "seats")},
        "trip_code": "text",
    }
    stored = partial(_stored_in_duckdb, place, "trips", bin_folder=our_environment)
    _meltano(meltano, variables, "install")
    _meltano(meltano, variables, "run", *_MAPPED_RUN)
    before = stored()
    to_sqlite(file, later)
    _meltano(meltano, variables, "run", *_MAPPED_RUN)
    result = _first_difference(
        differences([mapped(row) for row in rows], before, types, "id"),
        _prefixed(
            "second run: ", differences([mapped(row) for row in _merged(rows, later)], stored(), types, "id")
        ),
        "a dropped field is stored" if "seats" in before[0] else "equal",
    )
    shown = f"{len(rows):,}, then {len(later)}"
    note = "a field renamed, one under HMAC, one dropped by `singerkit-map`"
    return Line(f"meltano run {' '.join(_MAPPED_RUN)}", _meltano_versions(), shown, result, note)


def with_a_state_that_is_set(place: Place) -> Line:
    """A state that was set by hand is refused by name and kept, and adopted; a full refresh reads everything again."""
    meltano = environment(MELTANO) / "meltano"
    rows = trips()
    file, wanted = place.folder / "interop.db", place.folder / "wanted.json"
    to_sqlite(file, rows)
    middle = sorted(str(row["updated_at"]) for row in rows)[len(rows) // 2]
    wanted.write_text(json.dumps({"bookmarks": {"trips": {"updated_at": middle}}}), encoding="utf-8")
    run = ("run", "tap-rest", "target-postgres")
    with datasette(file) as url:
        variables = _meltano_variables(place, url)
        _meltano(meltano, variables, "install")
        _meltano(meltano, variables, *run)
        before = _row_versions(place)
        name = _meltano(meltano, variables, "state", "list").split()[-1]
        set_by_hand = json.dumps({"singer_state": json.loads(wanted.read_text(encoding="utf-8"))})
        _meltano(meltano, variables, "state", "set", "--force", name, set_by_hand)
        refused = [_meltano_refused(meltano, variables, *run) for _ in range(2)]
        kept = _meltano(meltano, variables, "state", "get", name)
        untouched = _row_versions(place) == before
        _meltano(
            meltano, variables, "invoke", "target-postgres", "--adopt", str(wanted), "--pipeline", "tap-rest"
        )
        _take_rows(place, f"updated_at >= '{middle}'")
        _meltano(meltano, variables, *run)
        again = differences(rows, _stored_in_tables(place, "trips"), TRIPS, "id")
        _take_rows(place, "true")
        _meltano(meltano, variables, "run", "--full-refresh", "tap-rest", "target-postgres")
    result = _first_difference(
        "equal" if all("has never committed here" in words for words in refused) else "not refused by name",
        "equal" if middle in kept else "the state that was set is gone",
        "equal" if untouched else "a refused run wrote rows",
        _prefixed("run from the state that was set: ", again),
        differences(rows, _stored_in_tables(place, "trips"), TRIPS, "id"),
    )
    shown = f"{len(rows):,}, then half, then all"
    note = "`state set` is refused until `--adopt`; `--full-refresh` starts over"
    return Line("meltano state set, run --full-refresh", _meltano_versions(), shown, result, note)


def _meltano_versions() -> str:
    return f"{MELTANO.partition('==')[2]}, {_our_version()}"


def _meltano_variables(place: Place, url: str) -> dict[str, str]:
    connection = _connection(place.database, "database") | {"default_target_schema": place.schema}
    return {
        # Nothing of a run stays in the example's folder.
        "MELTANO_SYS_DIR_ROOT": str(place.folder / "meltano"),
        "TAP_REST_BASE_URL": url,
        **{f"TARGET_POSTGRES_{name.upper()}": str(value) for name, value in connection.items()},
    }


def _meltano(program: Path, variables: dict[str, str], *arguments: str) -> str:
    done = _call_meltano(program, variables, arguments)
    if done.returncode != 0:
        raise ProcessFailed(
            f"meltano {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-3000:]}"
        )
    return done.stdout


def _meltano_refused(program: Path, variables: dict[str, str], *arguments: str) -> str:
    done = _call_meltano(program, variables, arguments)
    if done.returncode == 0:
        raise ProcessFailed(f"meltano {' '.join(arguments)} ended with 0")
    return done.stderr


def _call_meltano(
    program: Path, variables: dict[str, str], arguments: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        cwd=MELTANO_PROJECT,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def _take_rows(place: Place, condition: str) -> None:
    place.database.query(f"delete from {place.schema}.trips where {condition}")


def _row_versions(place: Place) -> dict[int, str]:
    """Return the transaction that wrote each row; one that travelled again has another."""
    return dict(place.database.query(f"select id, xmin::text from {place.schema}.trips"))


# What the cases share


def _run(tap: Command, target: Command, state: Path, wire: Path) -> None:
    """Run ``tap | tee wire | target`` and keep the last line that the target printed as the state."""
    output = state.with_suffix(".out")
    pipe([tap, ["tee", wire], target], stdout=output)
    lines = output.read_text(encoding="utf-8").splitlines()
    if lines:
        state.write_text(lines[-1], encoding="utf-8")


def _count_records(wire: Path, stream: str) -> int:
    with wire.open(encoding="utf-8") as lines:
        messages = [json.loads(line) for line in lines]
    return sum(message["type"] == "RECORD" and message["stream"] == stream for message in messages)


def _merged(rows: list[Row], later: list[Row]) -> list[Row]:
    return list(({row["id"]: row for row in rows} | {row["id"]: row for row in later}).values())


def _first_difference(*results: str) -> str:
    return next((result for result in results if result != "equal"), "equal")


def _prefixed(prefix: str, result: str) -> str:
    return result if result == "equal" else f"{prefix}{result}"


def _our_version() -> str:
    return version_of(our_environment(), "singerkit")


def _attempt(name: str, case: Callable[[Place], Line], place: Place) -> Line:
    print(f"{name} ...", file=sys.stderr, flush=True)
    try:
        line = case(place)
    except (ProcessFailed, LookupError, OSError) as error:
        print(error, file=sys.stderr)
        line = Line(name, "", "", f"failed: {_last_line(error)}")
    print(f"   {line.rows}: {line.result}", file=sys.stderr, flush=True)
    return line


def _last_line(error: Exception) -> str:
    """The last line on stderr is the sentence that says what failed."""
    return str(error).strip().splitlines()[-1]


def _cases() -> list[tuple[str, Callable[[Place], Line]]]:
    into = [
        (f"{tap} to {target.requirement}", partial(our_tap_into, target, tap))
        for tap in OUR_TAPS
        for target in TARGETS
    ]
    out_of = [
        (f"{tap.requirement} to {ours.name}", partial(into_our_target, tap, ours))
        for ours in OUR_TARGETS
        for tap in TAPS
    ]
    meltano = [
        ("meltano run tap-rest target-postgres", with_meltano),
        ("meltano run tap-sqlite target-duckdb", with_meltano_and_no_server),
        ("meltano run tap-sqlite hide target-duckdb", with_meltano_and_a_mapper),
        ("meltano state set, run --full-refresh", with_a_state_that_is_set),
    ]
    return [*into, *out_of, *meltano]


def _report(lines: Sequence[Line]) -> str:
    rows = [line.cells() for line in lines]
    return f"{machine()}\n\n{table(['what', 'versions in that order', 'rows', 'result'], rows)}\n"


def main() -> int:
    """Run the cases, print the table, and write docs/interop.md after a complete run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="run the cases whose name holds this text; writes no page")
    only = parser.parse_args().only
    lines = []
    with server() as database, tempfile.TemporaryDirectory(prefix="singerkit-interop-") as folder:
        for number, (name, case) in enumerate(_cases()):
            if only in name:
                place = Place(database, Path(folder, str(number)), f"case_{number}")
                place.folder.mkdir()
                database.fresh_schema(place.schema)
                lines.append(_attempt(name, case, place))
    report = _report(lines)
    print(report)
    if not only:
        text = f"# Interoperability\n\nWritten by `make interop`. {report}\n{EXPLANATION}"
        PAGE_OF_DOCS.write_text(text, encoding="utf-8")
    return 0 if lines and all(line.is_good for line in lines) else 1


EXPLANATION = """`equal`: every value of every row that arrived equals the one at the source (numbers as decimals, times as
instants). "then N": the second run, after three rows were changed and two added at the source, and the records that
travelled in it; taps that send the boundary value again (`>=`) send some more. REST source: Datasette over SQLite, whose file
tap-sqlite reads.
"""

if __name__ == "__main__":
    sys.exit(main())
