"""`--check-configs`: many command lines tried by one process, for those who start many runs.

The first line on stdout says that this is one of singerkit's. Each line of stdin is an object with ``arguments`` and ``env``; for each one a line comes back with the ``code`` that it ends with, and what is
``said`` last. Each is tried in a fork of the process, so that none sees variables, secrets or modules of another, and the half second that
imports take is paid once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

__all__ = ["CHECK_CONFIG", "CHECK_CONFIGS", "try_each"]

CHECK_CONFIG = "--check-config"
CHECK_CONFIGS = "--check-configs"


def try_each(lines: Iterable[str], main: Callable[[], Any]) -> Iterator[str]:
    """Yield what comes of each line; ``main`` runs the command line in `sys.argv` and exits."""
    yield json.dumps({"singerkit": version("singerkit")})
    for line in lines:
        case = json.loads(line)
        code, words = _tried(case, main)
        yield json.dumps({"code": code, "said": (words.splitlines() or [""])[-1]})


def _tried(case: Mapping[str, Any], main: Callable[[], Any]) -> tuple[int, str]:
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _be(case, writing, main)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as said:
        words = said.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), words


def _be(case: Mapping[str, Any], writing: int, main: Callable[[], Any]) -> None:
    """Run a case, as the process of its own that this is; never returns."""
    code = 70
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor, goes_to in ((0, nothing), (1, nothing), (2, writing)):
            os.dup2(goes_to, descriptor)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115  those that there are know files, not pipes
        os.environ.update(case["env"])
        sys.argv[1:] = [*case["arguments"], CHECK_CONFIG]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stderr.flush()
        os._exit(code)
