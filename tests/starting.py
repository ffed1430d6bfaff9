"""Start our executables by forking a process that has imported them, instead of paying for the imports each time.

What is started is a process of its own, a child of the test's process: with its own pipes, environment, folder,
signals, exit code, and the entry point that the console script calls. Only the start of the interpreter is left out,
half a second of processor time. Where that is what a test is about, it is started for real: any command that is not
the path of a console script, anything that subprocess does beyond pipes, environment and folder, an environment that
an interpreter reads as it starts, and tests that ask for the fixture ``really_started``. ``SINGERKIT_START=real`` does
it for all of them; where there is no Linux it is so anyway.

What `singerkit run` starts is forked, too, by a process that is forked from it before it has threads (`forking`).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import inspect
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["alone", "fork_executables", "really"]

ENTRIES = {
    "tap-files": "tap_files.tap",
    "tap-postgres": "tap_postgres.tap",
    "tap-rest": "tap_rest.tap",
    "tap-sqlite": "tap_sqlite.tap",
    "target-postgres": "target_postgres.target",
    "target-jsonl": "target_jsonl.target",
    "target-duckdb": "target_duckdb.target",
    "singerkit-state": "singerkit_state.cli",
    "singerkit": "singerkit_cli.command",
    "singerkit-map": "singerkit_map.command",
    "singerkit-check": "singerkit_check.command",
}
BIN = Path(sys.executable).parent
SCRIPTS = {
    str(Path(__file__).parent / "taps" / "shared" / name): name for name in ("tap_example.py", "tap_log.py")
}
"""Taps of the tests, run by an interpreter; each run has a process of its own, since nothing of them is put back."""
READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC", "GLIBC")
"""Variables that begin so have their effect before the first line of Python."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
AT_START = dict(os.environ)
SECONDS = 120.0
"""How long a start may take, the imports of the first one included, before the tests end instead of hanging."""

RUNS = 200
"""A process ends after so many runs: what little each leaves in memory would add up."""

_real: list[bool] = []
_alone: list[bool] = []


