"""The shell of a tap as a process: exit codes, sentences, signals, pipes, state files, catalogs."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

DAY = "2024-01-0{}T00:00:00Z"


def order(number: int, day: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "at": DAY.format(day), **more}


def test_first_message_is_a_state_with_the_mark_and_the_last_says_complete(example):
    example.pages([order(1)], [order(2)])
    result = example.run(example.config())
    assert result.code == 0
    assert [message["type"] for message in result.messages] == [
        "STATE",
        "SCHEMA",
        "RECORD",
        "RECORD",
        "STATE",
        "STATE",
    ]
    marks = [message["value"]["_singerkit"] for message in result.of_type("STATE")]
    assert [mark["complete"] for mark in marks] == [False, False, True]
    assert {mark["pipeline"] for mark in marks} == {"tap-example"}
    assert len({mark["run"] for mark in marks}) == 1


def test_numbers_and_nested_values_keep_their_text(example):
    body = b'[{"id":1,"price":12345678901234567890.10,"note":"\\ud800 \\u00e9"},{"id":2,"price":1E400}]'
    example.pages(body)
    result = example.run(example.config())
    assert '"price":12345678901234567890.10,"note":"\\ud800 \\u00e9"' in result.out
    assert '"price":1E400' in result.out


def test_pretty_printed_source_gives_one_line_per_record(example):
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, "tags": {"type": "object"}}}
    example.pages(b'[{"id":1,\r"tags":{\r"a":\r1}}]')
    result = example.run(example.config(example.stream(schema=schema)))
    assert result.code == 0
    assert result.records() == [{"id": 1, "tags": {"a": 1}}]


def test_time_extracted_is_rfc_3339_with_a_zone(example):
    example.pages([order(1)])
    message = example.run(example.config()).of_type("RECORD")[0]
    assert message["time_extracted"].endswith("Z")


# Config


@pytest.mark.parametrize("option", [(), ("--discover",), ("--test",)])
def test_a_wrong_config_is_one_sentence_naming_key_file_and_expectation(example, option):
    config = example.config(example.stream(is_sorted="perhaps"))
    result = example.run(config, *option)
    assert result.code == 78
    assert result.out == ""
    assert result.last_line == (
        f"CRITICAL tap-example: The config in {example.folder}/config.json is not valid: "
        'Expected `boolean`, got `"perhaps"` at `streams[0].is_sorted`.'
    )
    assert "Traceback" not in result.err


def test_an_unknown_key_at_the_top_is_refused_with_the_nearest_name(example):
    example.pages([order(1)])
    result = example.run(example.config(start_dat="2024-01-01T00:00:00Z"))
    assert result.code == 78
    assert "There is no setting `start_dat`; did you mean `start_date`?" in result.err


def test_an_unknown_key_below_is_an_error(example):
    result = example.run(example.config(example.stream(is_sorte=True)))
    assert result.code == 78
    assert "There is no setting `streams[0].is_sorte`; did you mean `is_sorted`?" in result.last_line


def test_config_sentences_of_the_connector_count(example):
    result = example.run(example.config(example.stream(parent="ordes")))
    assert result.code == 78
    assert "Expected the name of a stream, got `ordes` at `streams[0].parent`" in result.last_line


@pytest.mark.parametrize("start", ["yesterday", "2026-02-30"])
def test_start_date_is_checked(example, start):
    result = example.run(example.config(start_date=start))
    assert result.code == 78
    assert "at `start_date`" in result.last_line


def test_a_key_outside_the_schema_is_an_error(example):
    result = example.run(example.config(example.stream(key_properties=["nr"])))
    assert result.code == 78
    assert "The primary key `nr` of stream `orders` is not a property of its schema" in result.last_line


def test_config_from_the_environment(example):
    example.pages([order(1)])
    streams = json.dumps([example.stream()])
    result = example.run(None, "--config", "ENV", env={"TAP_EXAMPLE_STREAMS": streams})
    assert result.code == 0
    assert result.ids == [1]


def test_no_secret_leaves(example):
    example.pages([order(1)], "fail")
    result = example.run(example.config(api_key="canary-7f3a"), "--debug")
    assert result.code == 69
    assert "canary-7f3a" not in result.out + result.err


def test_usage_error(example):
    result = example.run(None, "--confg", "x")
    assert result.code == 64
    assert result.last_line.startswith("CRITICAL tap-example: ")


def test_help_and_about_and_version(example):
    text = example.run(None, "--help").out
    for option in (
        "-c, --config",
        "-s, --state",
        "-d, --discover",
        "--properties",
        "--test",
        "--about",
        "--format",
    ):
        assert option in text
    about = json.loads(example.run(None, "--about", "--format", "json").out)
    assert {"catalog", "state", "discover", "about"} <= set(about["capabilities"])
    assert "state_every" in about["settings"]["properties"]
    assert example.run(None, "--version").out.startswith("tap-example v")


def test_help_imports_no_database_driver(example):
    script = (
        "import sys, runpy\n"
        f"sys.argv = ['tap-example', '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(Path(__file__).with_name('tap_example.py'))!r}, run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        "sys.exit('psycopg2' in sys.modules)\n"
    )
    command = [*example.command(None)[:1], "-c", script]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


# Selection


def two_streams(example, **settings: Any) -> dict[str, Any]:
    example.pages([order(1, price=2, note="n")])
    example.pages([order(7)], name="people")
    return example.config(example.stream(), example.stream(name="people"), **settings)


def test_without_a_catalog_the_streams_selected_by_default_are_synced(example):
    example.pages([order(1)])
    example.pages([order(7)], name="people")
    config = example.config(example.stream(), example.stream(name="people", selected_by_default=False))
    result = example.run(config)
    assert {message["stream"] for message in result.of_type("SCHEMA")} == {"orders"}


def test_select_rules(example):
    result = example.run(two_streams(example, select=["*", "!people", "!orders.note"]))
    assert result.records() == [{"id": 1, "at": DAY.format(1), "price": 2}]
    assert result.records("people") == []
    [schema] = result.of_type("SCHEMA")
    assert set(schema["schema"]["properties"]) == {"id", "at", "price"}


def test_select_of_one_field_brings_the_keys(example):
    result = example.run(two_streams(example, select=["orders.price"]))
    assert result.records() == [{"id": 1, "price": 2}]


def test_a_rule_that_matches_nothing(example):
    result = example.run(two_streams(example, select=["orders.prise"]))
    assert result.code == 78
    assert (
        "`orders.prise` in `select` matches no stream and no field; did you mean `orders.price`"
        in result.last_line
    )


def test_nothing_selected(example):
    result = example.run(two_streams(example, select=["orders", "!*"]))
    assert result.code == 78
    assert "No stream is selected" in result.last_line
    assert result.out == ""


def test_what_discover_prints_can_be_fed_back(example):
    config = two_streams(example)
    catalog = example.run(config, "--discover")
    assert catalog.code == 0
    path = example.write("catalog.json", catalog.out)
    for option in ("--catalog", "-p", "--properties"):
        fed_back = example.run(config, option, path)
        assert fed_back.code == 0
        assert fed_back.records() == example.run(config).records()


def deselecting(example: Any, *names: str, stream: str = "orders", said: Any = False) -> Any:
    """Run with the catalog that --discover prints, and a few lines more in it."""
    config = two_streams(example)
    catalog = json.loads(example.run(config, "--discover").out)
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == "orders":
            entry["tap_stream_id"] = entry["stream"] = stream
            entry["metadata"] = [
                item for item in entry["metadata"] if item["breadcrumb"] != ["properties", *names]
            ]
            entry["metadata"].append(
                {"breadcrumb": ["properties", *names], "metadata": {"selected": said}}
                if names
                else {"breadcrumb": []}
            )
    return example.run(config, "--catalog", example.write("catalog.json", catalog))


@pytest.mark.parametrize("said", [True, False, "false"])
def test_a_field_that_the_catalog_says_something_of_and_no_stream_has_is_refused(example, said):
    result = deselecting(example, "prise", said=said)
    assert result.code == 78
    assert "`orders.prise`, and there is no such field; did you mean `orders.price`?" in result.last_line
    assert result.out == ""
    assert "make the catalog again with --discover" in deselecting(example, "wholly").last_line
    assert deselecting(example, "prise", said=None).code == 0, "it says nothing"
    assert deselecting(example, "note", "any", "field").code == 0, "a field without known properties"


def test_a_key_that_the_catalog_deselects_is_sent_with_a_warning(example):
    result = deselecting(example, "id")
    assert result.code == 0
    assert (
        "The catalog deselects `orders.id`: keys and the replication key are sent all the same" in result.err
    )
    assert [record["id"] for record in result.records()] == [1]
    assert "deselects" not in deselecting(example, "note").err


def test_a_stream_of_the_catalog_that_does_not_exist_is_told_with_what_is_near(example):
    result = deselecting(example, "note", stream="ordrs")
    assert "The catalog selects stream `ordrs`, which does not exist; did you mean `orders`?" in result.err


@pytest.mark.parametrize("no", [False, "false"])
def test_a_catalog_deselects(example, no):
    config = two_streams(example)
    catalog = json.loads(example.run(config, "--discover").out)
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"] == ["properties", "note"]:
                item["metadata"]["selected"] = no
            if item["breadcrumb"] == []:
                item["metadata"]["selected"] = "true" if entry["stream"] == "orders" else no
            if item["breadcrumb"] == ["properties", "id"]:
                item["metadata"]["selected"] = no
    result = example.run(config, "--catalog", example.write("catalog.json", catalog))
    assert result.records() == [{"id": 1, "at": DAY.format(1), "price": 2}]
    assert result.records("people") == []


def test_a_stream_that_the_catalog_does_not_have_is_not_synced(example):
    config = two_streams(example)
    catalog = json.loads(example.run(config, "--discover").out)
    catalog["streams"] = [entry for entry in catalog["streams"] if entry["stream"] == "people"]
    result = example.run(config, "--catalog", example.write("catalog.json", catalog))
    assert {message["stream"] for message in result.of_type("SCHEMA")} == {"people"}


def test_a_catalog_can_ask_for_a_full_table(example):
    config = example.config(example.stream(replication_key="at"))
    example.pages([order(1)])
    catalog = json.loads(example.run(config, "--discover").out)
    catalog["streams"][0]["metadata"][0]["metadata"]["replication-method"] = "FULL_TABLE"
    result = example.run(config, "--catalog", example.write("catalog.json", catalog))
    assert result.state["bookmarks"]["orders"].keys() == {"_singerkit_read"}


def test_a_catalog_cannot_ask_for_what_the_stream_cannot_do(example):
    config = example.config()
    catalog = json.loads(example.run(config, "--discover").out)
    catalog["streams"][0]["replication_key"] = "at"
    root = catalog["streams"][0]["metadata"][0]["metadata"]
    root["replication-method"] = "INCREMENTAL"
    result = example.run(config, "--catalog", example.write("catalog.json", catalog))
    assert result.code == 78
    assert "asks for INCREMENTAL by `at` of stream `orders`, which can do FULL_TABLE" in result.last_line


@pytest.mark.parametrize("text", ["", "[]", '{"streams":', "{}"])
def test_a_catalog_that_is_none(example, text):
    result = example.run(example.config(), "--catalog", example.write("catalog.json", text))
    assert result.code == 78
    assert "catalog.json" in result.last_line


# State files


def test_a_missing_state_file_is_a_first_run(example):
    example.pages([order(1)])
    result = example.run(example.config(), "--state", str(example.state_file))
    assert result.code == 0
    assert result.ids == [1]


@pytest.mark.parametrize("text", ["", '{"bookmarks": {"orders"', "[1]"])
def test_a_torn_state_file_is_refused(example, text):
    example.state_file.write_text(text)
    result = example.run(example.config(), "-s", str(example.state_file))
    assert result.code == 78
    assert result.out == ""
    assert "state.json" in result.last_line


def test_the_state_of_another_pipeline_is_refused(example):
    example.pages([order(1)])
    example.run_on(example.config(pipeline="one"))
    result = example.run_on(example.config(pipeline="two"))
    assert result.code == 78
    assert "one" in result.last_line


def test_unknown_streams_and_keys_of_a_state_are_kept(example):
    example.pages([order(1)])
    state = {"bookmarks": {"gone": {"replication_key_value": 5}}, "currently_syncing": "x"}
    path = example.write("old.json", state)
    result = example.run(example.config(), "--state", path)
    assert result.state["bookmarks"]["gone"] == {"replication_key_value": 5}
    assert result.state["currently_syncing"] == "x"


# Pipes, disks, signals


def test_a_reader_that_leaves_ends_the_tap_with_one_line(example):
    example.pages(*[[order(number, note="x" * 200) for number in range(1000)] for _ in range(50)])
    tap = subprocess.Popen(
        example.command(example.config()), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert tap.stdout is not None
    tap.stdout.readline()
    tap.stdout.close()
    assert tap.stderr is not None
    err = tap.stderr.read()
    tap.stderr.close()
    assert tap.wait(30) == 69
    assert err.strip().splitlines()[-1].startswith("CRITICAL tap-example: The reader of our output has gone")
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("option", [(), ("--discover",), ("--test",)])
def test_a_full_disk(example, option):
    example.pages([order(1)])
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            example.command(example.config(), *option),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 74
    assert "Output cannot be written (No space left on device)" in done.stderr.strip().splitlines()[-1]


def waiting(example, config: dict[str, Any], *args: str) -> subprocess.Popen[str]:
    """Start the tap and return when it stands at its gate."""
    tap = subprocess.Popen(
        example.command(config, *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert tap.stderr is not None
    for line in tap.stderr:
        if line == "WAITING\n":
            return tap
    raise AssertionError("The tap ended before its gate.")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_at_a_record_boundary_and_no_state_runs_ahead(example, signum, code):
    example.pages([order(1, 1)], [order(2, 2)], "wait", [order(3, 3)])
    config = example.config(example.stream(replication_key="at", is_sorted=True))
    tap = waiting(example, config)
    tap.send_signal(signum)
    out, err = tap.communicate(timeout=30)
    assert tap.returncode == code
    messages = [json.loads(line) for line in out.splitlines()]
    assert [message["record"]["id"] for message in messages if message["type"] == "RECORD"] == [1, 2]
    assert messages[-1]["type"] == "STATE"
    assert messages[-1]["value"]["bookmarks"]["orders"]["replication_key_value"] == DAY.format(2)
    assert messages[-1]["value"]["_singerkit"]["complete"] is False
    assert err.strip().splitlines()[-1].startswith(f"CRITICAL tap-example: Stopped by {signum.name}")


def test_a_signal_while_an_unsorted_stream_is_read_keeps_the_old_bookmark(example):
    example.pages([order(1, 1)])
    config = example.config(example.stream(replication_key="at"))
    example.run_on(config)
    example.pages([order(5, 5)], "wait", [order(2, 2)])
    tap = waiting(example, config, "--state", str(example.state_file))
    tap.terminate()
    out, _ = tap.communicate(timeout=30)
    states = [json.loads(line)["value"] for line in out.splitlines() if '"STATE"' in line]
    assert {state["bookmarks"]["orders"]["replication_key_value"] for state in states} == {DAY.format(1)}


def test_lines_do_not_wait_for_a_slow_page(example):
    example.pages([order(1)], "wait", [order(2)])
    tap = waiting(example, example.config())
    assert tap.stdout is not None
    began = time.monotonic()
    assert [json.loads(tap.stdout.readline())["type"] for _ in range(3)] == ["STATE", "SCHEMA", "RECORD"]
    assert time.monotonic() - began < 3
    (example.folder / "gate").touch()
    out, _ = tap.communicate(timeout=30)
    assert tap.returncode == 0
    assert '"id":2' in out


def test_a_failing_source_gives_its_exit_code_and_no_complete_state(example):
    example.pages([order(1)], "fail")
    result = example.run(example.config())
    assert result.code == 69
    assert result.ids == [1]
    assert result.state["_singerkit"]["complete"] is False
    assert result.last_line == "CRITICAL tap-example: The source stayed away; run again later."


@pytest.mark.parametrize(
    ("page", "finding"),
    [
        (b"[5]", "Expected `object`, got `int` in a record of stream `orders`"),
        (b'[{"id":1', "Expected JSON in a page of stream `orders`"),
        (b'[{"id":1,"note":"\xff"}]', "Expected UTF-8 in a page of stream `orders`"),
        (b'[{"id":1,"price":NaN}]', "Expected JSON"),
        (b'[{"id":1,"note":' + b"[" * 100_000 + b"]" * 100_000 + b"}]", "Expected JSON of a sane depth"),
    ],
)
def test_what_is_no_record(example, page, finding):
    example.pages([order(1)], page)
    result = example.run(example.config())
    assert result.code == 65
    assert finding in result.last_line


def test_test_option_reads_a_record_of_each_stream(example):
    result = example.run(two_streams(example), "--test")
    assert result.code == 0
    assert result.ids == [1]
    assert [record["id"] for record in result.records("people")] == [7]
    schema_only = example.run(two_streams(example), "--test=schema")
    assert [message["type"] for message in schema_only.messages] == ["SCHEMA", "SCHEMA"]


def test_metrics_and_one_line_per_stream_in_the_log(example):
    example.pages([order(1), order(2)])
    err = example.run(example.config()).err
    metrics = [json.loads(line.split("METRIC: ")[1]) for line in err.splitlines() if "METRIC: " in line]
    by_name = {metric["metric"]: metric for metric in metrics}
    assert by_name["record_count"]["value"] == 2
    assert by_name["record_count"]["tags"]["stream"] == "orders"
    assert by_name["sync_duration"]["type"] == "timer"
    assert "orders: 2 rows in " in err
