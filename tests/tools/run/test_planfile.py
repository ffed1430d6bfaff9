"""What a file of pipelines may say: whatever is wrong is told before anything runs, with the file and the line."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from singerkit_run.durations import range_of, seconds_of, shown

from .projects import Project, record, schema, state

PIPES = """\
pipelines:
  orders:
    tap: {exec: ./tap.sh}
    target: {exec: ./target.sh}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.script("tap.sh", "touch ran")
    project.script("target.sh", "cat > rows")
    return project


def refused(project: Project, text: str, name: str = "pipes.yaml") -> str:
    (project.folder / name).write_text(text)
    project.write = lambda: None  # type: ignore[method-assign]
    code, said = project.run(name)
    assert code == 78, said
    assert not (project.folder / "ran").exists()
    assert len(said.splitlines()) == 1, said
    return said


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            "    after: [items]\n  items:\n    tap: {exec: ./tap.sh}\n    target: {exec: ./target.sh}\n    after: [orders]\n",
            "got the circle `items` after `orders` after `items` (line 9 of pipes.yaml)",
        ),
        (
            "    after: [itms]\n",
            "There is no pipeline `itms`, which `orders` names in `after` (line 5 of pipes.yaml); there are `orders`",
        ),
        (
            "  orders:\n    tap: {exec: ./tap.sh}\n",
            "has the key `orders` twice in one object (lines 2 and 5); leave one of them out",
        ),
        (
            "  items: {tap: {exec: tap-nowhere}, target: {exec: ./target.sh}}\n",
            "There is no executable `tap-nowhere`, which is named at `pipelines.items.tap.exec` (line 5 of pipes.yaml)",
        ),
        (
            "  items: {tap: {exec: ./tap.sh --all}, target: {exec: ./target.sh}}\n",
            "; arguments stand in `args`, a list",
        ),
        (
            "  items: {tap: {exec: ./tap.sh, config: gone.json}, target: {exec: ./target.sh}}\n",
            "There is no file `gone.json`, which `pipelines.items.tap` names (line 5 of pipes.yaml)",
        ),
        (
            "    retries: {times: many}\n",
            'Expected `integer`, got `"many"` at `pipelines.orders.retries.times` (line 5 of pipes.yaml)',
        ),
        (
            "    timeout: 3 hours\n",
            'Expected a length of time, as in `90s`, `15m` or `1h30m`, got `"3 hours"` at `pipelines.orders.timeout`',
        ),
        ("    timeout: 0s\n", 'got `"0s"` at `pipelines.orders.timeout`'),
        (
            "    retries: {wait: 10m..1s}\n",
            "Expected the shorter length of time first, got `10m..1s` at `pipelines.orders.retries.wait` (line 5 of pipes.yaml)",
        ),
        (
            "on_failure: {exec: ./nobody.sh}\n",
            "There is no executable `./nobody.sh`, which is named at `on_failure.exec` (line 5 of pipes.yaml)",
        ),
        (
            "    timout: 3h\n",
            "There is no setting `pipelines.orders.timout` (line 5 of pipes.yaml); did you mean `timeout`?",
        ),
        (
            "  items: {tap: {exec: ./tap.sh, args: [--key, '${HOME}']}, target: {exec: ./target.sh}}\n",
            "Expected no `${NAME}` at `pipelines.items.tap.args[1]` (line 5 of pipes.yaml)",
        ),
        ("    after_commit: [{run: 'echo ${HOME}'}]\n", "write `$NAME`, which the shell fills in"),
        (
            "  ../x: {tap: {exec: ./tap.sh}, target: {exec: ./target.sh}}\n",
            "Expected a name of letters, digits",
        ),
        (
            "    state: one.json\n  items: {tap: {exec: ./tap.sh}, target: {exec: ./target.sh}, state: one.json}\n",
            "Expected a state file for each pipeline, got `one.json` for `orders` and `items`",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(project: Project, more: str, sentence: str) -> None:
    assert sentence in refused(project, PIPES + more)


def test_a_line_of_the_variables_that_is_none_is_refused(project: Project) -> None:
    """It was passed over with a word of a library, and a program ran without its variable."""
    (project.folder / ".env").write_text("A=1\nthis is none\nB=2\n")
    assert "Expected `NAME=value` in line 2 of" in refused(project, PIPES)


@pytest.mark.parametrize("where", ["file", "environment"])
def test_a_secret_in_the_path_of_a_file_that_is_not_there_is_not_shown(project: Project, where: str) -> None:
    project.pipelines["orders"] = {
        "tap": {"exec": "./tap.sh", "config": "/tmp/${MY_TOKEN}/x.json"},
        "target": {"exec": "./target.sh"},
    }
    if where == "file":
        (project.folder / ".env").write_text("MY_TOKEN=super-geheim\n")
    code, said = project.run(**({} if where == "file" else {"MY_TOKEN": "super-geheim"}))
    assert (code, "geheim" in said) == (78, False)
    assert "/***/x.json`, which `pipelines.orders.tap` names" in said


@pytest.mark.parametrize("times", [1, 2])
def test_a_program_that_is_killed_while_it_is_asked_what_it_is_counts_for_none_of_others(
    project: Project, times: int
) -> None:
    """It would keep its state under another pipeline, and each later run would be refused."""
    real = Path(sys.executable).with_name("tap-sqlite")
    with sqlite3.connect(project.folder / "shop.db") as database:
        database.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
        database.execute("INSERT INTO a VALUES (1)")
    (project.folder / "shop.json").write_text('{"path": "shop.db"}')
    (project.folder / "rows.json").write_text('{"destination_path": "orders-rows"}')
    killed = project.script(
        "tap.sh",
        "# as a script of pip: from x import main",
        f'n=$(cat asked 2>/dev/null || echo 0); case "$*" in *--about*) echo $((n + 1)) > asked; [ $n -ge {times} ] || kill -9 $$;; esac',
        f'exec {real} "$@"',
    )
    project.pipelines["orders"] = {
        "tap": {"exec": killed, "config": "shop.json"},
        "target": {"exec": "target-jsonl", "config": "rows.json"},
    }
    code, said = project.run()
    if times == 1:
        assert code == 0
        assert '"pipeline":"orders"' in (project.folder / "state/orders.json").read_text().replace(" ", "")
    else:
        assert (code, "was ended by signal 9, 2 times" in said) == (69, True)
        assert not (project.folder / "orders-rows").exists()


def test_what_ours_would_not_take_is_told_before_anything_runs(project: Project) -> None:
    files = {
        "wrong.yaml": "destination_path: rows\nbatch: 5\n",
        "shop.yaml": "path: shop.db\ntabels: [a]\n",
        "unset.json": '{"path": {"env": "NO_SUCH_VARIABLE"}}',
        "fine.yaml": "destination_path: ${SINGERKIT_PIPELINE}-rows\n",
        "catalog.json": '{"streams": [{"tap_stream_id": 5}]}',
    }
    for name, text in files.items():
        (project.folder / name).write_text(text)
    pipes = """\
pipelines:
  a: {tap: {exec: ./tap.sh}, target: {exec: target-jsonl, config: wrong.yaml}}
  b: {tap: {exec: tap-sqlite, config: shop.yaml}, target: {exec: target-jsonl, config: wrong.yaml}}
  c: {tap: {exec: tap-sqlite, config: unset.json}, target: {exec: target-jsonl, config: fine.yaml}}
  d: {tap: {exec: tap-sqlite, config: gone.yaml}, target: {exec: ./target.sh}}
  e: {tap: {exec: tap-sqlite, config: ENV, env: {TAP_SQLITE_PATH: e.db, TAP_SQLITE_TABLES: "[5]"}}, target: {exec: ./target.sh}}
  f: {tap: {exec: tap-sqlite, config: ENV, catalog: catalog.json, env: {TAP_SQLITE_PATH: e.db}}, target: {exec: ./target.sh}}
"""
    said = refused(project, pipes)
    for sentence in (
        "There is no file `gone.yaml`, which `pipelines.d.tap` names",
        "`pipelines.a.target`, `pipelines.b.target`: The config in wrong.yaml is not valid: "
        "There is no setting `batch` (line 2 of wrong.yaml)",
        "`pipelines.b.tap`: The config in shop.yaml is not valid: There is no setting `tabels` (line 2 of shop.yaml); "
        "did you mean `tables`?",
        "`pipelines.c.tap`: ",
        "NO_SUCH_VARIABLE",
        "`pipelines.e.tap`: The config is not valid: Expected `string`, got `5` at `tables[0]`",
        "`pipelines.f.tap`: ",
        "Nothing was run: mend pipes.yaml, or what it names.",
    ):
        assert sentence in said
    assert said.count("wrong.yaml is not valid") == 1
    assert "fine.yaml" not in said
    (project.folder / ".env").write_text("NO_SUCH_VARIABLE=shop.db\n")
    code, said = project.run("pipes.yaml", "c", "--dry-run")
    assert code == 0, said


def test_toml_and_json_say_the_same(project: Project) -> None:
    toml = '[pipelines.orders]\nafter = ["x"]\ntap.exec = "./tap.sh"\ntarget.exec = "./target.sh"\n'
    assert "(line 2 of pipes.toml)" in refused(project, toml, "pipes.toml")
    json = '{"pipelines":\n {"orders": {"after": ["x"],\n "tap": {"exec": "./tap.sh"}, "target": {"exec": "./target.sh"}}}}'
    assert "(line 2 of pipes.json)" in refused(project, json, "pipes.json")


def test_a_folder_without_a_file_and_a_name_without_a_pipeline(project: Project) -> None:
    project.write = lambda: None  # type: ignore[method-assign]
    code, said = project.run()
    assert code == 78
    assert "Expected the file of pipelines, as in `singerkit run FILE`" in said
    (project.folder / "singerkit.yaml").write_text(PIPES)
    code, said = project.run("order")
    assert code == 64
    assert "There is no pipeline `order`" in said
    assert "did you mean `orders`?" in said


def test_dry_run_is_what_a_person_would_type(project: Project) -> None:
    project.add("orders", "exit 0", after_commit=[{"run": "make models"}])
    project.pipelines["orders"]["after"] = ["items"]
    project.pipelines["items"] = {
        "tap": {"exec": "./tap.sh", "args": ["--x", "a b"]},
        "target": {"exec": "./target.sh"},
    }
    code, said = project.run("--dry-run")
    folder = str(project.folder)
    bin_ = str(Path(__import__("sys").executable).parent)
    assert code == 0
    assert said.replace(folder, "F").replace(bin_, "B").splitlines() == [
        "set -eo pipefail",
        "cd F",
        "# items",
        "mkdir -p F/state",
        "export SINGERKIT_PIPELINE=items",
        "F/tap.sh --x 'a b' | F/target.sh > F/state/items.json.lines",
        "[ ! -s F/state/items.json.lines ] || tail -n 1 F/state/items.json.lines > F/state/items.json",
        "# orders, after items",
        "mkdir -p F/state",
        """echo '{"pipeline": "orders"}' > F/state/orders.pipeline.json""",
        "export SINGERKIT_PIPELINE=orders",
        "F/orders.sh | B/target-jsonl --config F/orders.json --config F/state/orders.pipeline.json --state-file F/state/orders.json",
        "make models  # if it has committed something new",
    ]
    assert not (project.folder / "state").exists()


def test_what_a_dry_run_prints_does_what_a_run_does(project: Project) -> None:
    """And shows no secret for that."""
    (project.folder / ".env").write_text("API_TOKEN=tok-4711\n")
    tap = ['echo "$TOKEN|$MIXED|$PLAIN" > seen', schema(), record(1), state(1), "[ ! -e crash ]"]
    project.add("orders", *tap, after_commit=[{"run": 'echo "$SINGERKIT_PIPELINE" >> built'}])
    project.add(
        "items", schema(), state(2), target=[r"""sed -n 's/.*"value": \(.*\)}$/\1/p'"""], after=["orders"]
    )
    env = {"TOKEN": "${API_TOKEN}", "MIXED": 'a "$x" `y` ${API_TOKEN} $${z}', "PLAIN": "a b"}
    project.pipelines["orders"]["tap"]["env"] = env
    code, script = project.run("--dry-run")
    assert (code, "4711" in script) == (0, False)

    def typed() -> int:
        return subprocess.run(["bash", "-c", script], cwd="/", capture_output=True, check=False).returncode

    assert typed() == 0
    assert (project.folder / "seen").read_text() == 'tok-4711|a "$x" `y` tok-4711 ${z}|a b\n'
    assert (project.rows("orders"), project.state("orders")["n"], project.state("items")["n"]) == ([1], 1, 2)
    (project.folder / "crash").touch()
    assert typed() == 1
    assert (project.folder / "built").read_text() == "orders\n", (
        "what stands behind a pipe that has failed is not run"
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("0.5s", 0.5), ("100ms", 0.1), (12, 12), ("2d", 172800)],
)
def test_lengths_of_time(text: str | int, seconds: float) -> None:
    assert seconds_of(text) == seconds


def test_ranges_and_words() -> None:
    assert range_of("30s..10m") == (30, 600)
    assert range_of("5s") == (5, 5)
    assert [shown(one) for one in (0.44, 12.2, 200, 7500, 273_600)] == [
        "0.4 s",
        "12 s",
        "3 min 20 s",
        "2 h 5 min",
        "3 d 4 h",
    ]