@contextlib.contextmanager
def really() -> Iterator[None]:
    """Start every process for real meanwhile."""
    _real.append(True)
    try:
        yield
    finally:
        _real.pop()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Fork a process for each run meanwhile that had none before, and ends with it: for who waits for its end by itself, or measures it."""
    _alone.append(True)
    try:
        yield
    finally:
        _alone.pop()


def fork_executables() -> None:
    """Let `subprocess` start them so from now on, in this process."""
    if sys.platform != "linux" or os.environ.get("SINGERKIT_START") == "real":
        return
    execute = subprocess.Popen._execute_child  # type: ignore[attr-defined]  # the one place that all starts pass
    names = inspect.signature(execute)
    server = Server()
    if os.environ.get("SINGERKIT_START") == "alone":
        _alone.append(True)
    os.register_at_fork(after_in_child=server.idle.clear)

    def start(process: Any, *arguments: Any, **options: Any) -> None:
        given = names.bind(process, *arguments, **options).arguments
        args = given["args"]
        if is_script := len(args) > 1 and args[0] == sys.executable and args[1] in SCRIPTS:
            args = args[1:]
        if _real or not is_plain({**given, "args": args}, server.environment):
            execute(process, *arguments, **options)
            return
        pipes = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        more = {"alone": True} if is_script else {}
        runner = server.run(args, given["env"], given["cwd"], pipes, **more)
        runner.attend(process)
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
    is_known = program.parent == BIN and program.name in ENTRIES and program.exists()
    if not is_known and str(program) not in SCRIPTS:
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


class Runner:
    """A process that runs one executable after the other, each as if it were alone in it, until one leaves something behind."""

    def __init__(self, pid: int, connection: socket.socket, idle: list[Runner]) -> None:
        self._pid = pid
        self._connection = connection
        self._idle = idle

    def __del__(self) -> None:
        self._connection.close()

    def takes(self, request: bytes, descriptors: list[int]) -> bool:
        """Hand a run to it; False if it has ended meanwhile."""
        try:
            sent = socket.send_fds(self._connection, [request], descriptors)
            self._connection.sendall(request[sent:])
        except OSError:
            self._connection.close()
            os.waitpid(self._pid, 0)
            return False
        return True

    def attend(self, process: Any) -> None:
        """Let ``process`` end when its run does: with the code that the runner tells, or as the runner has ended."""
        process.pid = self._pid

        def poll(_deadstate: int | None = None) -> int | None:
            with process._waitpid_lock:
                if process.returncode is None and self._has_news(0):
                    process.returncode = self._code()
            return process.returncode  # type: ignore[no-any-return]

        def wait(timeout: float | None) -> int | None:
            if process.returncode is None:
                if not self._has_news(timeout):
                    raise subprocess.TimeoutExpired(process.args, timeout or 0)
                poll()
            return process.returncode  # type: ignore[no-any-return]

        process._internal_poll, process._wait = poll, wait

    def _has_news(self, timeout: float | None) -> bool:
        news = select.poll()
        news.register(self._connection, select.POLLIN)
        return bool(news.poll(None if timeout is None else max(0, timeout) * 1000))

    def _code(self) -> int:
        try:
            told = self._connection.recv(20)
        except OSError:
            told = b""
        if told:
            self._idle.append(self)
            return int(told)
        self._connection.close()
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


class Server:
    """The process that forks runners, started with the first request, ended with this process."""

    def __init__(self, connection: socket.socket | None = None) -> None:
        """``connection``: to one that runs already."""
        self._lock = threading.Lock()
        self._socket = connection
        self.idle: list[Runner] = []
        self.environment = dict(os.environ)  # a test may change it before the first request

    def run(
        self,
        args: Any,
        env: Mapping[Any, Any] | None,
        cwd: Any,
        descriptors: tuple[int, int, int],
        **more: Any,
    ) -> Runner:
        request = {
            "argv": [os.fsdecode(word) for word in args],
            "env": {os.fsdecode(k): os.fsdecode(v) for k, v in (os.environ if env is None else env).items()},
            "cwd": os.path.abspath(os.fsdecode(cwd or ".")),
            "alone": bool(_alone),
            **more,
        }
        given = [number if given == -1 else given for number, given in enumerate(descriptors)]
        data = json.dumps(request).encode() + b"\n"
        while True:
            with self._lock:
                runner = self.idle.pop() if self.idle and not request["alone"] else self._fork()
            if runner.takes(data, given):
                return runner

    def _fork(self) -> Runner:
        if self._socket is None:
            self._socket = self._started()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, adopting():
            socket.send_fds(self._socket, [b"."], [theirs.fileno()])
            answer = self._socket.recv(100)
        pid = int(answer or 0)
        if not pid:
            raise RuntimeError("the process that forks our executables has ended (tests/starting.py)")
        return Runner(pid, ours, self.idle)

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
    """Fork a runner for each request, and tell its number once the process of the tests is its parent."""
    sys.path.insert(0, str(Path(__file__).parent))
    from faults.torture.inject import NoCompilerError
    from faults.torture.zygote import imported
    from undoing import Undoing

    mains = imported({**ENTRIES, **{name: f"taps.shared.{name[:-3]}" for name in SCRIPTS.values()}})
    undoing = Undoing()
    gc.collect()
    gc.freeze()
    try:
        fork = one_fork()
    except NoCompilerError:
        fork = fork_twice
    fork_each(connection, fork, lambda its: be_runner(mains, undoing, its, fork))


def fork_each(
    connection: socket.socket, fork: Callable[[], int], be: Callable[[socket.socket], NoReturn]
) -> None:
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        if not data:
            return
        if (pid := fork()) == 0:
            os.close(connection.detach())
            be(socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])
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


def be_runner(
    mains: Mapping[str, Any], undoing: Any, connection: socket.socket, fork: Callable[[], int]
) -> NoReturn:
    """Run what is asked for until there is nothing more, or a run leaves something behind: that ends its process."""
    from faults.torture import zygote

    undoing.start()
    for left in reversed(range(RUNS)):
        request, descriptors = received(connection)
        if request is None:
            break
        with forking(mains, request, connection, fork):
            code = run_once(mains, request, descriptors)
        if request["alone"] or not left or not is_written() or not undoing.is_clean():
            zygote.leave(code)
        let_go()
        connection.sendall(str(code).encode())
        undoing.undo(Path(request["argv"][0]).name)
    os._exit(0)


def received(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    while data and not data.endswith(b"\n"):
        data += connection.recv(1 << 16)
    return (json.loads(data) if data else None), descriptors


# --- what a runner's own run starts ----------------------------------------------------------------------------


@contextlib.contextmanager
def forking(
    mains: Mapping[str, Any], request: Mapping[str, Any], connection: socket.socket, fork: Callable[[], int]
) -> Iterator[None]:
    """Let the executables that `singerkit run` starts be forked, by a process that is like this one before the run."""
    if [Path(request["argv"][0]).name, *request["argv"][1:2]] != ["singerkit", "run"]:
        yield
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    if (pid := os.fork()) == 0:
        # Nothing that ends with the run is held here, and no signal to its group ends this.
        os.dup2(theirs.fileno(), connection.fileno())
        ours.close()
        let_go()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        fork_each(theirs, fork, lambda its: be_led(mains, its))
        os._exit(0)
    theirs.close()
    server = Server(ours)
    server.environment = AT_START
    execute = subprocess.Popen._execute_child  # type: ignore[attr-defined]
    names = inspect.signature(execute)

    def start(process: Any, *arguments: Any, **options: Any) -> None:
        given = names.bind(process, *arguments, **options).arguments
        args = given["args"]
        is_led = list(args[:3]) == [sys.executable, "-I", "-S"] and given["start_new_session"]
        if not is_led or not is_plain({**given, "args": args[5:], "start_new_session": False}, AT_START):
            execute(process, *arguments, **options)
            return
        pipes = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        runner = server.run(args[5:], given["env"], given["cwd"], pipes, alone=True)
        runner.attend(process)
        process._child_created = True
        process._close_pipe_fds(
            *(given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        )

    subprocess.Popen._execute_child = start  # type: ignore[attr-defined]
    try:
        yield
    finally:
        subprocess.Popen._execute_child = execute  # type: ignore[attr-defined]
        ours.close()
        os.waitpid(pid, 0)


def be_led(mains: Mapping[str, Any], connection: socket.socket) -> NoReturn:
    """Be an executable as `singerkit_run.leash` becomes it: in a session of its own, told to end when its parent has."""
    from faults.torture import zygote

    request, descriptors = received(connection)
    assert request is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    zygote.leave(run_once(mains, request, descriptors))


def is_written() -> bool:
    """Whether all that was printed has gone out."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return False
    return True


def let_go() -> None:
    """Of its pipes, which others wait for the end of, and its folder."""
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)


def run_once(mains: Mapping[str, Any], request: Mapping[str, Any], descriptors: list[int]) -> int:
    from faults.torture import zygote

    os.chdir(request["cwd"])
    zygote.become(
        {"program": request["argv"][0], "argv": request["argv"][1:], "env": request["env"]}, descriptors
    )
    time.tzset()
    tempfile.tempdir = None
    return zygote.exit_code(mains[Path(request["argv"][0]).name]) & 0xFF


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
