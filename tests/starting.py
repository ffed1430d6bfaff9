"""Start our executables by forking a process that has imported them, instead of paying for the imports each time.

What is started is a process of its own, a child of the test's process: with its own pipes, environment, folder,
signals, exit code, and the entry point that the console script calls. Only the start of the interpreter is left out,
half a second of processor time. Where that is what a test is about, it is started for real: any command that is not
the path of a console script, anything that subprocess does beyond pipes, environment and folder, an environment that
an interpreter reads as it starts, and tests that ask for the fixture ``really_started``. ``SINGERKIT_START=real`` does
it for all of them; where there is no Linux it is so anyway.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["fork_executables", "really"]

ENTRIES = {
    "tap-postgres": "tap_postgres.tap",
    "tap-rest": "tap_rest.tap",
    "tap-sqlite": "tap_sqlite.tap",
    "target-postgres": "target_postgres.target",
    "target-jsonl": "target_jsonl.target",
    "target-duckdb": "target_duckdb.target",
    "singerkit-state": "singerkit_state.cli",
    "singerkit": "singerkit_cli.command",
    "singerkit-check": "singerkit_check.command",
}
BIN = Path(sys.executable).parent
READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC", "GLIBC")
"""Variables that begin so have their effect before the first line of Python."""
PR_SET_CHILD_SUBREAPER = 36
SECONDS = 120.0
"""How long a start may take, the imports of the first one included, before the tests end instead of hanging."""

_real: list[bool] = []


@contextlib.contextmanager
def really() -> Iterator[None]:
    """Start every process for real meanwhile."""
    _real.append(True)
    try:
        yield
    finally:
        _real.pop()


def fork_executables() -> None:
    """Let `subprocess` start them so from now on, in this process."""
    if sys.platform != "linux" or os.environ.get("SINGERKIT_START") == "real":
        return
    execute = subprocess.Popen._execute_child  # type: ignore[attr-defined]  # the one place that all starts pass
    names = inspect.signature(execute)
    server = Server()

    def start(process: Any, *arguments: Any, **options: Any) -> None:
        given = names.bind(process, *arguments, **options).arguments
        if _real or not is_plain(given, server.environment):
            execute(process, *arguments, **options)
            return
        pipes = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        process.pid = server.fork(given["args"], given["env"], given["cwd"], pipes)
        process._child_created = True
        process._close_pipe_fds(
            *(given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        )

    subprocess.Popen._execute_child = start  # type: ignore[attr-defined]


def is_plain(given: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Whether a start asks for nothing that a fork cannot give; ``environment`` is that of who forks."""
    args = given["args"]
    if not isinstance(args, list | tuple) or given["shell"] or given["executable"] is not None:
        return False
    program = Path(os.fsdecode(args[0]))
    if program.parent != BIN or program.name not in ENTRIES or not program.exists():
        return False
    more = ("preexec_fn", "pass_fds", "start_new_session", "gids")
    if any(given.get(name) for name in more):
        return False
    if any(given.get(name, -1) not in (None, -1) for name in ("gid", "uid", "umask", "process_group")):
        return False
    return at_start(os.environ if given["env"] is None else given["env"]) == at_start(environment)


def at_start(environment: Mapping[Any, Any]) -> dict[str, str]:
    texts = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
    texts.pop("PYTHONUNBUFFERED", None)  # what is forked writes in blocks, as it does for a user
    return {name: value for name, value in texts.items() if name.startswith(READ_AT_START) and value}


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Become the parent of processes whose parent ends meanwhile: to wait for them like any other."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class Server:
    """The process that forks, started with the first request, ended with this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.environment = dict(os.environ)  # a test may change it before the first request

    def fork(
        self, args: Any, env: Mapping[Any, Any] | None, cwd: Any, descriptors: tuple[int, int, int]
    ) -> int:
        request = {
            "argv": [os.fsdecode(word) for word in args],
            "env": {os.fsdecode(k): os.fsdecode(v) for k, v in (os.environ if env is None else env).items()},
            "cwd": os.path.abspath(os.fsdecode(cwd or ".")),
        }
        given = [number if given == -1 else given for number, given in enumerate(descriptors)]
        with self._lock:
            if self._socket is None:
                self._socket = self._started()
            data = json.dumps(request).encode() + b"\n"
            with adopting():
                sent = socket.send_fds(self._socket, [data], given)
                self._socket.sendall(data[sent:])
                answer = self._socket.recv(100)
        pid = int(answer or 0)
        if not pid:
            raise RuntimeError("the process that forks our executables has ended (tests/starting.py)")
        return pid

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(SECONDS)
        with theirs, really():
            # Nobody waits for it: it ends as soon as the other end of its socket is closed.
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        return ours


# --- in the process that forks ---------------------------------------------------------------------------------


def serve(connection: socket.socket) -> None:
    """Fork a process for each request, and tell its number once the process of the tests is its parent."""
    sys.path.insert(0, str(Path(__file__).parent))
    from faults.torture.inject import NoCompilerError
    from faults.torture.zygote import imported

    mains = imported(ENTRIES)
    try:
        fork = one_fork()
    except NoCompilerError:
        fork = fork_twice
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
        if not data:
            return
        while not data.endswith(b"\n"):
            data += connection.recv(1 << 16)
        request = json.loads(data)
        if (pid := fork()) == 0:
            os.close(connection.detach())
            be(mains, request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(str(pid).encode())


def one_fork() -> Callable[[], int]:
    """Return an `os.fork` whose child is that of an ancestor who is `adopting`.

    Raises:
        NoCompilerError: ``one_fork.c`` cannot be compiled.
    """
    from faults.torture.inject import compiled

    python = ctypes.pythonapi
    library = ctypes.PyDLL(str(compiled(Path(__file__).with_name("one_fork.c"))))

    def fork() -> int:
        python.PyOS_BeforeFork()
        pid = int(library.fork_for_ancestor())
        if pid == 0:
            python.PyOS_AfterFork_Child()
        else:
            python.PyOS_AfterFork_Parent()
        if pid < 0:
            raise OSError("no process could be forked")
        return pid

    return fork


def fork_twice() -> int:
    """The same without a compiler: the child's parent ends at once. Each fork takes 5 ms, as much as a short run."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        if (grandchild := os.fork()) == 0:
            os.close(read)
            os.close(write)
            return 0
        os.write(write, str(grandchild).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    pid = int(os.read(read, 20))
    os.close(read)
    return pid


def be(mains: Mapping[str, Any], request: Mapping[str, Any], descriptors: list[int]) -> None:
    from faults.torture import zygote

    os.chdir(request["cwd"])
    time.tzset()
    tempfile.tempdir = None
    name = Path(request["argv"][0]).name
    zygote.be(
        mains[name],
        {"program": request["argv"][0], "argv": request["argv"][1:], "env": request["env"]},
        descriptors,
    )


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
