"""`storage.sftp`: how an SSH server is logged in at, and how it is known to be the right one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from singerkit_shell.ssh import LOGIN, login_problem
from tap_files.settings import setting

__all__ = ["SFTP", "sftp_problems"]

SFTP: Mapping[str, Any] = setting.group(
    "SFTP, for paths like `sftp://user@host:22/folder/*.csv`. Needs `pip install 'singerkit[sftp]'`.",
    {
        **LOGIN,
        "follow_links": setting.flag(
            "Whether links are followed, those that lead to folders among them.", True
        ),
    },
)


def sftp_problems(said: Mapping[str, Any]) -> Iterator[str]:
    problem = login_problem(said, "storage.sftp") if said else None
    if problem is not None:
        yield problem
