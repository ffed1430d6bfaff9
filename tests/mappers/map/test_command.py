"""`singerkit-map` as a shell runs it: what it writes, its exit codes, and that nothing is made up. In this process, but for signals and pipes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext

import pytest
from mappers.map.mapping import record_line, schema_line

from singerkit_map.command import SingerkitMap
from singerkit_shell.errors import BadDataError, ConfigurationError

FIELDS = {"id": {"type": "integer"}, "age": {"type": ["string", "null"]}}
STATE = b'{"type":"STATE","value":{"bookmarks":{"s":{"id":1}}}}\n'
CONFIG = {"streams": {"s": [{"op": "cast", "field": "age", "to": "integer"}]}}


@pytest.fixture
def passed(capfdbinary):
    """Return a function that passes lines through a map and returns those that come out."""

    def run(data, state=None, **said):
        SingerkitMap(config=CONFIG | said).pass_on(io.BytesIO(data), state)
        return capfdbinary.readouterr().out.splitlines()

    return run


def test_what_stands_before_a_bad_record_goes_on_and_nothing_behind_it(passed, capfdbinary):
    data = (
        schema_line("s", FIELDS)
        + record_line("s", {"id": 1, "age": "1"})
        + STATE
        + record_line("s", {"id": 2, "age": "secret"})
        + STATE
    )
    with pytest.raises(BadDataError) as told:
        passed(data)
    assert [json.loads(line)["type"] for line in capfdbinary.readouterr().out.splitlines()] == [
        "SCHEMA",
        "RECORD",
        "STATE",
    ]
    assert str(told.value).startswith(
        "Expected the text of a number at s.$.age (line 4), where `streams.s[0]` is at work; what was committed is safe:"
    )
    assert "secret" not in str(told.value)


def test_what_is_set_aside_is_on_disk_before_the_state_behind_it(tmp_path):
    letters, config = tmp_path / "dead.jsonl", tmp_path / "map.json"
    config.write_text(json.dumps(CONFIG | {"on_error": "quarantine", "dead_letters": str(letters)}))
    read, write = os.pipe()
    command = [sys.executable, "-m", "singerkit_map", "-c", str(config)]
    process = subprocess.Popen(command, stdin=read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    os.close(read)
    os.write(write, schema_line("s", FIELDS) + record_line("s", {"id": 2, "age": "x"}) + STATE)
    assert process.stdout is not None
    assert [json.loads(process.stdout.readline())["type"] for _ in range(2)] == [
        "SCHEMA",
        "STATE",
    ]  # though the input goes on
    letter = json.loads(letters.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert process.stdout.read() == b""
    process.stdout.close()
    os.close(write)
    reason = "Expected the text of a number (`streams.s[0]`)"
    assert letter == {
        "stream": "s",
        "line": 2,
        "path": "$.age",
        "reason": reason,
        "record": {"id": 2, "age": "x"},
    }
    assert letters.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"on_error": "quarantine"}, "Stream `s`: 2 records are set aside in {file}, with the reasons."),
        ({"on_error": "null"}, "Stream `s`: 2 bad values of `age` became null"),
    ],
)
@pytest.mark.parametrize("end", [b"", STATE + b"no message\n"])
def test_what_became_of_bad_values_is_told_at_whatever_end(passed, tmp_path, caplog, said, told, end):
    """What went on before an error is loaded, and no later run tells of it."""
    file = str(tmp_path / "dead.jsonl")
    more = {"dead_letters": file} if said["on_error"] == "quarantine" else {}
    data = schema_line("s", FIELDS) + record_line("s", {"id": 2, "age": "x"}) * 2 + end
    with pytest.raises(BadDataError) if end else nullcontext():
        passed(data, **said, **more)
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert any(one.startswith(told.format(file=file)) for one in warned)


def test_more_than_the_limit_is_not_set_aside(passed, tmp_path):
    data = schema_line("s", FIELDS) + record_line("s", {"id": 2, "age": "x"}) * 3
    said = {"on_error": "quarantine", "dead_letters": str(tmp_path / "dead.jsonl")}
    assert len(passed(data, **said, quarantine_limit=3)) == 1
    with pytest.raises(BadDataError, match="More than 2 records were set aside"):
        passed(data, **said, quarantine_limit=2)


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        (STATE[:-9], BadDataError, "The input ended in the middle of a message (line 1)"),
        (b"{not json}\n", BadDataError, "Expected a Singer message"),
        (record_line("s", {}), BadDataError, "Expected a SCHEMA before the first RECORD of stream `s`"),
        (
            schema_line("s", {"id": {}}),
            ConfigurationError,
            "The SCHEMA has no field `age`, at `streams.s[0].field`",
        ),
    ],
)
def test_what_is_no_stream_ends_with_one_sentence(passed, data, kind, sentence):
    with pytest.raises(kind) as told:
        passed(data)
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"stream_maps": {}}, "`stream_maps` has no effect here and is refused"),
        ({"on_eror": "null"}, "did you mean `on_error`?"),
        ({"on_error": "quarantine"}, "needs a file for what is set aside, which `dead_letters` names"),
        ({"dead_letters": "x"}, "`dead_letters` has no effect without"),
        (
            {"streams": {"s": [{"op": "cats"}]}},
            "There is no operation `cats` at `streams.s[0].op`; did you mean `cast`?",
        ),
    ],
)
def test_a_config_that_is_wrong_reads_nothing(passed, said, sentence):
    with pytest.raises(ConfigurationError) as told:
        passed(STATE, **said)
    assert sentence in str(told.value)


def test_a_changed_map_is_found_in_the_state_that_the_tap_continues_from(passed, tmp_path):
    state = tmp_path / "state.json"
    data = schema_line("s", FIELDS) + STATE
    first = passed(data, str(state), on_map_change="fail")
    state.write_bytes(json.dumps(json.loads(first[-1])["value"]).encode())
    assert passed(data, str(state), on_map_change="fail") == first
    with pytest.raises(ConfigurationError, match="went through another map"):
        passed(data, str(state), on_map_change="fail", on_error="null")


def test_files_of_a_batch_are_mapped_too(passed, tmp_path):
    file = tmp_path / "one.jsonl"
    file.write_text('{"id":1,"age":"7"}\n{"id":2,"age":"x"}\n')
    said = {"type": "BATCH", "stream": "s", "encoding": {"format": "jsonl"}, "manifest": [str(file)]}
    data = schema_line("s", FIELDS) + json.dumps(said).encode() + b"\n"
    with pytest.raises(BadDataError, match=rf"s\.\$\.age \(line 2\).* of the batch file `{file}`"):
        passed(data)
    assert json.loads(passed(data, on_error="null")[-2])["record"] == {"id": 1, "age": 7}


def test_it_ends_when_its_reader_has_gone(tmp_path):
    config = tmp_path / "map.json"
    config.write_text(json.dumps(CONFIG))
    command = (
        f"{sys.executable} -m singerkit_map -c {config} | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}"
    )
    data = schema_line("s", FIELDS) + record_line("s", {"id": 1, "age": "1"}) * 100_000
    done = subprocess.run(["bash", "-c", command], input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 69
    assert b"The reader of our output has gone" in done.stderr


def test_about_tells_its_settings_and_none_of_singer_sdks(capsys):
    SingerkitMap.invoke(about=True, about_format="json")
    settings = json.loads(capsys.readouterr().out)["settings"]["properties"]
    assert {"streams", "on_error", "on_map_change", "dead_letters", "quarantine_limit"} <= settings.keys()
    assert "stream_maps" not in settings


def test_what_a_function_prints_or_raises_is_not_in_the_pipe_nor_in_a_traceback(tmp_path):
    """Nor what a program prints that it starts; with `--debug` a traceback shows none of the values that its error holds."""
    (tmp_path / "said.py").write_text(
        "import os\nprint('imported')\n"
        "def clean(record):\n"
        " print('a line')\n os.system('echo of a program')\n"
        " return {'id': {}[record['age']]} if record['age'] == 'SECRET' else record\n"
    )
    config = tmp_path / "map.json"
    hidden = [{"op": "python", "function": "said:clean"}, {"op": "mask", "field": "age"}]
    config.write_text(json.dumps({"streams": {"s": hidden}}))
    data = schema_line("s", FIELDS) + record_line("s", {"id": 1, "age": "old"}) + STATE
    command = [sys.executable, "-m", "singerkit_map", "-c", str(config), "--debug"]
    good = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    assert [json.loads(line)["type"] for line in good.stdout.splitlines()] == ["SCHEMA", "RECORD", "STATE"]
    for said in (b"`streams.s[0]` prints: imported", b"`streams.s[0]` prints: a line", b"of a program"):
        assert said in good.stderr
    data += record_line("s", {"id": 2, "age": "SECRET"})
    bad = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    assert bad.returncode == 65
    assert b"raised KeyError" in bad.stderr
    assert b"Traceback" in bad.stderr
    assert b"SECRET" not in bad.stderr + bad.stdout
