"""What the `preview` of every tap has in common: which streams it shows, and how it ends."""

from __future__ import annotations

from collections.abc import Collection

from singerkit_shell.errors import SingerkitError, UsageError
from singerkit_shell.validate import nearest

__all__ = ["NotAllReadable", "check_streams"]


class NotAllReadable(SingerkitError):
    """A stream would have ended a run; its sentence has been printed where it belongs."""

    def __init__(self, code: int) -> None:
        super().__init__("Not every stream can be read as the config stands: see what is said above.")
        self.exit_code = code


def check_streams(names: Collection[str], known: Collection[str]) -> None:
    """See that streams that somebody names are there.

    Raises:
        UsageError: one is not.
    """
    for name in names:
        if name not in known:
            near = nearest(name, sorted(known))
            raise UsageError(f"There is no stream `{name}`{f'; did you mean `{near}`?' if near else '.'}")
