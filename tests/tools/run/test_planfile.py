"""What a file of pipelines may say: whatever is wrong is told before anything runs, with the file and the line."""

from __future__ import annotations

import subprocess
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
            "has the key `orders` twice in one object; leave one of them out",
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
            "There is no file `gone.json`, which `pipelines.items.tap` names",
        ),
        (
            "    retries: {times: many}\n",
            'Expected `integer`, got `"many"` at `pipelines.orders.retries.times` (line 5 of pipes.yaml)',
        ),
        ("    timeout: 3 hours\n", "Expected text that matches"),
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
    assert [shown(one) for one in (0.44, 12.2, 200, 7500)] == ["0.4 s", "12 s", "3 min 20 s", "2 h 5 min"]
