"""Write docs/reference/<executable>.md from what each executable says about itself; `--check` only compares.

The executables are those of the distribution's entry points. The page of a tap or target holds the `--help` text, the
capabilities and a table of every config key, made from `--about --format=json`; the page of any other tool holds its
`--help` and that of each of its commands; one page has the operations of a map. So no page can differ from the code.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DISTRIBUTION = "singerkit"
REFERENCE = Path(__file__).parent / "reference"
CONNECTORS = ("tap-", "target-")
MAPPER = "singerkit-map"
HELP_COLUMNS = "80"
SECONDS = 60


class GenerateError(Exception):
    """A page cannot be made; the message is a sentence that says what to do."""


@dataclass(frozen=True)
class Key:
    """One config key: where it stands (``streams[].path``), and its cells of the table."""

    path: str
    type: str
    default: str
    is_required: bool
    description: str


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="docs/generate.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a page is not what it would be")
    given = parser.parse_args(arguments)
    try:
        pages = {REFERENCE / f"{name}.md": page(name) for name in executables()}
        pages |= {REFERENCE / f"{name}.md": tool_page(name) for name in tools()}
        pages[REFERENCE / f"{MAPPER}.md"] = mapper_page()
        pages[REFERENCE / f"{MAPPER}-operations.md"] = operations_page()
    except GenerateError as error:
        print(f"docs: {error}", file=sys.stderr)
        return 1
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text("utf-8") != text]
    leftover = [path for path in REFERENCE.glob("*.md") if path not in pages]
    if given.check:
        return report(stale, leftover)
    REFERENCE.mkdir(exist_ok=True)
    for path in stale:
        path.write_text(pages[path], "utf-8")
    for path in leftover:
        path.unlink()
    return 0


def report(stale: list[Path], leftover: list[Path]) -> int:
    """Say in a sentence which pages are stale; return the exit code."""
    if not stale and not leftover:
        return 0
    names = ", ".join(f"docs/reference/{path.name}" for path in [*stale, *leftover])
    print(
        f"docs: {names} differ from what the executables say of themselves; run: make docs", file=sys.stderr
    )
    return 1


def executables() -> list[str]:
    """Names of the distribution's taps and targets."""
    return [name for name in scripts() if name.startswith(CONNECTORS)]


def tools() -> list[str]:
    """Names of its other executables."""
    return [name for name in scripts() if not name.startswith((*CONNECTORS, MAPPER))]


def scripts() -> list[str]:
    """Names of the distribution's console scripts."""
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise GenerateError(f"{DISTRIBUTION} is not installed here; run: make env") from None
    return sorted(script.name for script in distribution.entry_points if script.group == "console_scripts")


def mapper_page() -> str:
    """Return the page of the mapper: that of a connector, and the commands beside its run."""
    from singerkit_map.commands import COMMANDS

    lines = [page(MAPPER)]
    for command in COMMANDS:
        lines += [f"## {command}", "", "```text", output_of(MAPPER, command, "--help").rstrip(), "```", ""]
    return "\n".join(lines)


def page(name: str) -> str:
    """Return the page of an executable."""
    about = json.loads(output_of(name, "--about", "--format=json"))
    capabilities = ", ".join(f"`{capability}`" for capability in about["capabilities"])
    return "\n".join(
        [
            f"# {name}",
            "",
            "<!-- Written by docs/generate.py from the executable itself; change it there. -->",
            "",
            about["description"],
            "",
            "## Command line",
            "",
            "```text",
            output_of(name, "--help").rstrip(),
            "```",
            "",
            f"Capabilities: {capabilities}",
            "",
            "## Config",
            "",
            'Any value may be written as `{"env": "NAME"}` or `{"file": "PATH"}`, numbers, `true` and `false` among them; a list or '
            "an object stands there as JSON. With `--config ENV` each setting is read from a variable of its own.",
            "",
            *of_environment(name, about["settings"]),
            "",
            *table(about["settings"]),
            "",
        ]
    )


