"""Tell the world about a committed STATE: first the state file, then stdout."""

from __future__ import annotations

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
            statefile.write(self.state_file, state)
        stdout = self._stdout or sys.stdout
        try:
            stdout.write(state + "\n")
            stdout.flush()
        except OSError as error:
            raise CannotWriteError(
                f"The state is saved in the target, and could not be printed to stdout ({error.strerror}); "
                "nothing is lost: run again with `--state` naming the target, or with room to print."
            ) from None
