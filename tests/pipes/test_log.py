"""A tap on a log into target-postgres and target-jsonl: what a deletion becomes, and the advice of its errors."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults.loads import query
from taps.shared.log_file import LogFile, delete, put, truncate
from taps.shared.log_model import Run

from singerkit_shell.errors import SingerkitError

BIN = Path(sys.executable).parent


class Pipe:
    """``tap-log | target``, over the state in the database, or a file beside."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self.state = f"{database}{'&' if '?' in database else '?'}pipeline=tap-log&schema=public"
        self.log = LogFile(folder / "log.db")

    def run(
        self, *streams: str, target: str = "target-postgres", code: int = 0, loads: int = 0, **config: Any
    ) -> str:
        """Run once, to its end; return what the tap, or else the target, has said; ``code`` and ``loads`` are what they end with."""
        given = {"destination_path": str(self.folder)} if target == "target-jsonl" else {"dsn": self.database}
        (self.folder / "target.json").write_text(json.dumps({**given, **config}))
        state, more = self.state, []
        if target == "target-jsonl":
            state, more = str(self.folder / "state.json"), ["--state-file", str(self.folder / "state.json")]
        sent = Run({"path": self.log.path, "select": list(streams)}, {}, location=state)
        if code:
            assert isinstance(sent.error, SingerkitError)
            assert sent.error.exit_code == code
            return str(sent.error)
        sent.done()
        loading = [str(BIN / target), "--config", str(self.folder / "target.json"), *more]
        loaded = subprocess.run(loading, input=sent.raw, capture_output=True, check=False, timeout=120)
        assert loaded.returncode == loads, loaded.stderr.decode()
        return loaded.stderr.decode()

    def rows(self, stream: str) -> list[tuple[Any, ...]]:
        return query(
            self.database, f"SELECT id, v, w, _sdc_deleted_at IS NOT NULL FROM {stream} ORDER BY id, 4"
        )


def piped(target: str, config: Path, state: Path, sent: Run) -> subprocess.CompletedProcess[bytes]:
    command = [str(BIN / target), "--config", str(config), "--state-file", str(state)]
    return subprocess.run(command, input=sent.raw, capture_output=True, check=False, timeout=120)


@pytest.fixture
def pipe(tmp_path: Path, database: str) -> Any:
    made = Pipe(tmp_path, database)
    yield made
    made.log.close()


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_a_deleted_row_goes_or_is_marked_and_what_a_change_leaves_out_stays(pipe: Pipe, hard: bool) -> None:
    pipe.log.commit(*[put("a", id=n, v=f"v{n}", w=f"w{n}") for n in (1, 2, 3)])
    pipe.run("a", hard_delete=hard)
    pipe.log.commit(put("a", id=1, v="new"), delete("a", id=2), delete("a", id=3))
    pipe.log.commit(put("a", id=3, v="back", w="back"))
    pipe.run("a", hard_delete=hard)
    marked = [] if hard else [(2, "v2", "w2", True)]
    assert pipe.rows("a") == [(1, "new", "w1", False), *marked, (3, "back", "back", False)]


def test_without_a_key_each_change_is_a_row(pipe: Pipe) -> None:
    pipe.log.commit(put("k", id=1, v="x", w="y"))
    pipe.run("k", hard_delete=True)
    pipe.log.commit(delete("k", id=1, v="x", w="y"))
    pipe.run("k", hard_delete=True)
    assert pipe.rows("k") == [(1, "x", "y", False), (1, "x", "y", True)]


def test_rows_are_appended_without_a_word_of_rows_that_come_again(pipe: Pipe) -> None:
    pipe.log.commit(put("a", id=1, v="x", w="y"))
    said = pipe.run("a", load_method="append-only")
    assert "each run sends its rows again" not in said
    pipe.log.commit(put("a", id=1, v="z"))
    pipe.run("a", load_method="append-only")
    assert pipe.rows("a") == [(1, "x", "y", False), (1, "z", None, False)]


def test_an_emptied_table_is_empty_with_versions(pipe: Pipe) -> None:
    how: dict[str, Any] = {"add_record_metadata": True}
    pipe.log.commit(put("a", id=1, v="x", w="y"))
    pipe.run("a", **how)
    pipe.log.commit(truncate("a"), put("a", id=2, v="x", w="y"))
    pipe.run("a", **how)
    assert pipe.rows("a") == [(2, "x", "y", False)]
    pipe.log.commit(truncate("a"))
    pipe.run("a", **how)
    assert pipe.rows("a") == []
    pipe.log.commit(put("a", id=3, v="x", w="y"))
    pipe.run("a", **how)
    assert pipe.rows("a") == [(3, "x", "y", False)]


