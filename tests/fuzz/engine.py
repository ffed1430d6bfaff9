"""Run a fuzz target under atheris: ``python -m fuzz.engine wire -max_total_time=60 FOUND CORPUS``, as `make fuzz` does."""

from __future__ import annotations

import importlib
import sys

import atheris

OURS = [
    "singerkit_shell",
    "singerkit_state",
    "singerkit_target",
    "target_postgres",
    "target_jsonl",
    "tap_postgres",
    "fuzz",
]


def main() -> None:
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=OURS):
        target = importlib.import_module(f"fuzz.fuzz_{name}")
    atheris.Setup(sys.argv, target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
