"""Write the corpus anew from what each fuzz target begins with: ``python -m fuzz.seeds`` in tests/."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
TARGETS = ("wire", "names", "encoder", "pgoutput")


def corpus_of(name: str) -> dict[str, bytes]:
    """The inputs of a target by the names of their files."""
    inputs = importlib.import_module(f"fuzz.fuzz_{name}").seeds()
    return {f"seed-{hashlib.sha256(data).hexdigest()[:12]}": data for data in inputs}


def main() -> None:
    for name in TARGETS:
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, data in corpus_of(name).items():
            (folder / file).write_bytes(data)


if __name__ == "__main__":
    main()
