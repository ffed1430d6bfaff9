"""Run the real `singerkit-state`, as its users do."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conformance.processes import Outcome, run

from singerkit_state import cli

__all__ = ["TOOL", "answer", "refusal", "state_url", "tool"]

TOOL = str(Path(sys.executable).with_name("singerkit-state"))


def tool(*arguments: object, stdin: bytes = b"", expect: Sequence[int] = (0,)) -> Outcome:
    """Run it to its end; its exit code is one of ``expect``."""
    return run([TOOL, *map(str, arguments)], stdin=stdin).expect(*expect)


def refusal(code: int, *arguments: object) -> str:
    """Run it inside this process, which is quick; return its last words when it ends with ``code``."""
    with pytest.raises(SystemExit) as end, contextlib.redirect_stderr(io.StringIO()) as said:
        cli.main([str(argument) for argument in arguments])
    assert end.value.code == code, said.getvalue()
    assert said.getvalue().startswith("CRITICAL singerkit-state: ")
    assert said.getvalue().count("\n") == 1
    return said.getvalue().strip()


def answer(*arguments: object, stdin: bytes = b"", expect: Sequence[int] = (0,)) -> Any:
    """Run it and return the one line of JSON on its stdout."""
    done = tool(*arguments, stdin=stdin, expect=expect)
    assert done.stdout.endswith(b"\n")
    assert done.stdout.count(b"\n") == 1
    return json.loads(done.stdout, parse_float=Decimal)


def state_url(database: str, pipeline: str | None = "default", **parameters: str) -> str:
    """Return the state URL of a pipeline in ``database``."""
    named = ({"pipeline": pipeline} if pipeline is not None else {}) | parameters
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in named.items())
    return f"{database}{'&' if '?' in database else '?'}{query}"
