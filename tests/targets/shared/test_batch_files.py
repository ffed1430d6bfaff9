"""BATCH messages: their files are loaded as if their records had come through the pipe, or the run says which file and why not."""

from __future__ import annotations

import datetime
import gzip
import json
import os
import re
import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from singer_sdk import Stream as SdkStream
from singer_sdk import Tap
from targets.shared.test_load import RECORD, SCHEMA, STATE, Limits, Memory, Run

from singerkit_shell.errors import BadDataError, Stopped
from singerkit_shell.signals import StopFlag
from singerkit_target.contract import UnitInTheWay, UnitLost
from singerkit_wire.blocks import Judgement
from singerkit_wire.columnfiles import ColumnFile


def batch(*files: Path | str, format: str = "jsonl", **more: Any) -> dict[str, Any]:
    encoding = {"format": format} | {key: more.pop(key) for key in ("compression",) if key in more}
    manifest = [file if isinstance(file, str) else file.as_uri() for file in files]
    return {"type": "BATCH", "stream": "a", "encoding": encoding, "manifest": manifest} | more


def lines(path: Path, *numbers: Any, pack: Callable[[bytes], bytes] = bytes, end: str = "\n") -> Path:
    path.write_bytes(pack((end.join(json.dumps({"n": n}) for n in numbers) + end).encode()))
    return path


