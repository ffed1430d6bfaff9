"""The file that holds a STATE value: atomic write, lock beside it (DESIGN 5 "Resuming", FAULTS S1-S4, P9).

A reader sees the old state or the new one, never a part. A write is temp file, fsync, rename, fsync of the
folder; whatever fails before the rename leaves the old file as it was.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import platform
import secrets
import stat
import time
import types
from datetime import UTC, datetime
from typing import Any

from singerkit_shell.configfile import does_not_answer, read_bytes, reason_of
from singerkit_shell.configtext import RepeatedKeyError, without_repeats
from singerkit_shell.errors import (
    CannotWriteError,
    ConfigurationError,
    LockHeldError,
    RetryableError,
    SingerkitError,
)
from singerkit_shell.nesting import is_deep
from singerkit_state.nostate import no_state
from singerkit_state.value import decode, encode, is_empty, is_utf8, read_mark

try:
    import fcntl as _fcntl
except ImportError:  # not a POSIX platform
    fcntl: types.ModuleType | None = None
else:
    fcntl = _fcntl

__all__ = [
    "LONGEST",
    "StateFileLock",
    "cannot_read",
    "check_folder",
    "check_replaceable",
    "check_text",
    "holder_of",
    "read",
    "remove",
    "replace_file",
    "state_object",
    "sync_folder",
    "text_in",
    "why_no_start",
    "write",
]

logger = logging.getLogger(__name__)

_LOOKS, _LOOK_SECONDS = 3, 0.01
"""Who only looks whether a lock is held (`holder_of`) has it for an instant: that is no run."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Where others may write, too, a link that one of them has put there must not be written through."""

_OF_STATES = ("state file", "manifest", "history")
"""Files that a run goes on from."""

_SIGNED = b'{"pid":'
"""What a lock file of ours begins with, as far as its holder has come."""

LONGEST = 256 << 20
"""Bytes of a state."""

_LEVELS = 200
"""Objects and lists within each other in a state: less than anything that walks one can take, wherever it is called."""

_WAY_OUT = (
    "restore it from a copy, or let the target write what it has committed into it with its `--last-state`; without the "
    "file everything is read and loaded again"
)


def read(path: str | os.PathLike[str], pipeline: str | None = None) -> dict[str, Any] | None:
    """Return the STATE value in ``path``; None when there is no such file, which is a first run.

    Raises:
        ConfigurationError: the file cannot be read, is empty, torn, not a JSON object, or belongs to another
            pipeline than ``pipeline`` (when both are known); there is no folder that it could be in.
    """
    text = text_in(path)
    if text is None:
        check_folder(path)
        return None
    check_text(path, text)
    return state_object(text, f"state file {path}", pipeline, _WAY_OUT)


