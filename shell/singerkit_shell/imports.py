"""While an executable imports, Ctrl-C ends it as SIGTERM does: at once, and without a traceback.

Half a second goes by before its own code runs, in which Python would raise KeyboardInterrupt wherever it is. The garbage
collector would take a tenth of it: what is made then stays.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

from singerkit_shell.late import put_off, take_away

__all__ = ["begin_importing", "end_importing"]

_FIRST = 1
"""The process of a container, or of a namespace, that was started first."""


def begin_importing(executable: str, *, asks_http: bool = False) -> None:
    """Let SIGINT have its default action, no garbage be collected, and what is not needed be left out, if ``executable`` was started.

    Called before the other imports. ``asks_http``: its runs need the packages by which singer-sdk asks an API.
    """
    is_ours = bool(sys.argv) and os.path.basename(sys.argv[0]).removesuffix(".exe") == executable
    if is_ours:
        gc.disable()
        put_off(asks_http=asks_http)
    if is_ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if is_ours and os.getpid() == _FIRST:
        _end_by_signals()


def _end_by_signals() -> None:
    """Do by hand what signals do elsewhere: the kernel keeps those from the first process of a container that it does not handle.

    Without this `podman stop` and the end of a pod would wait until they kill it, where it comes before the run looks at signals.
    """

    def end(signum: int, _frame: object) -> None:
        os._exit(128 + signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(signum) is signal.SIG_DFL:
            signal.signal(signum, end)


def end_importing() -> None:
    """Let SIGINT raise KeyboardInterrupt again, from here on there is somebody who words it; and garbage be collected.

    What was imported stays, so it is not looked at for any: that would be the first thing that the collector does.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    take_away()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
