"""A mapper between tap and target: what becomes of the pipe when it, or either of its neighbours, ends otherwise than well."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .projects import Project, record, schema, state

FOREVER = "exec sleep 600"
MANY = "while :; do echo x; done"


def with_mapper(project: Project, name: str, *lines: str) -> None:
    project.pipelines[name]["mapper"] = {"exec": project.script(f"{name}-mapper.sh", *lines)}


def test_ours_maps_knows_the_state_and_holds_nothing_back_of_a_tap_that_crashes(project: Project) -> None:
    def map_(**said: Any) -> None:
        operations = [{"op": "rename_stream", "to": "b"}]
        (project.folder / "map.json").write_text(json.dumps({"streams": {"a": operations}} | said))

    project.add(
        "orders",
        *(schema(), record(1), state(1), "[ -e crash ] || exit 0", record(2), state(2), record(3)),
        "echo 'KeyError: id' >&2",
        "exit 1",
    )
    project.pipelines["orders"]["mapper"] = {"exec": "singerkit-map", "config": "map.json"}
    map_(stream={})
    code, said = project.run()
    assert (code, "`pipelines.orders.mapper`: " in said, "did you mean `streams`?" in said) == (
        78,
        True,
        True,
    )
    map_()
    script = project.run("--dry-run")[1]
    between = f"singerkit-map --config {project.folder}/map.json --state {project.folder}/state/orders.json |"
    assert between in script
    assert project.run()[0] == 0
    (project.folder / "crash").touch()
    code, said = project.run()
    assert (code, "`orders` ended with 1: KeyError: id" in said) == (1, True)
    assert (project.rows("orders", "b"), project.state("orders")["n"]) == ([1, 1, 2], 2)
    map_(on_error="null", on_map_change="fail")
    code, said = project.run()
    assert (
        code,
        "`orders` ended with 78: The rows of the stored state went through another map" in said,
    ) == (
        78,
        True,
    )
    assert project.rows("orders", "b") == [1, 1, 2]


def test_what_a_mapper_has_in_hand_of_a_tap_that_crashes_goes_on_up_to_the_last_state(
    project: Project,
) -> None:
    project.add("orders", schema(), record(1), state(1), record(2), "exit 1")
    with_mapper(project, "orders", "cat > held", "cat held")
    assert project.run()[0] == 1
    assert (project.rows("orders"), project.state("orders")["n"]) == ([1], 1)


@pytest.mark.parametrize(
    ("tap", "mapper", "code", "why"),
    [
        (FOREVER, ("echo 'no such field' >&2", "exit 3"), 3, "no such field"),
        (MANY, ("echo 'no such field' >&2", "exit 3"), 3, "no such field"),
        (FOREVER, (), 69, "The mapper ended with 0 before its tap had ended"),
        ("", ("sleep 1",), 69, "The mapper ended with 0 before it had read the last"),
    ],
)
def test_what_a_mapper_that_fails_wrote_behind_its_last_state_is_not_committed(
    project: Project, tap: str, mapper: tuple[str, ...], code: int, why: str
) -> None:
    project.add("orders", *(schema(), record(1), state(1), record(2), record(3)), tap)
    with_mapper(
        project, "orders", "for n in 1 2 3 4; do read -r line; printf '%s\\n' \"$line\"; done", *mapper
    )
    ended, said = project.run()
    assert (ended, project.rows("orders"), project.state("orders")["n"]) == (code, [1], 1)
    assert f"`orders` ended with {code}: {why}" in said
    assert not project.living()


def test_of_all_three_the_target_says_why(project: Project) -> None:
    project.add(
        "orders",
        MANY,
        target=["head -c 100000 > rows", "echo 'no such schema' >&2", "exit 78"],
        timeout="60s",
    )
    with_mapper(project, "orders", "cat", "echo 'reader gone' >&2", "exit 69")
    code, said = project.run()
    assert code == 78
    assert said.splitlines()[-1].endswith("`orders` ended with 78: no such schema")


def test_a_mapper_that_hangs_is_stopped_after_its_time(project: Project) -> None:
    project.add("orders", schema(), record(1), timeout="2s")
    with_mapper(project, "orders", "cat > held", FOREVER)
    code, said = project.run()
    assert (code, "the mapper had not ended" in said, project.living()) == (69, True, [])