def of_environment(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Return where `--config ENV` finds the settings."""
    prefix = name.upper().replace("-", "_") + "_"
    first = next(iter(settings["properties"]))
    return [
        f"`--config ENV` reads each setting at the top from an environment variable, `{prefix}` and its name in capitals "
        f"(`{first}` from `{prefix}{first.upper()}`); objects and arrays are JSON there. Beside a file (`--config config.json "
        "--config ENV`) the variables win. Without `--config ENV` they are not read, and a warning says so.",
    ]


def tool_page(name: str) -> str:
    """Return the page of an executable that is neither tap nor target."""
    help_text = output_of(name, "--help").rstrip()
    sections = [("Command line", help_text)]
    for command in commands_in(help_text):
        text = output_of(name, command, "--help").rstrip()
        sections.append((command, text))
        # A verb that is an executable, too, has a page of its own.
        inner = [] if f"{name}-{command}" in scripts() else commands_in(text)
        sections += [(f"{command} {one}", output_of(name, command, one, "--help").rstrip()) for one in inner]
    lines = [
        f"# {name}",
        "",
        "<!-- Written by docs/generate.py from the executable itself; change it there. -->",
        "",
    ]
    for title, text in sections:
        lines += [f"## {title}", "", "```text", text, "```", ""]
    return "\n".join(lines)


def operations_page() -> str:
    """Return the page of the operations of a map, made from what each says of its settings."""
    from singerkit_map.operations.table import OPERATIONS

    lines = [
        "# The operations of a map",
        "",
        "<!-- Written by docs/generate.py from the operations themselves; change it there. -->",
        "",
        "What stands in a list of [`streams`](../singerkit-map.md), each with its name as `op`. Examples: the operation, a record before it, and behind it.",
        "",
        ", ".join(f"[`{name}`](#{name})" for name in OPERATIONS),
    ]
    for name, row in OPERATIONS.items():
        lines += ["", f"## {name}", "", row.settings["description"], ""]
        for example in row.settings.get("examples", ()):
            lines += example_lines(example)
        lines += table(row.settings) if row.settings["properties"] else ["It has no settings."]
    return "\n".join([*lines, ""])


def example_lines(example: Mapping[str, Any]) -> list[str]:
    """Return an operation, and a record before and after it, as a block of JSON."""
    texts = [json.dumps(example[key], ensure_ascii=False) for key in ("said", "before", "after")]
    return ["```json", *texts, "```", ""]


def commands_in(help_text: str) -> list[str]:
    """Return the names of the commands that a `--help` text lists; none when it lists none."""
    _, _, listed = help_text.partition("\nCommands:\n")
    return re.findall(r"^  (\S+)", listed, re.MULTILINE)


@functools.cache
def output_of(name: str, *options: str) -> str:
    """Run an executable of this environment and return its stdout."""
    program = Path(sys.executable).with_name(name)
    environment = os.environ | {"COLUMNS": HELP_COLUMNS, "NO_COLOR": "1"}
    command = f"{name} {' '.join(options)}"
    try:
        done = subprocess.run(
            [program, *options], capture_output=True, text=True, env=environment, timeout=SECONDS
        )
    except FileNotFoundError:
        raise GenerateError(f"{name} is not installed beside {sys.executable}; run: make env") from None
    except subprocess.TimeoutExpired:
        raise GenerateError(f"`{command}` did not end within {SECONDS} seconds.") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise GenerateError(f"`{command}` ended with exit code {done.returncode} ({last}).")
    return done.stdout


def table(schema: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table of config keys."""
    rows = [
        (f"`{key.path}`", key.type, key.default, "yes" if key.is_required else "", key.description)
        for key in config_keys(schema)
    ]
    head = ("key", "type", "default", "required", "description")
    return [line(head), line(["---"] * len(head)), *map(line, rows)]


def line(cells: Any) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def config_keys(schema: Mapping[str, Any]) -> list[Key]:
    """Return every key of a config schema, nested ones after the one they stand in.

    A group of keys that stands in several places is shown where it comes first, and pointed to from the others.
    """
    return list(_keys_inside(schema, "", {}))


def _keys_inside(schema: Mapping[str, Any], prefix: str, seen: dict[str, str]) -> Iterator[Key]:
    required = schema.get("required", ())
    for name, value in schema.get("properties", {}).items():
        path = prefix + name
        groups = list(_groups(value, path))
        known = [seen.get(_fingerprint(group)) for group, _ in groups]
        description = value.get("description", "").strip()
        if any(known):
            description += f" The same keys as in `{next(filter(None, known))}`."
        yield Key(path, _type(value), _default(value), name in required, description)
        for (group, where), place in zip(groups, known, strict=True):
            if place is None:
                seen[_fingerprint(group)] = path
                yield from _keys_inside(group, where, seen)


def _groups(schema: Any, path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the objects with keys of their own at, or below, a value, with the prefix of their keys."""
    if not isinstance(schema, Mapping):
        return
    if schema.get("properties"):
        yield schema, f"{path}."
    yield from _groups(schema.get("items"), f"{path}[]")
    yield from _groups(schema.get("additionalProperties"), f"{path}.*")
    for keyword in ("anyOf", "oneOf", "allOf"):
        for branch in schema.get(keyword, ()):
            yield from _groups(branch, path)


def _fingerprint(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema["properties"], sort_keys=True)


def _type(schema: Any) -> str:
    """Word the type of a value: ``string``, ``array of string``, ``one of `a`, `b```."""
    if not isinstance(schema, Mapping):
        return "any"
    if "const" in schema:
        return f"`{_plain(schema['const'])}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{_plain(item)}`" for item in schema["enum"] if item is not None)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return " or ".join(
                dict.fromkeys(_type(branch) for branch in schema[keyword] if not _is_null(branch))
            )
    given = schema.get("type", "any")
    names = [name for name in ([given] if isinstance(given, str) else given) if name != "null"]
    return " or ".join(_type_name(name, schema) for name in names)


def _type_name(name: str, schema: Mapping[str, Any]) -> str:
    if name == "array" and "items" in schema:
        return f"array of {_type(schema['items'])}"
    if name == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    if name == "string" and "format" in schema:
        return str(schema["format"])
    return name


def _is_null(schema: Any) -> bool:
    return schema == "null" or (isinstance(schema, Mapping) and schema.get("type") in ("null", ["null"]))


def _default(schema: Mapping[str, Any]) -> str:
    return f"`{_plain(schema['default'])}`" if "default" in schema else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    sys.exit(main())