def test_a_table_that_was_emptied_is_not_passed_over_without_versions(pipe: Pipe) -> None:
    """Its rows stayed, with exit 0, while each DELETE was followed; the way out brings the table to what it should be."""
    pipe.log.commit(put("a", id=1, v="x", w="y"), put("a", id=2, v="x", w="y"))
    pipe.run("a")
    pipe.log.commit(put("a", id=2, v="z"))
    pipe.run("a")
    pipe.log.commit(truncate("a"), put("a", id=3, v="x", w="y"))
    said = pipe.run("a", loads=78)
    assert "Stream `a` was emptied at its source (TRUNCATE), or has been read anew" in said
    assert "set `add_record_metadata` to true" in said
    assert pipe.rows("a") == [(1, "x", "y", False), (2, "z", "y", False)]
    told = pipe.run("a", add_record_metadata=True)
    query(pipe.database, told.split("remove it with `")[1].split("`")[0] + " RETURNING 1")
    assert pipe.rows("a") == [(3, "x", "y", False)]


def test_rows_of_a_table_that_was_emptied_stay_where_the_config_says_so(pipe: Pipe) -> None:
    for id_ in (1, 2):
        pipe.log.commit(truncate("a"), put("a", id=id_, v="x", w="y"))
        pipe.run("a", activate_version=False)
    assert pipe.rows("a") == [(1, "x", "y", False), (2, "x", "y", False)]


def test_a_state_file_that_is_behind_a_log_that_was_let_go_is_brought_up_to_date(pipe: Pipe) -> None:
    """The source was told to forget what the target has committed: nothing is missing, the file is merely old."""
    config, state = pipe.folder / "config.json", pipe.folder / "state.json"
    config.write_text(json.dumps({"dsn": pipe.database}))
    read = {"path": pipe.log.path, "select": ["a"]}

    def run() -> tuple[Run, int]:
        sent = Run(read, json.loads(state.read_text()) if state.exists() else {}, location=str(state))
        return sent, piped("target-postgres", config, state, sent).returncode

    pipe.log.commit(put("a", id=1, v="x", w="y"))
    assert run()[1] == 0
    old = state.read_text()
    pipe.log.forget(pipe.log.commit(put("a", id=2, v="x", w="y")) - 1)
    assert run()[1] == 0
    pipe.log.commit(put("a", id=3, v="x", w="y"))
    pipe.log.forget(json.loads(state.read_text())["_singerkit_log"]["position"])
    state.write_text(old)
    sent, code = run()
    assert isinstance(sent.error, SingerkitError)
    assert (sent.error.exit_code, code) == (78, 69)
    assert "has not brought the file up to it now" in str(sent.error)
    assert run()[1] == 0
    assert [row[0] for row in pipe.rows("a")] == [1, 2, 3]


def test_the_advice_for_a_log_that_is_gone_brings_the_table_to_what_it_should_be(pipe: Pipe) -> None:
    how: dict[str, Any] = {"add_record_metadata": True}
    pipe.log.commit(put("a", id=1, v="x", w="y"), put("a", id=2, v="x", w="y"))
    pipe.run("a", **how)
    pipe.log.commit(delete("a", id=1))
    pipe.log.forget(pipe.log.commit(put("a", id=3, v="x", w="y")))
    said = pipe.run("a", code=78)
    advised = re.search(r"or start over with `(singerkit-state reset .*? --yes)`\.$", said.strip())
    assert advised, said
    words = [str(BIN / "singerkit-state"), *shlex.split(advised[1])[1:]]
    words[words.index("reset") + 1] = pipe.state  # with the password, which is not shown
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    pipe.run("a", **how)
    assert pipe.rows("a") == [(2, "x", "y", False), (3, "x", "y", False)]


def test_files_hold_the_changes_as_they_came(pipe: Pipe) -> None:
    pipe.log.commit(put("a", id=1, v="x", w="y"))
    pipe.run("a", target="target-jsonl")
    pipe.log.commit(delete("a", id=1))
    pipe.run("a", target="target-jsonl")
    lines = [json.loads(line) for line in (pipe.folder / "a.jsonl").read_text().splitlines()]
    assert lines[0] == {"id": 1, "v": "x", "w": "y", "_sdc_deleted_at": None}
    assert lines[1]["id"] == 1
    assert lines[1]["_sdc_deleted_at"]
    assert "v" not in lines[1]
