"""What becomes of a pipe when either end, both, or the runner itself ends otherwise than well."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from waiting import wait_until

from singerkit_run.children import run_alone
from singerkit_run.planfile import read_plan
from singerkit_run.runner import run_all
from singerkit_run.telling import Teller, verdict
from singerkit_shell.signals import StopFlag

from .projects import Project, record, schema, state

FOREVER = "exec sleep 600"
PRINTS_STATES = [r"""sed -n 's/.*"value": \(.*\)}$/\1/p'"""]
"""A target of others that loads nothing."""


def test_both_end_well(project: Project) -> None:
    project.add("orders", schema(), record(1), state(1))
    code, said = project.run()
    assert (code, project.rows("orders"), project.state("orders")["n"]) == (0, [1], 1)
    assert said.splitlines()[-1] == "1 pipeline done."


def test_what_a_tap_of_others_that_crashes_wrote_behind_its_last_state_is_not_committed(
    project: Project,
) -> None:
    """In a pipe of the shell these rows are committed, with exit 0 of the target."""
    project.add("orders", schema(), record(1), state(1), record(2), "echo 'KeyError: id' >&2", "exit 1")
    code, said = project.run()
    assert (code, project.rows("orders"), project.state("orders")["n"]) == (1, [1], 1)
    assert (
        said.splitlines()[-1]
        == "CRITICAL singerkit run: 1 of 1 pipeline failed; `orders` ended with 1: KeyError: id"
    )


def test_a_tap_that_is_killed_has_failed(project: Project) -> None:
    project.add("orders", schema(), record(1), "kill -9 $$")
    code, said = project.run()
    assert (code, project.rows("orders")) == (137, [])
    assert "The tap said nothing." in said


def test_a_target_of_others_does_not_take_the_end_of_a_tap_that_crashed_for_the_end_of_its_input(
    project: Project,
) -> None:
    """Many load what is left when they are told to stop."""
    target = ("trap 'touch loaded' TERM", "cat > rows", "touch loaded")
    project.add("orders", record(1), "exit 1", target=target)
    assert project.run()[0] == 1
    assert not (project.folder / "loaded").exists()


def test_states_that_a_target_of_others_prints_are_given_to_the_tap_of_the_next_run(project: Project) -> None:
    project.add(
        "orders",
        'echo "$@" >> asked',
        state(7),
        target=["echo warming up", *PRINTS_STATES],
    )
    assert project.run()[0] == 0
    assert project.state("orders") == {"n": 7}
    assert project.run()[0] == 0
    asked = (project.folder / "asked").read_text().splitlines()
    assert asked == ["", f"--state {project.folder.resolve()}/state/orders.json"]


def test_a_target_that_ends_first_ends_the_tap(project: Project) -> None:
    project.add("orders", FOREVER, target=["echo 'disk full' >&2", "exit 74"])
    project.add("items", FOREVER, target=["exit 0"])
    code, said = project.run("--jobs", "2")
    assert code == 74
    assert "`orders` ended with 74: disk full" in said
    assert "items     failed (69)" in said
    assert not project.living()


def test_when_both_die_the_reason_is_the_one_of_the_target(project: Project) -> None:
    project.add(
        "orders",
        "while :; do echo x; done",
        target=["head -c 100000 > rows", "echo 'no such schema' >&2", "exit 78"],
    )
    code, said = project.run()
    assert code == 78
    assert said.splitlines()[-1].endswith("`orders` ended with 78: no such schema")


def test_a_tap_that_hangs_behind_its_last_line_is_stopped_after_its_time(project: Project) -> None:
    project.add("orders", schema(), record(1), state(1), FOREVER, timeout="3s")
    code, said = project.run()
    assert (code, project.rows("orders")) == (69, [1])
    assert "Stopped after 3.0 s (`timeout`): the tap had not ended; what was committed is safe." in said
    assert not project.living()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_all_within_a_second(project: Project, signum: int) -> None:
    sides = ("tap", "mapper", "target")
    for side in sides:
        project.script(
            f"{side}-part",
            f"trap 'date +%s.%N > {side}-at; exit 143' TERM",
            f"touch {side}-is-there",
            "while :; do sleep 0.05; done",
        )
    project.pipelines["orders"] = {side: {"exec": f"./{side}-part"} for side in sides}
    project.pipelines["items"] = {"after": ["orders"], **project.pipelines["orders"]}
    process = project.start()
    wait_until(lambda: all((project.folder / f"{side}-is-there").exists() for side in sides))
    sent = time.time()
    process.send_signal(signum)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + signum
    assert f"Stopped by {signal.Signals(signum).name}; what was committed is safe." in said
    for side in sides:
        assert float((project.folder / f"{side}-at").read_text()) - sent < 5  # a busy machine
    assert not project.living()


def test_a_runner_that_is_killed_leaves_nobody_behind_and_nothing_is_loaded_beyond_the_last_state(
    project: Project,
) -> None:
    project.add("orders", schema(), record(1), state(1), record(2), "touch wrote", FOREVER)
    process = project.start()
    wait_until(lambda: (project.folder / "wrote").exists())
    process.kill()
    process.communicate(timeout=30)
    wait_until(lambda: not project.living(), "the end of both")
    assert project.rows("orders") in ([], [1])
    assert (project.state("orders") or {}).get("n", 1) == 1, "before a commit there is no position in it"


def test_what_a_signal_keeps_from_beginning_is_not_done(project: Project) -> None:
    """Between two pipelines nothing runs that could be stopped: the run ended with 0, as if all had been done."""
    project.add("orders", schema(), state(1), target=PRINTS_STATES)
    project.write()
    plan = read_plan(str(project.folder / "singerkit.json"))
    stop = StopFlag()
    stop.signum = signal.SIGTERM
    code, said = verdict(run_all(plan, ["orders"], {}, 1, {}, Teller().of, stop))
    assert code == 143
    assert "Stopped by SIGTERM; it was not begun." in said


def test_a_command_that_is_deaf_to_signals_is_killed_at_the_second_one(project: Project) -> None:
    """One behind a commit was sent SIGTERM ten times a second until its own time was over, an hour as a rule."""
    stop = StopFlag()
    stop.signum, stop.count = signal.SIGTERM, 2
    deaf = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"]
    ended = run_alone(
        deaf, folder=str(project.folder), env=os.environ, on_line=lambda _line: None, timeout=600, stop=stop
    )
    assert ended is None
    assert not project.living()


def test_a_second_run_of_a_pipeline_is_refused(project: Project) -> None:
    project.add("orders", "touch begun", FOREVER, target=PRINTS_STATES)
    first = project.start()
    wait_until(lambda: (project.folder / "begun").exists())
    code, said = project.run()
    assert code == 75
    assert "Another run of the pipeline `orders` is at work; nothing was done." in said
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    assert first.returncode == 143


def test_behind_a_run_that_hangs_nothing_has_failed_until_it_is_at_work_for_too_long(
    project: Project,
) -> None:
    """What stands on it is not run, and nobody is told of a failure; the last run that ended stays what is told of it."""
    project.add("orders", "test ! -e well || { touch begun; exec sleep 600; }", target=PRINTS_STATES)
    project.add("items", target=PRINTS_STATES, after=["orders"])
    project.script("notify.sh", "cat >> told")
    project.more |= {
        "on_failure": {"exec": "./notify.sh"},
        "signals": {"metrics_folder": "metrics", "openlineage": "lineage.jsonl"},
    }
    assert project.run("orders")[0] == 0
    (project.folder / "well").touch()
    first = project.start("orders")
    wait_until((project.folder / "begun").exists)
    code, said = project.run()
    summary = [
        line.split(maxsplit=1)[1] for line in said.splitlines() if line.startswith(("orders ", "items "))
    ]
    assert code == 75
    assert summary == [
        "not run (75), since another run is at work",
        "not run, since another run of orders is at work",
    ]
    assert "1 of 2 pipelines found another run at work, and 1 other not run for that;" in said
    assert not (project.folder / "told").exists()
    assert runs_of(project, "orders") == ["complete", "running", "skipped"]
    assert runs_of(project, "items") == ["skipped"]
    metrics = (project.folder / "metrics" / "singerkit-orders.prom").read_text()
    value = {
        name: float(number)
        for name, number in re.findall(r"^singerkit_(\w+)\{.*\} (\S+)$", metrics, re.MULTILINE)
    }
    assert (value["last_run_success"], value["last_run_exit_code"]) == (1, 0)
    assert value["last_success_timestamp_seconds"] == value["last_run_timestamp_seconds"]
    assert value["last_start_timestamp_seconds"] > value["last_run_timestamp_seconds"]
    events = (project.folder / "lineage.jsonl").read_text().splitlines()
    assert [json.loads(event)["eventType"] for event in events] == ["START", "COMPLETE", "START"]

    noted = project.folder / "state" / "orders.runs.jsonl"
    noted.write_text(
        re.sub(r'"started":"[^"]*"(?=.*"running")', '"started":"2026-01-01T00:00:00Z"', noted.read_text())
    )
    assert project.run()[0] == 75
    told = json.loads((project.folder / "told").read_text())
    assert (told["pipeline"], told["exit_code"]) == ("orders", 75)
    assert re.match(
        r"A run that began \d+ d \d+ h ago \(process \d+ of .*\) is still at work: ", told["reason"]
    )
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)


def runs_of(project: Project, name: str) -> list[str]:
    lines = (project.folder / "state" / f"{name}.runs.jsonl").read_text().splitlines()
    return [run["result"] for run in {run["id"]: run for run in map(json.loads, lines)}.values()]


def test_what_may_go_well_next_time_is_tried_again_from_what_is_committed_by_then(project: Project) -> None:
    tap = [
        "echo try >> tries",
        'case "$(cat "$2" 2>/dev/null)" in *\'"n": 1\'*) '
        + f"{schema()}; {record(2)}; {state(2)}; exit 0;; esac",
        schema(),
        record(1),
        state(1),
        "exit 69",
    ]
    project.add("orders", *tap, retries={"times": 2, "wait": "100ms"})
    code, said = project.run()
    assert (code, project.rows("orders"), project.state("orders")["n"]) == (0, [1, 2], 2)
    assert (project.folder / "tries").read_text().count("try") == 2
    assert "orders ended with 69: The tap said nothing. It is tried again in 0.1 s (1 of 2)." in said


def test_tries_have_an_end_and_other_codes_have_none(project: Project) -> None:
    project.add(
        "orders",
        "echo try >> orders-tries",
        "exit 69",
        target=PRINTS_STATES,
        retries={"times": 2, "wait": "10ms"},
    )
    project.add(
        "items",
        "echo try >> items-tries",
        "exit 65",
        target=PRINTS_STATES,
        retries={"times": 2, "wait": "10ms"},
    )
    code, said = project.run()
    assert code == 65
    assert said.splitlines()[-1].startswith(
        "CRITICAL singerkit run: 2 of 2 pipelines failed; `items` ended with 65:"
    )
    assert [(project.folder / f"{name}-tries").read_text().count("try") for name in ("orders", "items")] == [
        3,
        1,
    ]


def test_what_a_tap_has_started_does_not_outlive_it(project: Project) -> None:
    project.add("orders", "sleep 600 > /dev/null 2>&1 &", schema(), state(1), target=PRINTS_STATES)
    assert project.run()[0] == 0
    assert not project.living()


def test_what_holds_the_pipe_of_a_tap_that_has_ended_keeps_no_target_waiting(project: Project) -> None:
    """A tunnel, or a browser, that was left with its stdout, and with a session of its own."""
    helper = "setsid sh -c 'touch away; exec sleep 600' 2> /dev/null &"
    wait = "while ! test -e away; do sleep 0.05; done"
    project.add("orders", helper, wait, schema(), record(1), state(1))
    code, _ = project.run()
    assert (code, project.rows("orders")) == (0, [1])
    assert not project.living()


def test_variables_beside_the_file_reach_both_ends_and_secrets_are_masked(project: Project) -> None:
    (project.folder / ".env").write_text("API_TOKEN=tok-4711-geheim\nPLACE=here\n")
    project.add(
        "orders",
        'echo "I have $API_TOKEN and $MINE at $PLACE" >&2',
        schema(),
        state(1),
        target=["echo $PLACE > place", "cat > /dev/null"],
    )
    project.pipelines["orders"]["tap"]["env"] = {"MINE": "${API_TOKEN}"}
    code, said = project.run()
    assert code == 0
    assert "I have *** and *** at here" in said
    assert "4711" not in said
    assert (project.folder / "place").read_text() == "here\n"


def test_a_name_that_one_side_says_is_that_of_the_other_too(project: Project) -> None:
    """Else a target of ours refuses what a tap of ours sends."""
    (project.folder / "tap.json").write_text(json.dumps({"pipeline": "shop"}))
    project.add("orders", schema(), state(1))
    project.pipelines["orders"]["tap"]["config"] = "tap.json"
    assert project.run()[0] == 0
    named = json.loads((project.folder / "state" / "orders.pipeline.json").read_text())
    assert named == {"pipeline": "shop"}


def test_what_is_told_of_a_failure_has_no_secret(project: Project) -> None:
    """People have it sent to where others read it."""
    (project.folder / ".env").write_text("API_TOKEN=tok-4711-geheim\n")
    project.more["on_failure"] = {"exec": project.script("notify.sh", "cat > told")}
    project.add("orders", 'echo "401 for /x?token=$API_TOKEN" >&2', "exit 77", target=PRINTS_STATES)
    code, said = project.run()
    assert (code, "4711" in said) == (77, False)
    assert json.loads((project.folder / "told").read_text())["reason"] == "401 for /x?token=***"


def test_what_runs_behind_a_commit_and_behind_a_failure(project: Project) -> None:
    project.more["on_failure"] = {"exec": project.script("notify.sh", 'cat > "failed-$SINGERKIT_PIPELINE"')}
    hook = {"run": 'echo "$SINGERKIT_PIPELINE" >> built'}
    project.add(
        "orders",
        schema(),
        state(1),
        target=PRINTS_STATES,
        after_commit=[hook, {"run": "echo always >> built", "when": "success"}],
    )
    project.add("items", "exit 65", target=PRINTS_STATES, after_commit=[{**hook, "when": "success"}])
    project.add("late", schema(), state(1), target=PRINTS_STATES, after_commit=[{"run": "exit 4"}])
    assert project.run()[0] == 65
    assert (project.folder / "built").read_text() == "orders\nalways\n"
    assert json.loads((project.folder / "failed-items").read_text())["exit_code"] == 65
    assert (
        json.loads((project.folder / "failed-late").read_text())["reason"]
        == "The rows are committed; `exit 4` ended with 4."
    )
    project.run("orders")
    assert (project.folder / "built").read_text() == "orders\nalways\nalways\n"  # nothing new was committed


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        ('{"n": 1, "z": "' + "a" * 1_100_000 + '"}', ""),
        ('\ufeff{"n": 1}', ""),
        ('{"n": NaN}', "is torn or not JSON"),
        ('{\n "n": 1\n}', "is torn or not JSON"),
        ('{"n": "\udcff"}', "is not UTF-8 text"),
        ('{"type": "STATE", "value": {"n": 1}}', "holds a whole STATE message"),
        ("loaded 3 rows", "got no state from its target"),
    ],
    ids=["long", "BOM", "NaN", "lines", "bytes", "message", "none"],
)
def test_a_state_that_cannot_be_kept_is_told(project: Project, printed: str, why: str) -> None:
    """Else each run would begin where this one did, without a word."""
    (project.folder / "printed").write_bytes(printed.encode("utf-8", "surrogateescape") + b"\n")
    project.add("orders", schema(), record(1), state(1), target=["cat > /dev/null", "cat printed"])
    code, said = project.run()
    assert (code, project.state("orders") is None) == (
        65 if "state" not in why and why else 0,
        bool(why),
    ) or why in said
    assert why in said
    if not why:
        assert project.state("orders")["n"] == 1


def test_a_target_that_has_not_read_all_has_not_ended_well(project: Project) -> None:
    """Though all that it has not read fits into the pipe, and its tap has ended well."""
    project.add(
        "orders",
        schema(),
        record(1),
        "touch ended",
        target=["until [ -e ended ]; do sleep 0.1; done; sleep 0.3; head -c 30 > /dev/null"],
    )
    code, said = project.run()
    assert code == 69
    assert "The target ended with 0 before it had read the last" in said


def test_what_a_target_has_left_behind_is_not_waited_for(project: Project) -> None:
    project.add("orders", schema(), state(1), target=["sleep 600 & cat > /dev/null"], timeout="1500ms")
    code, said = project.run()
    assert code == 0, said
    assert not project.living()


def test_what_runs_behind_a_commit_is_owed_until_it_has_ended_well(project: Project) -> None:
    """A mart that was not built behind a commit is built by the next run, which finds nothing new."""
    built = project.folder / "built"
    project.add(
        "orders",
        schema(),
        state(1),
        "[ ! -e crash ]",
        target=PRINTS_STATES,
        after_commit=[{"run": "echo x >> built; [ ! -e bad ]"}],
    )
    (project.folder / "bad").touch()
    assert [project.run()[0], project.run()[0]] == [1, 1]
    (project.folder / "bad").unlink()
    code, said = project.run()
    assert code == 0
    assert "orders has nothing new; `after_commit` is run for what an earlier run may have committed." in said
    assert project.run()[0] == 0
    assert built.read_text() == "x\nx\nx\n", "once more for each that failed, and never again"
    assert not [path for path in (project.folder / "state").iterdir() if path.suffix == ".owed"]
    (project.folder / "state" / "orders.json").unlink()
    (project.folder / "crash").touch()
    assert project.run()[0] == 1, "the tap crashes behind a state that is committed"
    (project.folder / "crash").unlink()
    assert project.run()[0] == 0
    assert built.read_text() == "x\nx\nx\nx\n"


def test_what_runs_behind_a_commit_is_owed_by_a_run_that_was_killed(project: Project) -> None:
    project.add(
        "orders",
        schema(),
        state(1),
        target=PRINTS_STATES,
        after_commit=[{"run": "echo x >> built; sleep 60"}],
    )
    runner = project.start()
    built = project.folder / "built"
    wait_until(lambda: built.exists() and built.read_text(), "what the shell makes before it writes")
    runner.kill()
    runner.communicate()
    project.pipelines["orders"]["after_commit"] = [{"run": "echo y >> built"}]
    assert project.run()[0] == 0
    assert (project.folder / "built").read_text() == "x\ny\n"


def test_a_tap_of_others_begins_where_the_target_is_though_the_folder_of_states_is_gone(
    project: Project,
) -> None:
    """A container without a disk read everything again, and rows without a key were there twice, with exit 0."""
    resumes = 'case "$*" in *--state*) ;; *) ' + record(1) + ";; esac"
    project.add("orders", schema(), resumes, state(1))
    for _ in range(2):
        assert project.run()[0] == 0
        shutil.rmtree(project.folder / "state")
    assert project.rows("orders") == [1]


def test_a_full_table_is_new_where_its_rows_have_changed_though_its_state_has_not(project: Project) -> None:
    project.add(
        "orders",
        schema(),
        "[ -e empty ] || " + record(1),
        state(1),
        after_commit=[{"run": "echo x >> built"}],
    )
    for lines in (1, 2):
        assert project.run()[0] == 0
        assert (project.folder / "built").read_text() == "x\n" * lines
    (project.folder / "empty").touch()
    assert project.run()[0] == 0
    assert (project.folder / "built").read_text() == "x\n" * 2


def test_pipelines_in_their_order(project: Project) -> None:
    log = 'echo "$(basename "$0")" >> order'
    project.add("c", log, schema(), state(1), after=["b"], target=["cat > /dev/null"])
    project.add("b", log, "exit 65", after=["a"], target=["cat > /dev/null"])
    project.add("a", log, schema(), state(1), target=["cat > /dev/null"])
    project.add("d", log, schema(), state(1), target=["cat > /dev/null"])
    code, said = project.run("--jobs", "3")
    order = (project.folder / "order").read_text().split()
    assert code == 65
    assert order.index("a.sh") < order.index("b.sh")
    assert "d.sh" in order
    assert "c.sh" not in order
    assert "c         not run, since b has not ended well" in said
    code, said = project.run("c")
    assert code == 0, "what stands on nothing that runs is run"


def test_as_many_pipelines_as_there_are_run_in_their_order(project: Project) -> None:
    for number in range(40):
        project.add(
            f"p{number}",
            "exit 0",
            target=["cat > /dev/null"],
            after=[f"p{number - 1}"] if number % 10 else [],
        )
    code, said = project.run("--jobs", "8")
    assert code == 0
    assert said.splitlines()[-1] == "40 pipelines done."
    assert os.path.exists(project.folder / "state")


def test_the_script_of_a_dry_run_reads_dot_env_as_a_run_does(project: Project) -> None:
    """A shell takes `&`, `;`, `$` and blanks for something else; what the environment has counts first."""
    project.add(
        "orders",
        'printf "%s|" "$DSN" "$PASSWORD" "$WORDS" "$PLACE" > "$SINGERKIT_PIPELINE.seen"',
        target=["cat"],
    )
    lines = [
        "DSN=postgresql://u:pw@h/db?a=b&c=d",
        "PASSWORD=pa$HOME;sec-ret&x'y",
        "WORDS=a b",
        "PLACE=beside",
    ]
    (project.folder / ".env").write_text("\n".join(lines) + "\n")
    seen = project.folder / "orders.seen"
    project.run(PLACE="of the caller")
    by_run = seen.read_text()
    assert by_run == "postgresql://u:pw@h/db?a=b&c=d|pa$HOME;sec-ret&x'y|a b|of the caller|"
    script = project.run("--dry-run")[1]
    seen.unlink()
    env = {**os.environ, "PLACE": "of the caller"}
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, env=env, timeout=60)
    assert (done.returncode, "sec-ret" in script + done.stderr) == (0, False)
    assert seen.read_text() == by_run
