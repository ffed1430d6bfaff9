"""`tap-files preview`: what is found in files, and whether a run reads them by the config that is printed."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

import pytest
from canaries import canary
from taps.files.conftest import Folder

from singerkit_shell.errors import BadDataError
from tap_files.command import main
from tap_files.preview.columndoubts import doubts_of
from tap_files.preview.dialects import dialect_of, text_of
from tap_files.preview.proposing import format_of_content
from tap_files.tap import TapFiles


@pytest.fixture
def preview(capsys: pytest.CaptureFixture[str]) -> Any:
    def previewed(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["preview", *arguments], TapFiles)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return previewed


def rows_by(folder: Folder, config: str) -> Sequence[dict[str, Any]]:
    [stream] = json.loads(config)["streams"]
    folder.stream = stream
    result = folder.sync(name="t")
    return [{key: value for key, value in row.items() if key[0] != "_"} for row in result.rows()]


def test_a_person_sees_dialect_columns_doubts_and_rows_and_a_run_reads_by_the_config(
    folder: Folder, preview: Any
) -> None:
    text = "zip;name;price\n01234;Müller;1.234,50\n99999;Ann;2,25\n00501;Bob;12\n"
    folder.write("in/shops.csv", text.encode("windows-1252"))
    code, out, err = preview("in/shops.csv", "--rows", "2")
    assert code == 0
    lines = err.splitlines()
    assert lines[0] == "shops"
    assert lines[2].split() == ["zip", "name", "price"]
    assert lines[3].split() == ["string?", "string?", "number?"]
    assert lines[5].split() == ["01234", "Müller", "1234.50"]
    assert "00501" not in "\n".join(lines[:8])
    assert "  ! `zip`: 2 values begin with 0, kept as text." in lines
    assert any("no UTF-8" in line and "guess" in line for line in lines)
    assert rows_by(folder, out) == [
        {"zip": "01234", "name": "Müller", "price": 1234.50},
        {"zip": "99999", "name": "Ann", "price": 2.25},
        {"zip": "00501", "name": "Bob", "price": 12},
    ]
    assert set(json.loads(out)["streams"][0]) == {"name", "path", "csv"}, "nothing that is the default"


def test_a_config_is_looked_at_stream_by_stream(folder: Folder, preview: Any) -> None:
    folder.write("in/a.csv", "id\n1\n")
    folder.write("other/b.csv", "id\n2\n")
    streams = [{"name": name, "path": path} for name, path in (("a", "in/*.csv"), ("b", "gone/*.csv"))]
    config = folder.file("config.json", {"streams": [*streams, {"name": "c", "path": "other/*.csv"}]})
    code, out, err = preview("--config", config)
    assert code == 78, "as a run would end"
    assert "gone is not there" in out
    assert out.index("\nb\n") < out.index("gone is not there") < out.index("\nc\n")
    assert err.startswith("CRITICAL tap-files: Not every stream can be read")
    code, out, err = preview("--config", config, "--stream", "c")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "c"
    assert preview("--config", config, "--stream", "d")[0] == 64


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 64, "Expected either a PATH or `--config FILE`"),
        (["in/*.csv"], 78, "No file that holds something has a name like in/*.csv"),
        (["in/a.csv", "in/b.csv"], 64, "put the path in quotes"),
        (
            ["in"],
            78,
            "like in; nothing was read. It is a folder: say which of its files are meant, in quotes: 'in/*.csv'",
        ),
        (["gone.csv"], 78, "like gone.csv; nothing was read. Correct the path."),
        (["in/"], 64, "got a folder: say which files of it, like `in/*.csv`"),
        (["gone/*.csv"], 78, "gone is not there"),
        (["s3:/bucket/*.csv"], 78, "A URL has two slashes: `s3://`."),
        (["~/*.csv"], 78, "Neither `~` nor `$NAME` is filled in"),
        (["in/../x.csv"], 64, "in the state; write the absolute path; nothing was read."),
        (
            ["in/a.csv", "-f", "fixed_width"],
            64,
            "Expected the key `fixed_width`, which the format `fixed_width` needs; nothing was read. That is not guessed",
        ),
        (["in/*.csv", "--stream", "x"], 64, "has no effect beside a PATH"),
    ],
)
def test_what_cannot_be_looked_at_is_said(
    folder: Folder, preview: Any, arguments: list[str], code: int, sentence: str
) -> None:
    ended, out, err = preview(*arguments)
    assert (ended, out) == (code, "")
    assert sentence in err


def test_a_file_that_a_run_would_end_at_is_named_and_the_others_are_shown(
    folder: Folder, preview: Any
) -> None:
    folder.write("in/a.csv", "id,id\n1,2\n", modified=1)
    folder.write("in/b.csv", "id,x\n1,2\n", modified=2)
    code, out, err = preview("in/*.csv")
    assert (code, bool(out)) == (65, True), "a config is printed all the same"
    assert "  ! in/a.csv: Two columns of the header have the name" in err
    assert json.loads(out)["streams"][0]["name"] == "in"


@pytest.mark.parametrize(
    ("content", "settings", "code", "told"),
    [
        ("id,v\n1,a\n2\n", {}, 65, "Expected 2 fields, got 1 in line 3"),
        ("id,v\n1,a\n2\n", {"on_bad_row": "set_aside"}, 0, "Expected 2 fields, got 1 in line 3"),
        ("id,v\n1\n2\n", {"on_bad_row": "set_aside", "bad_row_limit": 1}, 65, "got 1 in line 3"),
        (b"id,v\n1,\xe9\n", {}, 65, "Expected `utf-8`"),
        ("id,v\nx,a\n1,b\n", {"schema": {"properties": {"id": {"type": "integer"}}}}, 65, "got a text that is none at t.$.id, record 1"),
        ("id,v\nx,a\n1,b\n", {"schema": {"properties": {"id": {"type": "integer"}}}, "on_bad_row": "set_aside"}, 0, "at t.$.id, record 1"),
    ],
    ids=["short", "set aside", "too many", "bytes", "type", "type, set aside"],
)  # fmt: skip
def test_a_look_ends_as_the_run_does_where_rows_are_bad(
    folder: Folder, preview: Any, content: str | bytes, settings: dict[str, Any], code: int, told: str
) -> None:
    folder.write("in/a.csv", content)
    ended, out, _ = preview("--config", folder.file("c.json", folder.settings(**settings)))
    assert (ended, told in out) == (code, True)
    with pytest.raises(BadDataError) if code else contextlib.nullcontext():
        folder.sync(**settings)


def test_no_secret_of_a_config_is_shown(folder: Folder, preview: Any) -> None:
    folder.write("in/a.csv", "id\n1\n")
    secret = canary("preview of files")
    config = folder.file(
        "config.json",
        {
            "streams": [{"name": "a", "path": f"{secret}/*.csv"}],
            "storage": {"s3": {"secret_access_key": secret}},
        },
    )
    assert secret not in "".join(map(str, preview("--config", config)))


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("a,b\n1,2\n", {}),
        ("a\tb\n1\t2\n", {"delimiter": "\t"}),
        ("a|b\n1|x,y\n2|z\n", {"delimiter": "|"}),
        ("a,b\n1,'x,y'\n2,'z'\n", {"quote": "'"}),
        ("# made today\na,b\n1,2\n", {"comment": "#"}),
        ("1,2\n3,4\n", {"header": "none"}),
        ("a,b\n1,NA\n2,3\n", {"nulls": ["", "NA"]}),
        ("a,b\nx,NA\ny,z\n", {}),
        ("a;b\n1,5;x\n2,25;y\n", {"delimiter": ";", "decimal_comma": ["a"]}),
        ("a;b\n1.000,5;x\n2,25;y\n", {"delimiter": ";", "decimal_comma": ["a"], "thousands": {"a": "."}}),
        ("a;b\n1 000;x\n25;y\n", {"delimiter": ";", "thousands": {"a": " "}}),
        ("a;b\n1,000;x\n2,500;y\n", {"delimiter": ";", "decimal_comma": ["a"]}),
        ('a,b\n"1\n2",3\n', {}),
        ("", {}),
    ],
)
def test_how_csv_is_written(text: str, section: dict[str, Any]) -> None:
    assert dialect_of(text, ",", is_cut=False).section == section


def test_a_last_row_that_was_cut_is_not_looked_at() -> None:
    assert not dialect_of("a,b\n1,2\n3", ",", is_cut=True).doubts
    [doubt] = dialect_of("a,b\n1,2\n3", ",", is_cut=False).doubts
    assert doubt.startswith("1 of 3 rows have not 2 fields (the first of them is row 3)")


@pytest.mark.parametrize(
    ("data", "encoding", "is_doubted"),
    [
        (b"abc", None, False),
        ("ä".encode()[:1], None, False),
        ("ä".encode("utf-16"), None, False),
        (b"M\xfcller", "windows-1252", True),
    ],
)
def test_encodings(
    data: bytes, encoding: str | None, is_doubted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tap_files.preview.dialects._guesses", lambda _: iter(("windows-1252",)))
    _, found, doubts = text_of(data)
    assert (found, bool(doubts)) == (encoding, is_doubted)


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        (["01", "2"], "`n`: 1 value begins with 0, kept as text."),
        (["0", "12"], None),
        (["1" * 19, "2"], "`n`: 1 value of more than 18 digits, kept as text."),
        (["1e5", "2"], "1 value like 1e5"),
        (
            [*map(str, range(99)), "x"],
            "1 value of 100 is no number (the first is the 100th), so that all are text.",
        ),
        (["x", "y"], None),
        ([None, ""], "no value was seen"),
    ],
)
def test_doubts_of_columns(values: list[Any], doubt: str | None) -> None:
    found = [*doubts_of("n", values)]
    assert doubt in found[0] if doubt else not found, found


def test_the_format_of_a_name_that_tells_none() -> None:
    assert format_of_content(b"a,b\n1,2\n") == "csv"


COMMON = '127.0.0.1 - ann [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 23'
LOGS = {
    "common": COMMON,
    "combined": f'{COMMON} "-" "curl/8"',
    "syslog": "Oct 10 13:55:36 host app[12]: hello",
    "rfc5424": "<34>1 2003-10-11T22:14:15.003Z host app - ID47 - hello",
    "logfmt": 'level=info msg="a b" n=1',
}


@pytest.mark.parametrize("pattern", LOGS)
def test_the_pattern_of_a_log_is_proposed_and_a_run_reads_by_it(
    folder: Folder, preview: Any, pattern: str
) -> None:
    folder.write("in/app.log.1", f"{LOGS[pattern]}\n" * 3 + "  and more of it\n")
    code, out, err = preview("in/app.log*")
    config = json.loads(out)
    assert code == 65, err
    assert config["streams"] == [
        {"name": "app", "path": "in/app.log*", "format": "log", "log": {"pattern": pattern}}
    ]
    assert f"1 of 4 lines do not fit the pattern `{pattern}` (the first of them is line 4" in err
    config["streams"][0] |= {"name": "t", "on_bad_row": "set_aside"}
    folder.settings = lambda **_: config  # type: ignore[method-assign]
    assert len(folder.sync().rows()) == 3
    folder.write("in/b.log", LOGS[pattern])
    assert json.loads(preview("in/b.log")[1])["streams"][0]["log"] == {"pattern": pattern}


def test_a_log_that_no_pattern_fits_is_said(folder: Folder, preview: Any) -> None:
    folder.write("in/a.log", "hello\nyou\n")
    code, out, err = preview("in/a.log")
    assert (code, out) == (64, "")
    assert "fits half of the first lines" in err


def test_one_path_may_be_what_the_shell_has_made_of_wildcards(folder: Folder, preview: Any) -> None:
    folder.write("in/a.csv", "id\n1\n")
    told = "stands in quotes, or the shell fills in what is there: 'in/*.csv'"
    assert told in preview("in/a.csv")[2]
    assert told not in preview("in/*.csv")[2]


def test_packed_files_are_looked_into(folder: Folder, preview: Any) -> None:
    folder.write("in/a.csv.gz", gzip.compress(b"id;x\n1;2\n"))
    code, out, err = preview("in/*.csv.gz")
    assert (code, json.loads(out)["streams"][0]["csv"]) == (0, {"delimiter": ";"})
    assert err.splitlines()[5].split() == ["1", "2"]


def test_of_an_archive_the_members_are_named_that_can_be_read(folder: Folder, preview: Any) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", "id;x\n1;2\n")
        archive.writestr("more/b.csv", "id;x\n3;4\n")
        archive.writestr("README.txt", "no table\n")
    folder.write("in/t.zip", packed.getvalue())
    code, out, err = preview("in/*.zip")
    assert code == 0
    assert json.loads(out)["streams"] == [
        {"name": "in", "path": "in/*.zip", "members": "*.csv", "csv": {"delimiter": ";"}}
    ]
    assert "leaves out what has another ending: `in/t.zip!README.txt`." in err
    assert rows_by(folder, out) == [{"id": 1, "x": 2}, {"id": 3, "x": 4}]


def test_the_config_to_copy_has_no_storage_since_its_secrets_stand_elsewhere(
    folder: Folder, preview: Any
) -> None:
    folder.write("in/a.csv", "id\n1\n")
    storage = {"sftp": {"password": canary("preview beside storage")}}
    config = folder.file("config.json", {"streams": [{"name": "a", "path": "in/*.csv"}], "storage": storage})
    code, out, err = preview("in/*.csv", "--config", config)
    assert (code, [*json.loads(out)]) == (0, ["streams"])
    assert "run with both configs, `--config` twice" in err


def test_a_config_that_no_run_could_read_by_is_not_taken_for_good(folder: Folder, preview: Any) -> None:
    folder.write("in/t.xls", "x")
    code, out, err = preview("in/t.xls")
    assert code == 65
    assert json.loads(out)["streams"][0]["path"] == "in/t.xls"
    assert "CRITICAL tap-files: Not every stream can be read" in err


def test_a_packed_name_tells_its_format(folder: Folder, preview: Any) -> None:
    folder.write("in/a.csv.gz", gzip.compress(b"id,x\n1,2\n"))
    code, out, err = preview("in/*.csv.gz")
    assert (code, json.loads(out)["streams"]) == (0, [{"name": "in", "path": "in/*.csv.gz"}])
    assert "tells no format" not in err