def columns(path: Path, format: str, **values: Any) -> Path:
    table = pa.table(values)
    if format == "parquet":
        pq.write_table(table, path, compression="zstd", row_group_size=3)
    else:
        make = pa.ipc.new_file if format == "arrow file" else pa.ipc.new_stream
        with make(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    return path


def test_files_come_in_their_place_between_records(tmp_path: Path) -> None:
    one, two = lines(tmp_path / "a b%.jsonl", 2, 3), lines(tmp_path / "two.gz", 4, pack=gzip.compress)
    run = Run(
        SCHEMA(), RECORD(1), batch(one), batch(str(two), compression="gzip"), batch(), RECORD(5), STATE(5),
    )  # fmt: skip
    assert (run.rows(), run.printed) == ([1, 2, 3, 4, 5], [5])
    assert run.summary.received == {"a": 5}
    assert one.exists()
    assert two.exists()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", " \n \n"])
def test_ends_of_lines_and_blank_ones(end: str, tmp_path: Path) -> None:
    path = lines(tmp_path / "f", *range(7), end=end)
    path.write_bytes(path.read_bytes().rstrip())
    run = Run(SCHEMA(), batch(path), STATE(1), limits=Limits(chunk_bytes=16))
    assert run.rows() == list(range(7))


@pytest.mark.parametrize("format", ["parquet", "arrow", "arrow file"])
def test_columns(format: str, tmp_path: Path) -> None:
    path = columns(tmp_path / "f", format, n=list(range(10)))
    run = Run(SCHEMA(), batch(path, format=format.split()[0]), STATE(1))
    assert run.rows() == list(range(10))


def test_values_of_columns_are_those_of_the_file(tmp_path: Path) -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
    values = {
        "decimal": pa.array([Decimal("12345678901234567890.123456789"), None], pa.decimal128(38, 9)),
        "float": pa.array([0.1, float("nan")]),
        "inside": pa.array([[1.5, float("-inf")], None]),
        "moment": pa.array([moment, None], pa.timestamp("us", "Europe/Berlin")),
        "finer": pa.array([1_767_323_045_678_901_234, None], pa.timestamp("ns", "Europe/Berlin")),
        "finer_naive": pa.array([1_767_323_045_678_901_234, None], pa.timestamp("ns")),
        "day": pa.array([moment.date(), None]),
        "clock": pa.array([11_045_678_901_234, None], pa.time64("ns")),
        "bytes": pa.array([b"\0\xff", None]),
        "names": pa.array(["x", "x"]).dictionary_encode(),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "big": pa.array([2**64 - 1, None], pa.uint64()),
        "short": pa.array([0.1, None], pa.float32()),
        "nanoseconds": pa.array([[1], None], pa.list_(pa.timestamp("ns"))),
        "far": pa.array([[253_402_300_800], None], pa.list_(pa.timestamp("s"))),
        "late": pa.array([[86_400_000], None], pa.list_(pa.int32())).cast(pa.list_(pa.time32("ms"))),
        "text": pa.array(['"\\\n\u20ac', None]),
    }
    path = columns(tmp_path / "f", "parquet", **values)
    with path.open("rb") as file:
        first, second = ColumnFile(file, "parquet").read(0).splitlines()
    told = json.loads(first, parse_float=Decimal)
    assert told == {
        "decimal": Decimal("12345678901234567890.123456789"), "float": Decimal("0.1"),
        "inside": [Decimal("1.5"), float("-inf")], "moment": "2026-01-02T03:04:05.678901Z",
        "finer": "2026-01-02T03:04:05.678901234Z", "finer_naive": "2026-01-02T03:04:05.678901234",
        "day": "2026-01-02", "clock": "03:04:05.678901234", "bytes": "AP8=", "names": "x", "map": {"k": 1},
        "big": 2**64 - 1, "short": Decimal("0.1"), "nanoseconds": ["1970-01-01T00:00:00.000000001"], "far": ["10000-01-01T00:00:00"],
        "late": ["24:00:00"], "text": '"\\\n\u20ac',
    }  # fmt: skip
    rest = json.loads(second)
    assert str(rest.pop("float")) == "nan"
    assert rest.pop("names") == "x"
    assert set(rest.values()) == {None}


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_documents_are_no_texts(format: str, tmp_path: Path) -> None:
    texts = ['{"a":1.10,\n "b":[1e400]}', "5", '"x"', None, "null"]
    path = columns(tmp_path / "f", format, v=pa.array(texts, pa.json_()))
    with path.open("rb") as file:
        reader = ColumnFile(file, format)
        told = [line for part in iter(lambda: reader.read(0), b"") for line in part.splitlines()]
    assert told == [
        b'{"v":{"a": 1.10, "b": [1e400]}}',
        b'{"v":5}',
        b'{"v":"x"}',
        b'{"v":null}',
        b'{"v":null}',
    ]
    path = columns(tmp_path / "g", format, v=pa.array(['5,"w":1'], pa.json_()))
    with path.open("rb") as file, pytest.raises(BadDataError, match="a document that is no JSON"):
        ColumnFile(file, format).read(0)


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_what_python_has_no_moment_for_is_text(format: str, tmp_path: Path) -> None:
    """24:00 began the day anew, without a word, and one far date made a whole file useless."""
    day, second = 86_400, 253_402_300_800
    times = pa.array([day * 10**6, day * 10**6 + 1, -1, 1, None], pa.int64())
    cells = {
        "time": times.view(pa.time64("us")),
        "fine": pa.array([day * 10**9, -1, 5, day * 10**9 - 1, None], pa.int64()).view(pa.time64("ns")),
        "coarse": pa.array([day * 1000, 0, day * 1000 - 1, 1, None], pa.int32()).view(pa.time32("ms")),
        "date": pa.array([2_932_897, -719_163, -1_000_000, 10_000_000, 0], pa.int32()).view(pa.date32()),
        "moment": pa.array([second, -62_135_596_801, 0, second - 1, None], pa.timestamp("s")),
        "zoned": pa.array([second * 1000 + 7, 0, -1, None, 1], pa.timestamp("ms", "+05:30")),
    }
    path = columns(tmp_path / "f", format, **cells)
    with path.open("rb") as file:
        reader = ColumnFile(file, format)
        rows = [json.loads(line) for part in iter(lambda: reader.read(0), b"") for line in part.splitlines()]
    assert {name: [row[name] and re.sub(r"(\.\d+?)0+(?=Z?$)", r"\1", row[name]) for row in rows] for name in cells} == {
        "time": ["24:00:00", "24:00:00.000001", "-00:00:00.000001", "00:00:00.000001", None],
        "fine": ["24:00:00", "-00:00:00.000000001", "00:00:00.000000005", "23:59:59.999999999", None],
        "coarse": ["24:00:00", "00:00:00", "23:59:59.999", "00:00:00.001", None],
        "date": ["10000-01-01", "0000-12-31", "-0768-02-04", "29349-01-26", "1970-01-01"],
        "moment": ["10000-01-01T00:00:00", "0000-12-31T23:59:59", "1970-01-01T00:00:00", "9999-12-31T23:59:59", None],
        "zoned": ["10000-01-01T00:00:00.007Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", None, "1970-01-01T00:00:00.001Z"],
    }  # fmt: skip


def test_versions_of_a_batch(tmp_path: Path) -> None:
    run = Run(
        SCHEMA(), RECORD(1), batch(lines(tmp_path / "f", 2, 3), version=7), STATE(3),
        {"type": "ACTIVATE_VERSION", "stream": "a", "version": 7}, STATE(4), judgement=Judgement(with_metadata=True),
    )  # fmt: skip
    assert run.loader.versions == {"a": 7}
    assert [row[-1] for row in run.loader.committed["a"]] == [None, 7, 7]


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no file": (lambda to: batch(to / "none"), "there is none"),
    "a folder": (lambda to: batch(to), "Is a directory"),
    "a pipe": (lambda to: (os.mkfifo(to / "p"), batch(to / "p"))[1], "it is no regular file"),
    "half of a packed file": (
        lambda to: batch(lines(to / "f", *range(99), pack=lambda data: gzip.compress(data)[:60]), compression="gzip"),
        "it ends in the middle of its compressed data",
    ),
    "not packed": (lambda to: batch(lines(to / "f", 1), compression="gzip"), "Not a gzipped file"),
    "half a record": (lambda to: batch(lines(to / "f", 1, pack=lambda data: data[:-3])), "line 1 is not one JSON value"),
    "a record that would be more": (
        lambda to: batch(lines(to / "f", 2, pack=lambda data: data + b'{"n": 1},"version":9\n')), "line 2 is not one JSON value",
    ),
    "no object": (lambda to: batch(lines(to / "f", 2, pack=lambda data: data + b"5\n")), "line 2"),
    "another type": (lambda to: batch(lines(to / "f", 2, "x")), "Expected `integer`, got"),
    "no Parquet": (lambda to: batch(lines(to / "f", 2), format="parquet"), "Parquet"),
    "no Arrow": (lambda to: batch(lines(to / "f", 2), format="arrow"), "cannot be loaded"),
    "an unknown format": (lambda to: batch(to / "f", format="csv"), "Expected the format jsonl, parquet or arrow in the BATCH at line 4"),
    "an unknown compression": (lambda to: batch(to / "f", compression="zstd"), "Expected the compression none or gzip"),
    "another machine": (lambda to: batch("s3://us:secret@bucket/f"), "got one at `s3://bucket`"),
    "another host": (lambda to: batch("file://host/f"), "got one at `file://host`"),
    "no manifest": (lambda to: {"type": "BATCH", "stream": "a", "encoding": {"format": "jsonl"}}, "BATCH message at line 4 is not valid"),
    "a bad version": (lambda to: batch(to / "f", version=1.5), "Expected an integer of 64 bits in `version`"),
    "a stream without a SCHEMA": (lambda to: batch(lines(to / "f", 1)) | {"stream": "b"}, "Expected a SCHEMA before"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_loaded_ends_the_run_before_its_state(case: str, tmp_path: Path) -> None:
    make, sentence = WRONG[case]
    message = make(tmp_path)
    run = Run(SCHEMA(), RECORD(1), STATE(1), message, RECORD(9), STATE(9), expect=BadDataError)
    assert sentence in str(run.error)
    assert "secret" not in str(run.error)
    assert (run.rows(), run.printed) == ([1], [1])
    if message.get("manifest") and "Expected the " not in sentence and "machine" not in str(run.error):
        assert f"`{message['manifest'][0]}`" in str(run.error) or "version" in message


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = lines(tmp_path / "f", *range(9))
    loader = Memory()
    loader.meanwhile = lambda call: lines(path, *range(99)) if call.startswith("write") else None
    run = Run(
        SCHEMA(), batch(path), STATE(1), loader=loader, limits=Limits(chunk_bytes=16), expect=BadDataError
    )
    assert "it was changed while it was read" in str(run.error)
    assert run.rows() == []


def test_a_record_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = lines(tmp_path / "f", 1, "x", 3)
    run = Run(SCHEMA(), batch(path), STATE(1), judgement=Judgement(quarantine=True))
    assert run.rows() == [1, 3]
    assert [(letter.line, json.loads(letter.record)["record"]) for letter in run.loader.letters] == [
        (2, {"n": "x"})
    ]
    assert f"Records of the batch file `{path.as_uri()}` were set aside" in caplog.text


@pytest.mark.parametrize("trouble", [UnitLost("the connection is gone"), UnitInTheWay("a reader")])
def test_a_unit_that_is_lost_reads_its_files_again(trouble: UnitLost, tmp_path: Path) -> None:
    loader = Memory()
    loader.troubles["write"] = [None, None, trouble]
    one, two = lines(tmp_path / "one", *range(1, 9)), lines(tmp_path / "two", 9)
    limits = Limits(chunk_bytes=16, commit_rows=10**9, commit_seconds=10**9)
    run = Run(SCHEMA(), RECORD(0), batch(one), STATE(8), batch(two), STATE(9), loader=loader, limits=limits)
    assert (run.rows(), run.printed) == (list(range(10)), [9])


def test_a_signal_in_the_middle_commits_nothing_behind_the_last_state(tmp_path: Path) -> None:
    stop = StopFlag()
    loader = Memory()

    def meanwhile(call: str) -> None:
        if call == "write" and loader.calls.count("write a") == 3:
            stop._on_signal(signal.SIGTERM, None)

    loader.meanwhile = meanwhile
    limits = Limits(chunk_bytes=4000, commit_rows=1, commit_seconds=10**9)
    path = lines(tmp_path / "f", *range(2, 2000))
    run = Run(
        SCHEMA(), RECORD(1), STATE(1), batch(path), STATE(9), loader=loader, limits=limits, stop=stop, expect=Stopped
    )  # fmt: skip
    assert (run.rows(), run.printed) == ([1], [1])


class Numbers(SdkStream):
    name, primary_keys = "a", ["n"]
    schema: ClassVar[Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}

    def get_records(self, context: Any) -> Any:
        yield from ({"n": number} for number in range(25))


class SdkTap(Tap):
    name = "tap-numbers"

    def discover_streams(self) -> list[SdkStream]:
        return [Numbers(self)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("encoding", [{"format": "jsonl", "compression": "gzip"}, {"format": "parquet"}])
def test_what_a_tap_of_singer_sdk_writes(
    encoding: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = {"root": tmp_path.as_uri(), "prefix": "b-"}
    tap = SdkTap(config={"batch_config": {"encoding": encoding, "storage": storage, "batch_size": 10}})
    tap.sync_all()
    messages = capsys.readouterr().out.splitlines(keepends=True)
    assert sum('"BATCH"' in message for message in messages) == 3
    assert sorted(Run(*messages).rows()) == list(range(25))