def text_in(path: str | os.PathLike[str]) -> str | None:
    """Return what is in a state file, decoded with ``surrogateescape``; None when there is no such file.

    Raises:
        ConfigurationError: it cannot be read, or is too large.
        RetryableError: its disk does not answer.
    """
    try:
        return read_bytes(os.fspath(path), LONGEST).decode("utf-8-sig", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise ConfigurationError(
            f"The state file {path} is a folder; name a file. A target that keeps its state in that folder writes it into "
            "the file with its `--last-state --state-file FILE`."
        ) from None
    except (OSError, ValueError) as error:
        raise cannot_read(f"state file {path}", error, "check the path and its permissions.") from None


def cannot_read(what: str, error: Exception, way_out: str) -> SingerkitError:
    """Return why a file that runs go on from cannot be read; ``way_out``: what to do, unless it is its disk that does not answer."""
    said = f"The {what} cannot be read ({reason_of(error)}); nothing was read or written"
    if does_not_answer(error):
        return RetryableError(
            f"{said}, and it stays as it is: mend its disk, or the way to that, then run again."
        )
    return ConfigurationError(f"{said}: {way_out}")


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """See that what stands in the place of a state file, if anything does, may be a state.

    Whoever writes a state file calls this before the first write: a mistyped path must not cost somebody his config.

    Raises:
        ConfigurationError: it is certainly none (`nostate.no_state`), or cannot be read.
    """
    if not os.path.isfile(path):  # `_existing` is about other things than files
        return
    check_text(path, text_in(path) or "")


def check_text(path: str | os.PathLike[str], text: str) -> None:
    """See that the text in a state file may be a state; ConfigurationError when it is certainly none."""
    if not text and _is_device(path):
        raise ConfigurationError(
            f"The state file {path} is a device that holds nothing; nothing was read or changed: name a file, or give no "
            "state to start from the beginning."
        )
    found = no_state(text)
    if found is not None:
        raise ConfigurationError(
            f"The state file {path} is no state: it {found}; nothing was changed: name the path of the state."
        )


def _is_device(path: str | os.PathLike[str]) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


def check_folder(path: str | os.PathLike[str]) -> None:
    """See that a state file could be made: a mistyped path must not be a first run each time.

    Raises:
        ConfigurationError: the folder of the state file does not exist.
    """
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise ConfigurationError(
            f"The folder {folder} of the state file {path} does not exist; make it or name another."
        )


def state_object(text: str, where: str, pipeline: str | None, way_out: str) -> dict[str, Any]:
    """Return the STATE value in ``text``; ``where`` and ``way_out`` complete the sentences of errors.

    Raises:
        ConfigurationError: the text is empty, torn, not a JSON object, or of another pipeline.
    """
    if not text.strip(" \t\r\n\0"):
        raise ConfigurationError(f"The {where} is empty, a JSON object is expected; {way_out}.")
    if not is_utf8(text):
        raise ConfigurationError(f"The {where} is not UTF-8 text; {way_out}.")
    try:
        value = decode(text, without_repeats)
    except RepeatedKeyError as error:
        raise ConfigurationError(f"The {where} {error}.") from None
    except ValueError:
        raise ConfigurationError(f"The {where} {_what_is_wrong(text)}; {way_out}.") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"The {where} holds JSON that is not an object; {way_out}.")
    if value.get("type") == "STATE" and "value" in value:
        raise ConfigurationError(
            f"The {where} holds a whole STATE message; keep what stands under its key `value`, nothing else."
        )
    mark = read_mark(value)
    if mark and pipeline and mark.pipeline != pipeline:
        raise ConfigurationError(
            f"The {where} belongs to the pipeline `{mark.pipeline}`, this run to the pipeline `{pipeline}`; "
            "name the state of this pipeline, or give the run the name of that one."
        )
    return value


def why_no_start(value: Any, text: str) -> str | None:
    """Say why no run could start from a decoded STATE value, as in ``is no JSON object``; None when one can.

    Whoever takes a state asks before it is committed: what is refused when it is read is of no use to anybody.
    """
    if not isinstance(value, dict):
        return None if value is None else "is no JSON object"
    if value.get("type") == "STATE" and "value" in value:
        return "is a whole STATE message with another value in it"
    if len(text) > LONGEST // 4:  # characters of up to four bytes
        return f"is larger than {LONGEST // 4} characters"
    if text.count("{") + text.count("[") > _LEVELS and is_deep(value, _LEVELS):
        return f"is nested in more than {_LEVELS} levels"
    return None


def _what_is_wrong(text: str) -> str:
    lines = text.rstrip("\n").split("\n")
    if len(lines) > 1 and all(map(_is_json, lines)):
        return f"holds {len(lines)} states, one a line, keep the last one (tail -1)"
    return "is torn or not JSON"


def _is_json(line: str) -> bool:
    try:
        decode(line)
    except ValueError:
        return False
    return True


def write(path: str | os.PathLike[str], text: str) -> bool:
    """Replace the state in ``path`` by ``text`` (one STATE value as JSON), durably and all at once.

    An empty state (`value.is_empty`) never replaces anything but an empty one: then nothing is written and
    False is returned. The file keeps its mode and, where the process may, its owner. A symbolic link stays
    one; the file that it points to is replaced.

    Raises:
        CannotWriteError: no space, no permission, a failing disk; the old file is intact, unless the error
            says otherwise. A failed fsync is final: the next write uses another file.
        ConfigurationError: ``path`` is something else than a regular file.
        ValueError: ``text`` is not JSON; nothing was written.
    """
    target = os.path.realpath(path)
    try:
        existing = _existing(target)
        if is_empty(decode(text)) and existing is not None and not _holds_empty_state(target):
            return False
    except OSError as error:
        raise _cannot_write(path, "state file", error) from None
    replace_file(path, text.encode("utf-8"), "state file")
    return True


