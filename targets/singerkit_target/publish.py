"""Tell the world about a committed STATE, and where a run starts: first the state file, then stdout."""

from __future__ import annotations

import errno
import os
import sys
from typing import IO

from singerkit_shell.errors import CannotWriteError
from singerkit_state import statefile

__all__ = ["Publisher"]


class Publisher:
    """Writes the last committed STATE value to ``--state-file`` and, a line each, to stdout."""

    def __init__(self, state_file: str | None, stdout: IO[str] | None = None) -> None:
        self.state_file = state_file
        self._stdout = stdout

    def publish(self, state: str) -> None:
        """Called after COMMIT only (SINGER-RULES G03).

        Raises:
            CannotWriteError: the file or stdout cannot be written; the state is safe in the target.
        """
        if self.state_file is not None:
            statefile.replace_file(self.state_file, state.encode(), "state file")
        try:
            self._print(state)
        except OSError as error:
            raise CannotWriteError(
                f"The state is saved in the target, and could not be printed to stdout ({error.strerror}); nothing is "
                "lost: run again with room to print, from the state that was kept before; the run then ends once more "
                "and hands over the right one."
            ) from None

    def hand_over(self, opening: str, *, to_stdout: bool = True) -> None:
        """Tell what the run starts from, before anything is committed: a state file is made, an existing one stays.

        Raises:
            CannotWriteError: the file or stdout cannot be written; nothing was written to the target.
        """
        if self.state_file is not None and not os.path.lexists(self.state_file):
            statefile.write(self.state_file, opening)
        if to_stdout:
            self._print_before(opening)

    def forget(self, opening: str) -> None:
        """Replace the state file by ``opening``, which says nothing, and print that.

        Raises:
            CannotWriteError: as `hand_over`.
        """
        if self.state_file is not None:
            statefile.replace_file(self.state_file, opening.encode(), "state file")
        self._print_before(opening)

    def _print_before(self, opening: str) -> None:
        try:
            self._print(opening)
        except OSError as error:
            raise CannotWriteError(
                f"The state that this run starts from could not be printed to stdout ({error.strerror}), so what it "
                "loads could not be told either; nothing was written: make room for it and run again."
            ) from None

    def _print(self, state: str) -> None:
        stdout = self._stdout or sys.stdout
        if stdout is None:  # it was closed by whoever started us
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        stdout.write(state + "\n")
        stdout.flush()
