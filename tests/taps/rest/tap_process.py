"""Start tap-rest as a process of its own in a few milliseconds.

singer-sdk takes half a second to import, and these tests start the tap some three hundred times. So Python's fork
server imports it once, and each run is a fork of that: a real process with its own memory, standard streams,
signals and exit code, which then does exactly what the console script does. `test_command_line.py` runs the
console script itself.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

_context = multiprocessing.get_context("forkserver")


def start(
    arguments: Sequence[str], environment: Mapping[str, str], stdout: Path, stderr: Path
) -> BaseProcess:
    """Return the running process; ``environment`` is added to that of the tests."""
    _context.set_forkserver_preload(["tap_rest.tap", "jsonpath_ng.ext.parser", "taps.rest.tap_process"])
    process = _context.Process(target=_become_tap, args=(list(arguments), dict(environment), stdout, stderr))
    process.start()
    return process


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    seconds: float = 60,
) -> int:
    """Run to the end and return the exit code (-9 where a signal ended it); killed after ``seconds``."""
    process = start(arguments, environment, stdout, stderr)
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"tap-rest did not end within {seconds} s: {stderr.read_text()[-2000:]}")
    return process.exitcode


def _become_tap(arguments: list[str], environment: dict[str, str], stdout: Path, stderr: Path) -> None:
    for path, stream in ((stdout, 1), (stderr, 2)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, stream)
        os.close(handle)
    os.environ.update(environment)
    sys.argv = ["tap-rest", *arguments]
    from tap_rest.tap import main

    main()