def replace_file(path: str | os.PathLike[str], data: bytes, what: str, *, follow: bool = True) -> None:
    """Replace a whole file, durably and all at once; ``what`` names its kind in errors. See `write`.

    Without ``follow`` a symbolic link in the file's place is replaced itself, never what it points to: for files
    whose names nobody has chosen.

    Raises:
        CannotWriteError, ConfigurationError: as `write`.
    """
    path = os.fspath(path)
    target = os.path.realpath(path) if follow else _in_real_folder(path)
    try:
        _replace(target, _existing(target, what) if follow else _no_link(target, what), data)
    except OSError as error:
        raise _cannot_write(path, what, error) from None
    try:
        sync_folder(os.path.dirname(target))
    except OSError as error:
        holds = "holds the new state" if what in _OF_STATES else "is written"
        raise CannotWriteError(
            f"The {what} {path} {holds}, but its folder cannot be synced ({_reason(error)}): "
            "a power failure may bring the old one back; check the disk and run again."
        ) from None


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a state file durably, so that the next run is a first run; does nothing when there is none.

    Raises:
        CannotWriteError: it cannot be removed.
        ConfigurationError: ``path`` is something else than a regular file.
    """
    target = os.path.realpath(path)
    try:
        if _existing(target) is not None:
            os.unlink(target)
            sync_folder(os.path.dirname(target))
    except OSError as error:
        raise _cannot_write(path, "state file", error) from None


def _cannot_write(path: str | os.PathLike[str], what: str, error: OSError) -> CannotWriteError:
    if what in _OF_STATES:
        return CannotWriteError(
            f"The {what} {path} cannot be written ({_reason(error)}); it holds the state from before, "
            "make room or check the permissions of its folder and run again to continue from there."
        )
    return CannotWriteError(
        f"The {what} {path} cannot be written ({_reason(error)}); what was there before is unchanged: make room or check the permissions of its folder, then run again."
    )


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _existing(target: str, what: str = "state file") -> os.stat_result | None:
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):  # renaming over a device or a folder would destroy it
        raise ConfigurationError(f"The {what} {target} is not a regular file; name another path.")
    return found


def _in_real_folder(path: str) -> str:
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _no_link(target: str, what: str) -> os.stat_result | None:
    """As `_existing`; a link counts for nothing, not even its mode."""
    return None if os.path.islink(target) else _existing(target, what)


def _holds_empty_state(target: str) -> bool:
    try:
        with open(target, encoding="utf-8-sig") as file:
            return is_empty(decode(file.read()))
    except ValueError:  # torn: whatever it was, an empty state is no better
        return False


def _replace(target: str, existing: os.stat_result | None, data: bytes) -> None:
    folder, name = os.path.dirname(target), f"{_temporary_prefix(target)}{secrets.token_hex(6)}.tmp"
    temporary = os.path.join(folder, name)
    # O_EXCL also refuses a link that somebody put there; the mode is the umask's, like that of any new file.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            if existing is not None:
                _adopt(descriptor, existing)
            _write_all(descriptor, data if data.endswith(b"\n") else data + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):  # the first failure is the one to report
            os.unlink(temporary)
        raise


def _temporary_prefix(target: str) -> str:
    # A name of 255 bytes is still a legal state file: the prefix leaves room for the rest.
    name = os.fsencode(os.path.basename(target))[:200]
    return "." + name.decode("utf-8", errors="ignore") + "."


def _adopt(descriptor: int, existing: os.stat_result) -> None:
    """Give the new file owner and mode of the old one."""
    if not hasattr(os, "fchown"):
        return
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (existing.st_uid, existing.st_gid):
        with contextlib.suppress(PermissionError):  # only root may give files away
            os.fchown(descriptor, existing.st_uid, existing.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(existing.st_mode))


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: str) -> None:
    """Make durable which files are in a folder."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # file systems that cannot sync a folder
            raise
    finally:
        os.close(descriptor)


