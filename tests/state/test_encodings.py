"""What the state library writes is UTF-8 wherever it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_files_are_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    """Python itself complains where the locale would decide."""
    code = """
import sys
from pathlib import Path
from singerkit_state import history, manifest, statefile
folder = Path(sys.argv[1])
for text in ('{}', '{}', '{"a":"\u00e9"}', '{}'):
    statefile.write(folder / "state.json", text)
assert statefile.read(folder / "state.json") == {"a": "\u00e9"}
with statefile.StateFileLock(folder / "state.json"):
    statefile.holder_of(folder / "state.json")
taken = manifest.commit(folder, manifest.begin(folder, "p", "r1"), '{"a":"\u00e9"}', {})
assert manifest.begin(folder, "p", "r2").state == taken.state
assert history.read(folder / manifest.NAME)[0].text == taken.state
"""
    command = [
        sys.executable,
        "-X",
        "warn_default_encoding",
        "-W",
        "error::EncodingWarning",
        "-c",
        code,
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
