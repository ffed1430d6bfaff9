"""The manifest of a target without transactions: what of its files is committed, and the state (DESIGN 5).

A target appends to files, syncs them, and then renames a new manifest over the old one: that is the commit. What a
run that died has left behind the committed length of a file is cut off by the next run: only where the manifest says that
it was at work on that file, and only behind an end that is still what it was. Anything else is somebody else's.

    begin(folder, pipeline, run_id)     take the folder for a run: a new epoch fences every run before it
    mine(folder, manifest)              hold the folder while doing what only its newest run may do
    commit(folder, manifest, ...)       make ``files`` and ``state`` count, if the folder is still ours

Two runs at once are kept apart by `statefile.StateFileLock` on the manifest's path. The epoch is for when that lock
has failed: a lock file removed by hand, a file system without locks, a process that was stopped for long.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from singerkit_shell.configfile import read_text
from singerkit_shell.errors import ConfigurationError, FencedError, LockHeldError, RetryableError
from singerkit_state import history, statefile
from singerkit_state.value import after, decode, encode

try:
    import fcntl as _fcntl
except ImportError:  # not a POSIX platform
    fcntl: types.ModuleType | None = None
else:
    fcntl = _fcntl

__all__ = ["HELD_SECONDS", "NAME", "Manifest", "begin", "commit", "held", "mine", "read", "write"]

logger = logging.getLogger(__name__)

NAME = "_singerkit_manifest.json"
_LONGEST = 2 * statefile.LONGEST  # bytes: a state, and lengths of files
_WAY_OUT = "restore it, or load into another folder."
HELD_SECONDS = 10.0
"""How long a commit of somebody else is waited for."""


@dataclass(frozen=True)
class Manifest:
    """What is committed. ``files`` maps file names to committed bytes, 0 for a file that is begun; ``state`` is the text of the STATE value.

    ``epoch`` counts runs, ``sequence`` counts commits; ``committed_at`` is an ISO 8601 time, None before the first.
    """

    pipeline: str
    sequence: int = 0
    state: str | None = None
    run_id: str | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    epoch: int = 0
    committed_at: str | None = None
    former: tuple[str, ...] = ()
    """Digests of the states from before, newest first (`value.after`)."""
    ends: Mapping[str, str] = field(default_factory=dict)
    """Digests of the ends of ``files``; manifests of older versions have none."""
    at_work: Mapping[str, tuple[int, str | None]] = field(default_factory=dict)
    """The files that a run writes to: the length behind which its rows stand, and the digest of the end before them.

    Where the length is 0, which file it is stands in place of the digest. A manifest of an older version is read as if a run were at work on each of its ``files``, with None for the end."""


def read(folder: Path) -> Manifest | None:
    """Return the manifest in ``folder``; None when there is none.

    Raises:
        ConfigurationError: it cannot be read, is torn, or is not ours.
        RetryableError: its disk does not answer.
    """
    path = folder / NAME
    try:
        value: Any = decode(read_text(str(path), _LONGEST))
        found = Manifest(**value | {"former": tuple(value.get("former", ()))})
        if "at_work" not in value:  # that version cut off whatever stood behind the committed length
            return dataclasses.replace(
                found, at_work={name: (length, None) for name, length in found.files.items()}
            )
        return dataclasses.replace(
            found, at_work={name: (length, end) for name, (length, end) in found.at_work.items()}
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise statefile.cannot_read(f"manifest {path}", error, _WAY_OUT) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"The manifest {path} cannot be read ({error}); nothing was written: {_WAY_OUT}"
        ) from None


def begin(folder: Path, pipeline: str, run_id: str) -> Manifest:
    """Take ``folder`` for a run of ``pipeline`` and return what is committed there. The caller holds the lock.

    The state that the run begins with goes into the history; a history that cannot be written stops no run.

    Raises:
        ConfigurationError: the manifest is torn, not ours, or of another pipeline.
        CannotWriteError: the manifest cannot be written.
    """
    with held(folder):
        found = read(folder) or Manifest(pipeline)
        if found.pipeline != pipeline:
            raise ConfigurationError(
                f"The folder {folder} belongs to the pipeline `{found.pipeline}`, and this run is of `{pipeline}`; "
                "nothing was written: load into another folder, or set `pipeline`."
            )
        _check_state(folder, found)
        _keep(folder, found, run_id)
        taken = dataclasses.replace(found, epoch=found.epoch + 1, run_id=run_id)
        write(folder, taken)
    return taken


def _check_state(folder: Path, found: Manifest) -> None:
    try:
        if found.state is not None:
            decode(found.state)
    except (ValueError, TypeError):
        raise ConfigurationError(
            f"The state in the manifest {folder / NAME} is torn or not JSON; nothing was written: set another one with "
            f"`singerkit-state set {folder}`, or forget it with `singerkit-state reset {folder}`."
        ) from None


def _keep(folder: Path, found: Manifest, run_id: str) -> None:
    if found.state is None:
        return
    path = folder / NAME
    try:
        newest = history.read(path)[:1]
        if not newest or not history.same_text(newest[0].text, found.state):
            history.append(path, history.kept_now(found.state, "run", run_id, found.epoch, found.sequence))
    except (ConfigurationError, RetryableError) as error:
        logger.warning("The state this run begins with is not kept: %s", error)


def commit(
    folder: Path,
    former: Manifest,
    state: str | None,
    files: Mapping[str, int],
    ends: Mapping[str, str] = types.MappingProxyType({}),
) -> Manifest:
    """Replace ``former``, which `begin` or this function has returned; a ``state`` of None keeps the one before.

    The caller has made the files durable. ``ends`` are those of the files that it goes on with.

    Raises:
        FencedError: the folder is not as this run has left it; nothing was committed.
        CannotWriteError: the manifest cannot be written; the former one is intact.
    """
    committed = dataclasses.replace(
        former,
        sequence=former.sequence + 1,
        state=former.state if state is None else state,
        files=dict(files),
        ends={**former.ends, **ends},
        at_work={**former.at_work, **{name: (files[name], end) for name, end in ends.items() if files[name]}},
        former=former.former if state is None else after(former.former, former.state),
        committed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    with mine(folder, former):
        write(folder, committed)
    return committed


def changed(
    folder: Path,
    found: Manifest,
    edit: Callable[[str | None], str | None],
    why: str,
    **more: Any,
) -> tuple[Manifest, int]:
    """Change the state by hand: keep ``found`` in the history, then replace it under a new epoch.

    Return the new manifest, with ``more`` changed in it, and the number that the former state has in the history. The
    caller has the folder (`held`).

    Raises:
        CannotWriteError: history or manifest cannot be written.
    """
    new = edit(found.state)
    number = history.append(
        folder / NAME, history.kept_now(found.state, why, found.run_id, found.epoch, found.sequence)
    )
    after_it = dataclasses.replace(
        found,
        epoch=found.epoch + 1,
        sequence=found.sequence + 1,
        state=new,
        former=after(found.former, found.state),
        run_id=history.by_hand(why),
        committed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        **more,
    )
    write(folder, after_it)
    return after_it, number


@contextlib.contextmanager
def mine(folder: Path, manifest: Manifest) -> Iterator[None]:
    """Hold the folder for the length of the block, in which ``manifest`` is what is committed there.

    Raises:
        FencedError: it is not: another run, or a person, has taken over.
    """
    with held(folder):
        found = read(folder)
        if found is None:
            raise _fenced(manifest, f"its manifest in {folder} is gone")
        if (found.epoch, found.sequence) != (manifest.epoch, manifest.sequence):
            raise _fenced(manifest, f"`{found.run_id}` has taken over {folder}")
        yield


def _fenced(manifest: Manifest, reason: str) -> FencedError:
    return FencedError(
        f"This run of the pipeline `{manifest.pipeline}` is fenced, {reason}; what it committed before is safe, the "
        "rest does not count, let the other run finish and then run again."
    )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep others from changing the manifest for the length of the block, which is short: they wait.

    The lock is on the folder itself, which nobody can remove and make again under a running process.

    Raises:
        LockHeldError: somebody has it for longer than `HELD_SECONDS`.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _wait_for(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, folder: Path) -> None:
    assert fcntl is not None  # noqa: S101  for mypy; `held` has looked
    end = time.monotonic() + HELD_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise LockHeldError(
                    f"The folder {folder} is held by a process in the middle of a commit for more than {HELD_SECONDS} "
                    "seconds; nothing was written: end that process, it may have been stopped, and run again."
                ) from None
            time.sleep(0.01)
        except OSError:  # file systems that cannot lock a folder
            return


def write(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest, durably and all at once; the caller has it (`held`).

    Raises:
        CannotWriteError: it cannot be written; the former one is intact.
    """
    statefile.replace_file(folder / NAME, encode(asdict(manifest)).encode("utf-8"), "manifest", follow=False)
