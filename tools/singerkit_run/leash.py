"""Run as a script: become another program, which is sent SIGTERM when the one that started it is gone.

On Linux; elsewhere it becomes that program and nothing more. Without it the pipe of a runner that was killed would go on with nobody who
knows what its tap ends with.
"""

import os
import signal
import sys

__all__ = ["main"]

_PARENT_DEATH_SIGNAL = 1


def _on_leash(parent: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:  # it went before it could be said
        sys.exit(128 + signal.SIGTERM)


def main(parent: int, command: list[str]) -> None:
    """Become ``command``, whose first word is a path."""
    if sys.platform == "linux":
        _on_leash(parent)
    try:
        os.execv(command[0], command)  # noqa: S606  that is what it is for
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        sys.exit(126)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
