"""Whatever a target commits, prints and writes, the next run can read, from any place; all else is refused before."""

from __future__ import annotations

import io
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pytest
from faults.loads import load
from hypothesis import example, given, settings
from hypothesis import strategies as st
from state.state_tool import state_url

from singerkit_shell.errors import BadDataError
from singerkit_shell.signals import StopFlag
from singerkit_state import statefile
from singerkit_state.location import open_store, read_start_state
from singerkit_state.value import decode, encode, is_empty
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from target_jsonl.loader import JsonlLoader

ROWS = (
    '{"type":"SCHEMA","stream":"t","schema":{"properties":{"id":{}}},"key_properties":[]}\n'
    '{"type":"RECORD","stream":"t","record":{"id":1}}\n'
)
GOOD = '{"bookmarks":{"t":{"at":1}}}'
LOG = logging.getLogger("states")


def deep(levels: int) -> str:
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


SCALARS = st.sampled_from(
    [
        *("null", "true", "0", "-0", "01", "1.50", "1e400", "1E-400", "NaN", "-Infinity", "1e99999999999999999999"),
        *("9" * 4300, "9" * 4301, f"0.{'1' * 9000}"),
        *('"x"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"é日\u2028"', '"\x01"', '"', ""),
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "bookmarks",
        "t",
        "a",
        "type",
        "value",
        "stream",
        "streams",
        "host",
        "port",
        "password",
        "_singerkit",
        "singer_state",
        "é",
        "\\ud800",
        "\\u0061",
    ]
)
DEEP = st.sampled_from([150, 198, 200, 201, 500, 5000]).map(deep)


def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    items = st.tuples(KEYS, inner).map(lambda item: f'"{item[0]}": {item[1]}')
    objects = st.lists(items, max_size=3).map(lambda found: "{" + ", ".join(found) + "}")
    return objects | st.lists(inner, max_size=3).map(lambda found: "[" + ",".join(found) + "]")


VALUES = st.recursive(SCALARS | DEEP, containers, max_leaves=6)
STATES = VALUES | VALUES.map(lambda value: f'{{"bookmarks":{{"t":{value}}}}}')


def run(folder: Path, state: str) -> str:
    """Load a row and a STATE in this process; return what was printed."""
    stdout = io.StringIO()
    loader = JsonlLoader(folder / "out", LOG, add_metadata=False)
    publisher = Publisher(str(folder / "state.json"), stdout)
    lines = f'{ROWS}{{"type":"STATE","value":{state}}}\n'.encode("utf-8", "surrogatepass")
    Load(loader, Judgement(), Limits(), publisher, StopFlag(), LOG).run(io.BytesIO(lines))
    return stdout.getvalue()


def taken(folder: Path, state: str) -> str | None:
    """As `run`; None when the STATE is refused, with its line and a reason."""
    try:
        return run(folder, state)
    except BadDataError as error:
        told = str(error)
    assert "at line 3" in told
    assert "truncated" not in told
    return None


@example('{"bookmarks":{"t":{"at":1,"at":2}}}')
@example('{"bookmarks":{"t":"\\ud800"}}')
@example('{"host":"2020","port":"2021"}')
@example('{"type":"STATE","value":{}}')
@example('[{"a":1}]')
@example(deep(200))
@example(deep(201))
@settings(deadline=None)
@given(STATES)
def test_what_is_committed_can_be_read_by_the_next_run(state: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, file = Path(name), Path(name) / "state.json"
        printed = taken(folder, state)
        if printed is None:
            assert statefile.read(file) == {"bookmarks": {}}, "nothing was committed"
            return
        told = [json.loads(line) for line in printed.split("\n")[:-1]]
        kept = open_store(str(folder / "out")).snapshot().value
        if is_empty(decode(state)):
            assert (told, kept) == ([], None)
        else:
            assert kept == decode(state) == statefile.read(file) == decode(printed)
        statefile.check_replaceable(file)
        assert decode(encode(open_store(str(file)).snapshot().value)) == statefile.read(file)
        assert run(folder, GOOD) == GOOD + "\n"


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ('{"a":1,"a":2}', "has the key `a` twice in one object"),
        ('{"a":NaN}', "is not valid: NaN is not a JSON number"),
        ("[1]", "is no JSON object"),
        ('{"type":"STATE","value":{}}', "is a whole STATE message"),
        (deep(201), "is nested in more than 200 levels"),
        ('{"host":"1","port":"2"}', "looks like a config, and the next run would refuse the state file"),
        (json.dumps({"a": "x" * 99}), "is larger than 25 characters"),
    ],
)
def test_the_reason_is_told(
    state: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "larger" in sentence:
        monkeypatch.setattr(statefile, "LONGEST", 100)
    with pytest.raises(BadDataError, match="at line 3") as caught:
        run(tmp_path, state)
    assert sentence in str(caught.value)


def test_extremes_come_back_from_the_row_of_a_database(database: str, tmp_path: Path) -> None:
    parts = [deep(197), "9" * 4300, "1E+400", '"\\ud800\\u0000é日"', "-0", "1.50"]
    state = f'{{"bookmarks":{{"t":[{",".join(parts)}]}}}}'
    for _ in range(2):
        load(
            database, *ROWS.splitlines(), f'{{"type":"STATE","value":{state}}}',
            arguments=["--state-file", str(tmp_path / "state.json")],
        ).expect(0)  # fmt: skip
    found: Any = read_start_state(state_url(database))
    assert encode(found) == encode(decode(state)) == encode(statefile.read(tmp_path / "state.json"))


def test_a_state_file_of_another_pipeline_is_refused_before_it_is_made(database: str, tmp_path: Path) -> None:
    mark = {"run": "r", "pipeline": "default", "complete": False}
    arguments = ["--state-file", str(tmp_path / "state.json")]
    opening = {"type": "STATE", "value": {"_singerkit": mark}}
    outcome = load(database, opening, *ROWS.splitlines(), arguments=arguments, pipeline="other").expect(78)
    assert (
        "The tap sends the state of the pipeline `default`, and `pipeline` in the config is `other`"
        in outcome.last_words
    )
    assert not (tmp_path / "state.json").exists()
