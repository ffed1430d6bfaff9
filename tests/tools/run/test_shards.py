"""`singerkit run --shard i/n`: a part of each pipeline, with a state of its own."""

from __future__ import annotations

import json
from pathlib import Path

from singerkit_run.commands import write_name
from singerkit_run.past import noted_by_runner
from singerkit_run.planfile import read_plan
from singerkit_run.programs import Found
from singerkit_run.shards import sharded
from singerkit_state.shards import Shard

from .projects import Project, state


def test_a_tap_of_ours_is_told_its_shard_and_its_state_is_kept_apart(project: Project) -> None:
    for name, more in (("tap.json", {"path": "shop.db"}), ("1.json", {"destination_path": "rows"})):
        (project.folder / name).write_text(json.dumps({"pipeline": "shop", **more}))
    project.pipelines["orders"] = {
        "tap": {"exec": "tap-sqlite", "config": "tap.json"},
        "target": {"exec": "target-jsonl", "config": "${SHARD_INDEX}.json"},
    }
    code, said = project.run("--shard", "1/2", "--dry-run")
    assert code == 0
    line = next(one for one in said.splitlines() if "--shard" in one)
    place = f"{project.folder.resolve()}/state/orders.1-of-2"
    for words in (
        f"--shard 1/2 --state {place}.json |",
        f"/1.json --config {place}.pipeline.json --state-file {place}.json",
    ):
        assert words in line
    plan = read_plan(str(project.folder / "singerkit.json"))
    ours = {name: Found(name, is_ours=True) for name in ("tap-sqlite", "target-jsonl")}
    part = sharded(plan, ours, Shard(1, 2)).pipelines["orders"]
    Path(part.state_file).parent.mkdir()
    write_name(part)
    assert json.loads(Path(f"{place}.pipeline.json").read_text()) == {"pipeline": "shop#1/2"}
    assert sharded(plan, ours, Shard(0, 1)).pipelines["orders"].called is None


def test_a_tap_of_others_is_told_where_its_arguments_say_so_and_refused_else(project: Project) -> None:
    target = ["sed -n 's/.*\"value\": //; s/}$//p'"]
    project.add("orders", 'echo "$@ $PART" >> asked', state(7), target=target)
    code, said = project.run("--shard", "1/4")
    assert code == 78
    assert (
        "The tap `./orders.sh` of `pipelines.orders` is none of singerkit's, and each shard would read all of it"
        in said
    )
    assert not (project.folder / "asked").exists()
    project.pipelines["orders"]["tap"]["args"] = ["--part=${SHARD_INDEX}", "of", "${SHARD_COUNT}"]
    project.pipelines["orders"]["tap"]["env"] = {"PART": "${SHARD}"}
    project.pipelines["orders"]["after_commit"] = [{"run": 'echo "$SINGERKIT_SHARD" > shards'}]
    assert project.run("--shard", "1/4")[0] == 0
    del project.pipelines["orders"]["after_commit"]
    code, said = project.run()
    assert code == 78
    assert "state/orders.1-of-4.json is of one of 4 shards, and this run of all rows would begin anew" in said
    Path(project.folder, "state/orders.1-of-4.json").rename(project.folder / "former.json")
    assert project.run()[0] == 0  # all of it is one shard
    assert (project.folder / "asked").read_text() == "--part=1 of 4 1/4\n--part=0 of 1 0/1\n"
    assert project.state("orders") == {"n": 7}
    assert (project.folder / "shards").read_text() == "1/4\n"
    project.pipelines["orders"]["after_commit"] = [{"run": "echo ${SHARD}"}]
    assert "within `tap`, `mapper` and `target` alone" in project.run("--shard", "1/4")[1]
    assert project.run("--shard", "4/4")[0] == 64
    del project.pipelines["orders"]["after_commit"]
    project.write()
    plan = read_plan(str(project.folder / "singerkit.json"))
    assert [run.pipeline for run in noted_by_runner(plan, ["orders"])[0] if run.result == "complete"] == [
        "orders",
        "orders#1/4",
    ]
