"""Follow docs/adding-a-connector.md to the letter, in a clone of its own with an environment of its own: ``make follow``.

The clone is of what is committed here. Each block of shell commands of the page is run there as it stands; the first
that fails ends it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGE = "docs/adding-a-connector.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="follow-") as folder:
        clone = Path(folder) / "singerkit"
        subprocess.run(["git", "clone", "-q", str(PROJECT), str(clone)], check=True)
        blocks = BLOCK.findall((clone / PAGE).read_text("utf-8"))
        # Settings of the make that runs this are not those of a user.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        for block in blocks:
            print(f"\n$ {block.rstrip()}", flush=True)
            begun = time.monotonic()
            done = subprocess.run(["sh", "-ec", block], cwd=clone, env=environment, check=False)
            print(f"({time.monotonic() - begun:.0f} s)", flush=True)
            if done.returncode:
                print(f"follow: this block of {PAGE} ended with {done.returncode}.", file=sys.stderr)
                return 1
    print(f"\n{len(blocks)} blocks of {PAGE} were run, each did what it says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
