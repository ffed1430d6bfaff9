"""A process that has imported both executables once and forks one for each run: start-up is paid a single time.

Run as a script with a unix socket as descriptor 0; see `processes.Zygote` for the other end. A request is one
message: JSON ``{"program", "argv", "env"}`` with the descriptors for stdin, stdout and stderr. The answers are lines
of JSON: ``{"id", "pid"}`` at once, ``{"id", "stopped"}`` when a signal stops the process, ``{"id", "status",
"maxrss"}`` at its end.

A child calls the entry point that the installed executable calls, with its `sys.argv`, and leaves as an interpreter
does: threads joined, exit functions called, streams flushed (exit code 120 if that fails).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib.metadata
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec

ENTRIES = {
    "tap-rest": "tap_rest.tap",
    "tap-files": "tap_files.tap",
    "tap-sqlite": "tap_sqlite.tap",
    "tap-postgres": "tap_postgres.tap",
    "target-postgres": "target_postgres.target",
    "target-jsonl": "target_jsonl.target",
    "target-duckdb": "target_duckdb.target",
    "singerkit-map": "singerkit_map.command",
}
LATER = (
    # What the executables import in mid-run; a missing one only makes each run slower.
    "psycopg2",
    "psycopg2.extras",
    "psycopg2.sql",
    "singerkit_state.location",
    "singerkit_state.postgres.fencing",
    "singerkit_state.postgres.store",
    "singerkit_postgres.connect",
    "target_postgres.loader",
    "target_postgres.tables",
    "target_duckdb.connect",
    "target_jsonl.loader",
    "tap_files.samples",
    "tap_sqlite.catalog",
    "tap_sqlite.database",
    "singerkit_sql_tap.looks",
    "encodings.cp1252",
    "singerkit_sql_target.loader",
    "jsonschema.validators",
    "encodings.idna",
    "encodings.utf_8_sig",
    "email.policy",
    "email.contentmanager",
    "email.headerregistry",
    "importlib_metadata._adapters",
    "importlib_metadata._text",
    "stringprep",
    "importlib.metadata",
    "http.client",
    "concurrent.futures.thread",
)


def imported(entries: Mapping[str, str]) -> dict[str, Callable[[], Any]]:
    """Import the executables, and what they import in mid-run; return their entry points by name."""
    shorten_pieces()
    mains = {name: importlib.import_module(module).main for name, module in entries.items()}
    for module in LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    # Which version is installed is asked three times a run, and takes a third of a short run's time.
    importlib.metadata.version = functools.cache(importlib.metadata.version)
    for package in ("singerkit", "singer-sdk", "singer_sdk"):
        importlib.metadata.version(package)
    with contextlib.suppress(ImportError):
        # A run of tap-rest looks through the classes of its settings for a tenth of its time; they remember it.
        msgspec.json.Decoder(importlib.import_module("tap_rest.config").ApiSettings)
    gc.collect()
    gc.freeze()
    return mains


def shorten_pieces() -> None:
    """Let tap-files read pieces of 2 KiB, and write a STATE after each, as of files a thousand times as long."""
    from tap_files.formats import contract

    contract.PIECE_BYTES = 2048  # before others take it from there
    from tap_files import streams

    streams._LEAST_BYTES, streams._STATE_SHARE = 1, 1


def serve(connection: socket.socket) -> None:
    """Fork children until the other end of ``connection`` is closed; then kill those that are left."""
    mains = imported(ENTRIES)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the harness, which closes the connection
    children: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([connection, wake_read], [], [])
        if wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            reap(connection, children)
        if connection in ready:
            data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
            if not data:
                break
            request = json.loads(data)
            pid = os.fork()
            if pid == 0:
                connection.close()
                os.close(wake_read)
                os.close(wake_write)
                be(mains[request["program"]], request, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            children[pid] = request["id"]
            say(connection, id=request["id"], pid=pid)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def reap(connection: socket.socket, children: dict[int, int]) -> None:
    """Tell of each child that has ended or was stopped."""
    while children:
        pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            say(connection, id=children[pid], stopped=True)
            continue
        code = os.waitstatus_to_exitcode(status)
        say(
            connection,
            id=children.pop(pid),
            status=code,
            maxrss=usage.ru_maxrss,
            cpu=usage.ru_utime + usage.ru_stime,
        )


def say(connection: socket.socket, **message: Any) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def be(main: Callable[[], Any], request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Be the process that was asked for, and end as it does."""
    become(request, descriptors)
    set_chunk(request.get("chunk_bytes"))
    leave(exit_code(main))


def become(request: Mapping[str, Any], descriptors: list[int]) -> None:
    """Take on environment, signals, pipes and arguments. The environment comes first: inject.c reads it at the first call."""
    os.environ.clear()
    os.environ.update(request["env"])
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.argv = [request["program"], *request["argv"]]


def set_chunk(size: int | None) -> None:
    """Let the target read ``size`` bytes at a time, as it does from a slow pipe: that keeps its units apart."""
    if size is not None:
        from singerkit_target import load
        from singerkit_wire import lines

        lines._READ_SIZE = size
        fields = load.Limits.__init__.__defaults__
        names = list(load.Limits.__dataclass_fields__)
        load.Limits.__init__.__defaults__ = tuple(  # type: ignore[misc]
            size if name == "chunk_bytes" else value for name, value in zip(names, fields or (), strict=True)
        )


def exit_code(main: Callable[[], Any]) -> int:
    """Call an entry point as a console script does: ``sys.exit(main())``."""
    try:
        code = main()
    except SystemExit as error:
        code = error.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    if code is None or isinstance(code, int):
        return int(code or 0)
    print(code, file=sys.stderr)
    return 1


def leave(code: int) -> NoReturn:
    """End the process in the order of Py_FinalizeEx, without freeing what goes with it anyway."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        code = 120
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
