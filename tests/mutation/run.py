"""Mutation testing of the commit path and the state library: ``make mutate``, or ``make mutate ARGS=path/of/file.py``.

For each file of plan.toml: make its mutants (mutants.py), run the tests that the plan names against each, and compare
the survivors with survivors.toml, where every one has its written reason. Writes docs/mutation.md. Exit code 1 when a
survivor has no reason, or when a reason has no survivor any more.

A worker is a process that has imported what is slow to import and works on a copy of the tree: it writes the mutant
into the copy, forks, and the fork runs pytest. Processes that the tests start find the copy through PYTHONPATH.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SHELVES = ("shell", "wire", "catalog", "state", "taps", "targets", "mappers", "tools")
COPIED = (*SHELVES, "tests", "examples", "docs")
RESULTS = HERE / "results.json"
PAGE = ROOT / "docs" / "mutation.md"
TOOL = "mutmut"
SLOWER = 4
"""A mutant that needs so many times what the tests need, and `SPARE` seconds, counts as a timeout."""
SPARE = 20.0
OPTIONS = (
    *("-x", "-q", "--tb=short", "--assert=plain"),  # nobody reads what a failed assertion says
    *("-p", "_hypothesis_pytestplugin", "-p", "no:cacheprovider"),
    *("-p", "no:unraisableexception", "-p", "no:threadexception"),  # they collect garbage five times
)


@dataclass(frozen=True)
class Plan:
    """A file and the tests that should notice when it is wrong; ``database`` when they need PostgreSQL.

    ``only``: the functions that are mutated, like `Class.function`; none: all. ``sample``: so many of their mutants are run,
    always the same ones.
    """

    file: str
    tests: list[str]
    only: list[str] = field(default_factory=list)
    sample: int | None = None
    select: str = ""
    database: bool = False


@dataclass(frozen=True)
class Mutant:
    file: str
    where: str
    diff: tuple[str, ...]
    code: str = field(repr=False, compare=False, default="")


@dataclass
class Result:
    """What became of the mutants of one file; ``source`` is its `source_hash`.

    ``date`` is the day of the run. ``mutants`` were run, of ``made`` that its code has; None: all of them.
    """

    source: str
    date: str = ""
    mutants: int = 0
    made: int | None = None
    killed: int = 0
    timeouts: int = 0
    survivors: list[dict[str, Any]] = field(default_factory=list)


# The worker: this file again, with --worker.


def work(folder: Path) -> None:
    """Answer each line ``{"file", "code", "tests", "select", "timeout"}`` with ``{"verdict", "seconds"}``."""
    import pytest
    from hypothesis import Phase, settings

    for name in ("msgspec", "psycopg2.sql", "jsonschema", "requests", "singer_sdk"):
        importlib.import_module(name)
    # Found is enough: no time for a smaller example. The same examples each time.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutation", phases=phases, derandomize=True, database=None)
    settings.load_profile("mutation")
    os.chdir(folder)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(folder / "last.txt", os.O_WRONLY | os.O_CREAT), 1)
    (folder / "warm").mkdir()
    pytest.main([*OPTIONS, "-c", os.devnull, "--rootdir", "warm", "warm"])  # imports all of pytest
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        task = json.loads(line)
        print(json.dumps(_try(folder, task)), file=out, flush=True)


def _try(folder: Path, task: dict[str, Any]) -> dict[str, Any]:
    path = folder / task["file"]
    sound = path.read_text(encoding="utf-8")
    for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        cached.unlink()
    path.write_text(task["code"] or sound, encoding="utf-8")
    started = time.monotonic()
    try:
        child = os.fork()
        if child == 0:
            _run_tests(folder, task)
        verdict = _wait(child, started + task["timeout"])
    finally:
        path.write_text(sound, encoding="utf-8")
    return {"verdict": verdict, "seconds": time.monotonic() - started}


def _run_tests(folder: Path, task: dict[str, Any]) -> None:
    code = 99
    try:
        os.setsid()
        os.environ |= {"TMPDIR": str(folder / "tmp")}
        tempfile.tempdir = None
        quiet = os.open(folder / "last.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        import pytest

        select = ["-k", task["select"]] if task["select"] else []
        code = int(pytest.main([*OPTIONS, *select, *task["tests"]]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, until: float) -> str:
    """Wait in small steps, then end the process group."""
    pause = 0.005
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            _end(child)
            # 2 and 4: the tests could not even be collected; 5: there were none, which is a mistake in the plan
            return {0: "survived", 5: "no tests"}.get(code, "killed")
        if time.monotonic() > until:
            _end(child)
            os.waitpid(child, 0)
            return "timeout"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


# The driver.


class Worker:
    """A worker process with its own copy of the tree."""

    def __init__(self, dsn: str | None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="singerkit-mutation-"))
        self.folder.chmod(0o755)  # some tests run programs as an account without rights
        for name in COPIED:
            ignore = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(ROOT / name, self.folder / name, ignore=ignore)
        for name in ("pyproject.toml", "README.md", "Makefile", "CHANGELOG.md"):
            shutil.copy(ROOT / name, self.folder / name)
        (self.folder / "tmp").mkdir()
        env = os.environ | {"PYTHONPATH": os.pathsep.join(str(self.folder / shelf) for shelf in SHELVES)}
        env |= {"SINGERKIT_TEST_DSN": dsn} if dsn else {}
        env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        shelves = [str(self.folder / shelf) for shelf in (*SHELVES, "tests")]
        subprocess.run([sys.executable, "-m", "compileall", "-q", *shelves], check=True)
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=self.folder,
        )

    def run(self, plan: Plan, code: str, timeout: float) -> tuple[str, float]:
        """Run the plan's tests against ``code`` ("" for the sound file)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        task = {
            "file": plan.file,
            "code": code,
            "tests": plan.tests,
            "select": plan.select,
            "timeout": timeout,
        }
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The worker in {self.folder} has ended.")
        answer = json.loads(line)
        return answer["verdict"], answer["seconds"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def database(is_needed: bool) -> Iterator[str | None]:
    """The server that SINGERKIT_TEST_DSN names, else an embedded one for this run."""
    given = os.environ.get("SINGERKIT_TEST_DSN")
    if given or not is_needed:
        yield given
        return
    sys.path.insert(0, str(ROOT / "tests"))
    import conftest

    folder = Path(tempfile.mkdtemp(prefix="singerkit-mutation-pg-"))
    uri = conftest._embedded_server(folder)
    try:
        yield uri
    finally:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def chosen_of(plan: Plan, mutants: Sequence[Mutant]) -> list[Mutant]:
    """Return those that the plan takes: of the functions that it names, and so many, in the order of the code."""
    chosen = [mutant for mutant in mutants if not plan.only or mutant.where in plan.only]
    strange = set(plan.only) - {mutant.where for mutant in chosen}
    if strange:
        raise SystemExit(f"{plan.file} has no mutant in {', '.join(sorted(strange))}, which the plan names.")
    if plan.sample is None or plan.sample >= len(chosen):
        return chosen
    taken = random.Random(plan.file).sample(range(len(chosen)), plan.sample)
    return [chosen[number] for number in sorted(taken)]


def mutants_of(file: str, python: str) -> list[Mutant]:
    """Make the mutants of a file, or take those that were made before."""
    made = Path(tempfile.gettempdir()) / f"singerkit-mutants-{source_hash(file)}.jsonl"
    if not made.exists():
        lines = subprocess.check_output([python, str(HERE / "mutants.py"), str(ROOT / file)], text=True)
        made.write_text(lines)
    found = map(json.loads, made.read_text().split("\n")[:-1])
    return [Mutant(file, one["where"], tuple(one["diff"]), one["code"]) for one in found]


def test_file(plan: Plan, made: Sequence[Mutant], workers: Sequence[Worker], known: Result | None) -> Result:
    """Run the mutants that the plan takes, or (with ``known``) only those that survived before, and count."""
    mutants = chosen_of(plan, made)
    result = Result(
        source_hash(plan.file),
        time.strftime("%Y-%m-%d"),
        len(mutants),
        None if len(mutants) == len(made) else len(made),
    )
    before = None if known is None else {(one["where"], tuple(one["diff"])) for one in known.survivors}
    limits = {id(worker): SPARE + SLOWER * _warm(worker, plan) for worker in workers}
    free: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def verdict(mutant: Mutant) -> str:
        if before is not None and (mutant.where, mutant.diff) not in before:
            return "killed"
        worker = free.get()
        try:
            return worker.run(plan, mutant.code, limits[id(worker)])[0]
        finally:
            free.put(worker)

    with ThreadPoolExecutor(len(workers)) as pool:
        for count, (mutant, found) in enumerate(zip(mutants, pool.map(verdict, mutants), strict=True), 1):
            if found == "survived":
                result.survivors.append({"where": mutant.where, "diff": list(mutant.diff)})
                print(f"\n{mutant.where}\n  " + "\n  ".join(mutant.diff), flush=True)
            result.killed += found == "killed"
            result.timeouts += found == "timeout"
            if sys.stderr.isatty() or count % 50 == 0:
                print(f"\r{plan.file}: {count}/{len(mutants)}", end="", file=sys.stderr)
    if known is not None:
        result.killed -= known.timeouts
        result.timeouts += known.timeouts
    return result


def _warm(worker: Worker, plan: Plan) -> float:
    """Seconds of the plan's tests against the sound file; they have to pass."""
    for _ in range(2):  # the first one compiles
        verdict, seconds = worker.run(plan, "", 600)
        if verdict != "survived":
            said = (worker.folder / "last.txt").read_text(errors="replace")[-3000:]
            raise SystemExit(f"The tests for {plan.file} do not pass without a mutant ({verdict}):\n{said}")
    return seconds


def source_hash(file: str) -> str:
    """Of the file and of the operators: other mutants, other verdicts."""
    made_of = (ROOT / file).read_bytes() + (HERE / "mutants.py").read_bytes()
    return hashlib.sha256(made_of).hexdigest()[:16]


# Reasons and the page.


CHANGED = (
    "`*`: changed since it was tested. The figures are those of the version that was; of its survivors only those are "
    "shown below whose code still stands."
)


def is_as_tested(file: str, result: Result) -> bool:
    return (ROOT / file).exists() and source_hash(file) == result.source


def still_stands(mutant: Mutant) -> bool:
    """Whether the lines that a mutant changes are in the file, wherever they are."""
    path = ROOT / mutant.file
    there = {line.strip() for line in path.read_text("utf-8").splitlines()} if path.exists() else set()
    return all(line[2:].strip() in there for line in mutant.diff if line.startswith("- "))


def reasons() -> dict[Mutant, str]:
    """The reviewed survivors: each with its reason."""
    with (HERE / "survivors.toml").open("rb") as file:
        groups = tomllib.load(file).get("group", [])
    found: dict[Mutant, str] = {}
    for group in groups:
        for one in group["mutants"]:
            where, *lines = one.strip().splitlines()
            found[Mutant(group["file"], where.strip(), tuple(line.strip() for line in lines))] = group[
                "reason"
            ].strip()
    return found


def survivors(results: dict[str, Result]) -> list[Mutant]:
    return [
        Mutant(file, one["where"], tuple(one["diff"]))
        for file, result in results.items()
        for one in result.survivors
    ]


def complaints(results: dict[str, Result], tested: Sequence[str]) -> list[str]:
    """What is wrong between survivors and reasons, a line each."""
    written = reasons()
    alive = [one for one in survivors(results) if still_stands(one)]
    lines = [f"no reason: {_one_line(one)}" for one in alive if one.file in tested and one not in written]
    lines += [
        f"its reason no longer applies: {_one_line(one)}"
        for one in written
        if one.file in tested and one not in alive
    ]
    return lines + [
        f"changed since it was tested: {file}"
        for file, result in results.items()
        if file not in tested and not is_as_tested(file, result)
    ]


def _one_line(mutant: Mutant) -> str:
    return f"{mutant.file} {mutant.where}: " + "  ".join(mutant.diff)


def page(results: dict[str, Result], version: str, plans: Sequence[Plan]) -> str:
    written = reasons()
    lines = [
        "# Mutation testing",
        "",
        "Generated by `make mutate`; do not edit. A mutant is the code with one small fault put in; a test has to",
        "fail then. Tested are the commit path and the state library, but for the command line of `singerkit-state` and",
        "what prints, and what a full load of tap-rest has to show before rows go. A mutant that survives is here with the",
        "reason why no test can or should notice it; `make mutate` fails when a survivor has none, and when a reason has no survivor any more.",
        "",
        f"The operators are those of {TOOL} {version}, and five of ours: a call for its effect, `raise` or `del` left",
        "out, `return None`, a turned condition, a class less in an `except`, one side of `and`/`or`. The runner is",
        "`tests/mutation/run.py`: mutmut's own takes one source root and leaves out module level code, decorated",
        "functions and statements without a value. Not mutated: annotations, docstrings, decorators, assertions for",
        "the type checker, and the *wording* of errors and log lines (that they come, and of which class, is).",
        "A timeout counts as noticed: the tests hang or need four times as long. `12 of 300`: those of the functions that stand",
        "below, or a sample.",
        "",
        "| file | run on | mutants | killed | timeouts | survived, with a reason |",
        "|---|---|---:|---:|---:|---:|",
    ]
    total = Result("")
    changed = [file for file, result in results.items() if not is_as_tested(file, result)]
    for file, result in results.items():
        lines.append(_row(f"`{file}`{' *' * (file in changed)}", result))
        for name in ("mutants", "killed", "timeouts", "survivors"):
            setattr(total, name, getattr(total, name) + getattr(result, name))
    lines += [_row("**all**", total), ""]
    lines += [CHANGED, ""] if changed else []
    waiting = [f"`{plan.file}`" for plan in plans if plan.file not in results]
    lines += [f"In the plan and not run yet: {', '.join(waiting)}.", ""] if waiting else []
    lines += ["## Which tests", ""]
    lines += [
        f"* `{plan.file}`: {', '.join(f'`{test}`' for test in plan.tests)}"
        + (f" (`-k '{plan.select}'`)" if plan.select else "")
        + (f", for {', '.join(f'`{name}`' for name in plan.only)} alone" if plan.only else "")
        for plan in plans
        if plan.file in results
    ]
    lines += ["", "## Survivors"]
    for file, result in results.items():
        by_reason: dict[str, list[Mutant]] = {}
        for one in survivors({file: result}):
            if not still_stands(one):
                continue
            by_reason.setdefault(written.get(one, "NO REASON YET"), []).append(one)
        if by_reason:
            lines += ["", f"### {file}"]
        for reason, mutants in by_reason.items():
            lines += ["", " ".join(reason.split()), "", "```diff"]
            where = ""
            for one in mutants:
                lines += [f"@@ {one.where}"] if one.where != where else []
                where = one.where
                lines += one.diff
            lines += ["```"]
    return "\n".join(lines) + "\n"


def _row(name: str, result: Result) -> str:
    mutants = result.mutants if result.made is None else f"{result.mutants} of {result.made}"
    return f"| {name} | {result.date} | {mutants} | {result.killed} | {result.timeouts} | {len(result.survivors)} |"


def load_results(plans: Sequence[Plan]) -> tuple[dict[str, Result], str]:
    if not RESULTS.exists():
        return {}, ""
    stored = json.loads(RESULTS.read_text())
    order = [plan.file for plan in plans]
    return {file: Result(**stored["files"][file]) for file in order if file in stored["files"]}, stored[
        "version"
    ]


def save_results(results: dict[str, Result], version: str) -> None:
    files = {file: asdict(result) for file, result in results.items()}
    RESULTS.write_text(json.dumps({"version": version, "files": files}, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="only these files of the plan")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--survivors", action="store_true", help="only the mutants that survived the last time"
    )
    parser.add_argument("--page", action="store_true", help="only compare the last results with the reasons")
    parser.add_argument("--python", default=str(ROOT / ".envs/mutation/bin/python"), help="has mutmut")
    args = parser.parse_args()
    with (HERE / "plan.toml").open("rb") as file:
        plans = [Plan(**one) for one in tomllib.load(file)["file"]]
    chosen = [plan for plan in plans if not args.files or plan.file in args.files]
    if len(chosen) < len(args.files):
        parser.error("a file that is not in tests/mutation/plan.toml")
    results, version = load_results(plans)
    if args.page:
        chosen = []
    else:
        version = _version(args.python)
        os.nice(5)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # workers and server end with us
        with database(any(plan.database for plan in chosen)) as dsn:
            workers = [Worker(dsn) for _ in range(args.jobs)]
            try:
                for plan in chosen:
                    known = results.get(plan.file) if args.survivors else None
                    if known is not None and known.source != source_hash(plan.file):
                        known = None
                    found = test_file(plan, mutants_of(plan.file, args.python), workers, known)
                    results, _ = load_results(plans)
                    results[plan.file] = found
                    save_results(results, version)
                    print(f"{_row(plan.file, found)}", flush=True)
            finally:
                for worker in workers:
                    worker.close()
        results, _ = load_results(plans)
    PAGE.write_text(page(results, version, plans))
    tested = list(results) if args.page else [plan.file for plan in chosen]
    wrong = complaints(results, tested)
    print("\n".join(wrong))
    return 1 if wrong else 0


def _version(python: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({TOOL!r}))"
    return subprocess.run([python, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]))
    else:
        sys.exit(main())