class StateFileLock:
    """Lets one run at a time use a state file: a lock on ``<path>.lock`` (FAULTS P9).

    The kernel frees it when the process ends, however it ends. Symbolic links of the state file are followed, so
    that two names of one file share one lock; the lock file itself is never reached through a link, and never what
    somebody else has made. It says who holds it, and goes when the lock is released.

    Raises (on entering):
        LockHeldError: another run holds the lock; says which, where and since when.
        ConfigurationError: the folder of the state file does not exist.
        CannotWriteError: the lock file cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str], pipeline: str | None = None) -> None:
        self.path = os.fspath(path)
        self.pipeline = pipeline
        self._target = os.path.realpath(path)
        self._lock_path = self._target + ".lock"
        self._descriptor: int | None = None

    def __enter__(self) -> StateFileLock:
        check_folder(self.path)
        if fcntl is None:
            logger.warning("This platform has no file locks: do not start two runs of one pipeline at once.")
            return self
        try:
            _existing(self._target)  # never written, so not worth a run
            self._descriptor = self._take()
            self._sign(self._descriptor)
        except OSError as error:
            self._release()
            if error.errno == errno.ELOOP:
                raise self._not_ours() from None
            raise CannotWriteError(
                f"The lock file {self._lock_path} cannot be written ({_reason(error)}); "
                "nothing was read, make room or check the permissions of its folder."
            ) from None
        self._remove_remains()
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _take(self) -> int:
        assert fcntl is not None  # noqa: S101  for mypy; __enter__ has looked
        looks = _LOOKS
        while True:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_still_there(descriptor):
                    self._check_is_ours(descriptor)
                    return descriptor
                os.close(descriptor)  # the holder before us removed this file between our open and our lock
            except BlockingIOError:
                holder = os.pread(descriptor, 4096, 0).decode("utf-8", errors="replace")
                os.close(descriptor)
                looks -= 1
                if looks:
                    time.sleep(_LOOK_SECONDS)
                    continue
                raise LockHeldError(
                    f"The state file {self.path} is in use by {_describe(holder)}; "
                    "nothing was read or written, wait for that run to end or stop it."
                ) from None
            except (OSError, ConfigurationError):
                os.close(descriptor)
                raise

    def _is_still_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._lock_path))
        except FileNotFoundError:
            return False

    def _check_is_ours(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        written = os.pread(descriptor, len(_SIGNED), 0)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or written != _SIGNED[: len(written)]:
            raise self._not_ours()

    def _not_ours(self) -> ConfigurationError:
        return ConfigurationError(
            f"The file {self._lock_path} is no lock file of ours, and the state file {self.path} needs one of that name; "
            "nothing was written: move it away, or name the state file otherwise."
        )

    def _sign(self, descriptor: int) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        about = {"pid": os.getpid(), "host": platform.node(), "since": since, "pipeline": self.pipeline}
        os.ftruncate(descriptor, 0)
        _write_all(descriptor, encode(about).encode("utf-8") + b"\n")

    def _remove_remains(self) -> None:
        """Remove what writers that were killed in mid-write have left; nobody else writes now."""
        folder, prefix = os.path.dirname(self._target), _temporary_prefix(self._target)
        for name in os.listdir(folder):
            if name.startswith(prefix) and name.endswith(".tmp"):
                with contextlib.suppress(OSError):  # litter, not a reason to stop
                    os.unlink(os.path.join(folder, name))

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with contextlib.suppress(OSError):  # a left-over lock file does no harm
            # Before the lock goes: who waits in between sees that the file it has opened is gone.
            if self._is_still_there(descriptor):
                os.unlink(self._lock_path)
        os.close(descriptor)


def holder_of(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what the holder of the lock of ``path`` says of itself (see `StateFileLock`); None when it is free.

    The keys are ``pid``, ``host``, ``since`` and ``pipeline``; there are none when the holder has not signed yet.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(os.path.realpath(path) + ".lock", os.O_RDONLY | _NO_LINK)
    except OSError:  # there is no lock, or it is not for us to see
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _signature(os.pread(descriptor, 4096, 0).decode("utf-8", errors="replace"))
    else:
        return None
    finally:
        os.close(descriptor)


def _signature(content: str) -> dict[str, Any]:
    try:
        about = decode(content)
    except ValueError:
        return {}
    return about if isinstance(about, dict) and about.keys() >= {"pid", "host", "since", "pipeline"} else {}


def _describe(content: str) -> str:
    try:
        about = decode(content)
        run = f"pid {about['pid']} on host {about['host']}, since {about['since']}"
        return f"another run ({run}" + (f", pipeline `{about['pipeline']}`)" if about["pipeline"] else ")")
    except (ValueError, TypeError, KeyError):  # it holds the lock, but has not signed yet
        return "another run (which has only just started)"
