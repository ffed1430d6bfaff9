"""Write a new connector from the one that stands here: ``python examples/connector/new.py tap|target NAME [--root FOLDER]``.

Here stand `tap-acme` and `target-acme`, which run: a store that is made up, and around it all that a connector has.
They are copied under the new name, with their drivers for the conformance suite and their first tests, and their lines
are put into ``pyproject.toml``. What is to be filled in is marked ``TODO(NAME)``.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL = "acme"


class NewError(Exception):
    """It cannot be written; the message is a sentence that says what to do."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="new.py", description="Write a new tap or target that runs.")
    parser.add_argument("kind", choices=["tap", "target"])
    parser.add_argument("name", help="of what it reads or loads: shop makes tap-shop")
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="the tree to write it into")
    given = parser.parse_args(arguments)
    try:
        written = write(given.kind, given.name.replace("-", "_"), given.root)
    except NewError as error:
        print(f"new: {error}", file=sys.stderr)
        return 1
    print(f"{given.kind}-{given.name.replace('_', '-')} is written, and runs:")
    for path in written:
        print(f"  {path.relative_to(given.root)}")
    print(
        f"  pyproject.toml: its lines. What is to be filled in: grep -rn 'TODO({given.name.replace('-', '_')})' ."
    )
    return 0


def write(kind: str, name: str, root: Path) -> list[Path]:
    """Write the connector and its lines; return the files.

    Raises:
        NewError: the name is none, or there is such a connector; nothing was written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name in ("shared", MODEL):
        raise NewError(
            f"Expected a NAME of small letters, digits and `_`, such as `shop`, got `{name}`; nothing was written."
        )
    copies = {
        HERE / f"{kind}s" / f"{kind}_{MODEL}": root / f"{kind}s" / f"{kind}_{name}",
        HERE / "tests" / f"{kind}s" / MODEL: root / "tests" / f"{kind}s" / name,
    }
    for place in copies.values():
        if place.exists():
            raise NewError(f"There is {place} already; nothing was written: take another NAME.")
    project = root / "pyproject.toml"
    lines = with_connector(project.read_text("utf-8"), kind, name)
    written = [file for model, place in copies.items() for file in copy(model, place, name)]
    project.write_text(lines, "utf-8")
    return written


def copy(model: Path, place: Path, name: str) -> list[Path]:
    files = []
    for source in sorted(path for path in model.rglob("*") if path.suffix in (".py", ".typed")):
        file = place / renamed(str(source.relative_to(model)), name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(renamed(source.read_text("utf-8"), name), "utf-8")
        files.append(file)
    return files


def renamed(text: str, name: str) -> str:
    """Return a text of the model under another name: ``tap_acme``, ``tap-acme``, ``TapAcme``, an Acme store."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    text = re.sub(rf"\b(tap|target)-{MODEL}\b", rf"\1-{name.replace('_', '-')}", text)
    return text.replace(MODEL.capitalize(), camel).replace(MODEL, name)


def with_connector(project: str, kind: str, name: str) -> str:
    """Return the text of pyproject.toml with the lines of a connector: executable, package, and whose imports are ours."""
    package, script = f"{kind}_{name}", f"{kind}-{name.replace('_', '-')}"
    project = _behind(project, rf'{kind}-[a-z0-9-]+ = "{kind}_.*"\n', f'{script} = "{package}.{kind}:main"\n')
    project = _behind(project, rf' *"{kind}s/[a-z0-9_]+",\n', f'    "{kind}s/{package}",\n')
    project = _behind(project, r"known-first-party = \[\n", f'    "{package}",\n')
    told = tomllib.loads(project)
    assert told["project"]["scripts"][script]
    assert f"{kind}s/{package}" in told["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return project


def _behind(text: str, pattern: str, line: str) -> str:
    """Put a line behind the last one of a pattern."""
    *_, last = re.finditer(rf"^{pattern}", text, re.MULTILINE)
    return text[: last.end()] + line + text[last.end() :]


if __name__ == "__main__":
    sys.exit(main())
