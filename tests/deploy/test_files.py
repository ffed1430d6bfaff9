"""What stands in deploy/ is said of one program: exit codes, places and names are those of the code and of each other.

That it runs, `make test-container` and `make test-schedules` show.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from singerkit_shell import errors

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
CRONJOB = yaml.safe_load((DEPLOY / "kubernetes/cronjob.yaml").read_text())
JOB = CRONJOB["spec"]["jobTemplate"]["spec"]
POD = JOB["template"]["spec"]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
NEEDS_MENDING, WORTH_A_TRY = {64, 65, 70, 77, 78}, {69, 73, 74, 75, 76}


def codes_of(action: str) -> list[int]:
    [rule] = [
        one for one in JOB["podFailurePolicy"]["rules"] if one["action"] == action and "onExitCodes" in one
    ]
    values: list[int] = rule["onExitCodes"]["values"]
    return values


def test_each_exit_code_is_a_try_or_the_end():
    classes = [one for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "exit_code")]
    for one in classes:
        if one is not errors.Stopped and one is not errors.ReaderGone:
            assert (one.exit_code in WORTH_A_TRY) == issubclass(one, errors.RetryableError), one
            assert one.exit_code in NEEDS_MENDING | WORTH_A_TRY
    assert set(codes_of("FailJob")) == NEEDS_MENDING
    assert set(codes_of("Count")) == WORTH_A_TRY
    page = (ROOT / "docs/scheduling.md").read_text()
    for codes in (NEEDS_MENDING, WORTH_A_TRY):
        assert f"| {', '.join(map(str, sorted(codes)))} |" in page


def test_the_policy_is_one_that_kubernetes_takes():
    """What its API reference says and no schema: one condition a rule, values in order, no 0, a container that there is."""
    assert POD["restartPolicy"] == "Never"
    assert len(JOB["podFailurePolicy"]["rules"]) <= 20
    for rule in JOB["podFailurePolicy"]["rules"]:
        assert rule["action"] in {"FailJob", "Ignore", "Count"}
        assert ("onExitCodes" in rule) != ("onPodConditions" in rule)
        if codes := rule.get("onExitCodes"):
            assert codes["operator"] == "In"
            assert codes["containerName"] in {one["name"] for one in POD["containers"]}
            assert codes["values"] == sorted(set(codes["values"]) - {0})
    [ignored] = [one for one in JOB["podFailurePolicy"]["rules"] if one["action"] == "Ignore"]
    assert ignored["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert CRONJOB["spec"]["concurrencyPolicy"] == "Forbid"


def test_all_of_them_run_as_the_image_does():
    [container] = POD["containers"]
    assert "USER 10001:10001" in CONTAINERFILE
    assert (POD["securityContext"]["runAsUser"], POD["securityContext"]["runAsGroup"]) == (10001, 10001)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
    assert mounted == {"/work/state", "/tmp"}
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in POD["volumes"]}
    [state] = re.findall(r"^VOLUME (.+)$", CONTAINERFILE, re.MULTILINE)
    service = COMPOSE["services"]["pipelines"]
    assert service["read_only"]
    assert f"state:{state}" in service["volumes"]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    assert service["cap_drop"] == container["securityContext"]["capabilities"]["drop"]
    grace = [POD["terminationGracePeriodSeconds"], int(service["stop_grace_period"].rstrip("s"))]
    assert all(seconds > 20 for seconds in grace)


def test_what_is_named_in_compose_is_there():
    assert set(COMPOSE["services"]["pipelines"]["depends_on"]) <= set(COMPOSE["services"])
    for service in COMPOSE["services"].values():
        named = [volume.split(":")[0] for volume in service["volumes"] if not volume.startswith("$")]
        assert set(named) <= set(COMPOSE["volumes"])
    assert "@warehouse/warehouse" in COMPOSE["services"]["pipelines"]["environment"]["WAREHOUSE_DSN"]


def test_into_an_image_goes_what_is_shipped():
    project: Any = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shelves = {one.split("/")[0] for one in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    first, *lines = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    ]
    assert first == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert shelves | {"pyproject.toml", project["project"]["readme"], "LICENSE"} <= let_in


def test_the_page_says_what_the_files_say():
    page = (ROOT / "docs/scheduling.md").read_text()
    line = (DEPLOY / "crontab").read_text().splitlines()[-1]
    assert f"    {line}\n" in page
    for place in re.findall(r"\((\.\./deploy/[^)]+)\)", page):
        assert (ROOT / "docs" / place).exists()
    service = (DEPLOY / "systemd/singerkit@.service").read_text()
    assert "ExecStart=/opt/singerkit/bin/singerkit run singerkit.yaml" in service
    assert "/opt/singerkit/bin/singerkit run /srv/shop/singerkit.yaml" in line
