"""What a run has changed in its process, undone: the next run in it finds what the first one has found.

`Undoing` notes what our modules, their classes and their instances hold, how logs and warnings are set, and which
descriptors are open. `is_clean` tells whether a run has left anything behind that only the end of a process takes
away: threads, processes, descriptors, calls for the end. `undo` puts back all the rest.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import logging
import os
import pkgutil
import signal
import sys
import threading
import types
import warnings
import weakref
from atexit import _ncallbacks as calls_for_the_end  # type: ignore[attr-defined]
from collections import deque
from collections.abc import Iterator
from typing import Any

__all__ = ["Undoing"]

OURS = ("singerkit_", "tap_", "target_")
CONNECTORS = ("tap_", "target_")
OF_NO_CONNECTOR = (
    "singerkit_check",
    "singerkit_cli",
    "singerkit_dbt",
    "singerkit_history",
    "singerkit_init",
    "singerkit_report",
    "singerkit_run",
)
DEPTH = 3
"""How far below a module a list in a dict in an instance is noted."""
SOON = 0.1
"""Seconds in which a thread ends that was told to."""
_CACHE = type(functools.cache(len))


class Undoing:
    """Made before the first run."""

    def __init__(self) -> None:
        import_all_of_ours()
        weakref.finalize(self, int).detach()  # the first one of a process is a call for the end
        self._caches: list[Any] = []
        self._noted: set[int] = set()
        self._held: dict[str, list[tuple[Any, Any]]] = {}
        self._classes: dict[type, dict[str, Any]] = {}
        self._modules = {name: module for name, module in sys.modules.items() if name.startswith(OURS)}
        # What a connector has from a package of all is noted with that package.
        for name, module in sorted(
            self._modules.items(), key=lambda one: one[0].startswith((*CONNECTORS, *OF_NO_CONNECTOR))
        ):
            self._note(vars(module), self._held.setdefault(name.partition(".")[0], []), 0)
        self._signals = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._loggers = {logger: _settings(logger) for logger in _loggers()}
        self._warnings = warnings.filters[:], warnings.showwarning, logging._warnings_showwarning  # type: ignore[attr-defined]
        self._hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
        self._gc = gc.get_threshold()
        self._umask = os.umask(0)
        os.umask(self._umask)

    def start(self) -> None:
        """Note what only a process of its own has; called in that, before its first run."""
        self._calls = calls_for_the_end()
        self._finalizers = _finalizers()
        self._descriptors = _descriptors()

    def is_clean(self) -> bool:
        """Whether a run that has come to its end may be followed by another."""
        from singerkit_shell.signals import stop_flag

        signal.set_wakeup_fd(-1)
        for end in (stop_flag._read_end, stop_flag._write_end):
            if end is not None:
                os.close(end)
        stop_flag._read_end = stop_flag._write_end = None
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join(SOON)
        if _finalizers() != self._finalizers:
            gc.collect()
        return (
            threading.active_count() == 1
            and _finalizers() == self._finalizers
            and calls_for_the_end() == self._calls
            and _descriptors() == self._descriptors
            and not _has_children()
        )

    def undo(self, program: str) -> None:
        """Put back what a run of ``program`` may have changed."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        for number, handler in self._signals.items():
            if signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
        for class_, names in self._classes.items():
            _restore_class(class_, names)
        for package, pairs in self._held.items():
            if _may_import(program, package):
                for held, kept in pairs:
                    if not _same(held, kept):
                        _put_back(held, kept)
        for cache in self._caches:
            cache.cache_clear()
        for logger in _loggers():
            _set(logger, self._loggers.get(logger, (logging.NOTSET, [], [], True, False)))
        logging.root.manager._clear_cache()  # type: ignore[attr-defined]
        warnings.filters[:], warnings.showwarning, logging._warnings_showwarning = self._warnings  # type: ignore[attr-defined, index]
        warnings._filters_mutated()  # type: ignore[attr-defined]
        warnings.onceregistry.clear()  # type: ignore[attr-defined]
        sys.excepthook, sys.unraisablehook, threading.excepthook = self._hooks
        gc.set_threshold(*self._gc)
        gc.enable()
        os.umask(self._umask)

    def _note(self, value: Any, into: list[tuple[Any, Any]], depth: int) -> None:
        if depth > DEPTH or id(value) in self._noted:
            return
        if isinstance(value, _CACHE):
            if value.__module__.startswith(OURS):  # what others remember is the same in each run
                self._caches.append(value)
        elif isinstance(value, type) and value.__module__.startswith(OURS):
            if value not in self._classes:
                self._classes[value] = dict(vars(value))
                for one in self._classes[value].values():
                    self._note(one, into, depth + 1)
        elif isinstance(value, dict | list | set | deque | bytearray):
            self._noted.add(id(value))
            into.append((value, value.copy()))
            for one in value.values() if isinstance(value, dict) else value:
                self._note(one, into, depth + 1)
        elif _is_ours(value):
            self._note(vars(value), into, depth + 1)


def _may_import(program: str, package: str) -> bool:
    """No connector imports another one, or a tool for people."""
    own = program.replace("-", "_")
    if not own.startswith(CONNECTORS):
        return True
    return package == own or not package.startswith((*CONNECTORS, *OF_NO_CONNECTOR))


def import_all_of_ours() -> None:
    """So that none is noted after a run has changed it."""
    tops = [one.name for one in pkgutil.iter_modules() if one.name.startswith(OURS)]
    for top in tops:
        package = importlib.import_module(top)
        for module in pkgutil.walk_packages(package.__path__, f"{top}.", onerror=lambda _: None):
            if not module.name.endswith("__main__") and ".suite." not in module.name:
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)


def _is_ours(value: Any) -> bool:
    kind = type(value)
    return hasattr(value, "__dict__") and (
        (kind.__module__.startswith(OURS) and not isinstance(value, type | types.ModuleType))
        or isinstance(value, threading.Event)
    )


def _same(held: Any, kept: Any) -> bool:
    try:
        return bool(held == kept)
    except Exception:  # of what does not compare: it is put back
        return False


def _put_back(held: Any, kept: Any) -> None:
    if isinstance(held, dict):
        for name in [name for name in held if name not in kept]:
            if not isinstance(
                held[name], types.ModuleType
            ):  # a module that was imported stays with its package
                del held[name]
        held.update(kept)
    elif isinstance(held, set):
        held.clear()
        held.update(kept)
    elif isinstance(held, deque):
        held.clear()
        held.extend(kept)
    else:
        held[:] = kept


def _restore_class(class_: type, names: dict[str, Any]) -> None:
    now = vars(class_)
    if now == names:
        return
    for name in [name for name in now if name not in names]:
        delattr(class_, name)
    for name, value in names.items():
        if now.get(name) is not value:
            setattr(class_, name, value)


def _loggers() -> Iterator[logging.Logger]:
    yield logging.root
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield logger


def _settings(logger: logging.Logger) -> tuple[Any, ...]:
    return logger.level, list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled


def _set(logger: logging.Logger, settings: tuple[Any, ...]) -> None:
    logger.level, handlers, filters, logger.propagate, logger.disabled = settings
    logger.handlers[:], logger.filters[:] = handlers, filters


def _descriptors() -> dict[str, str]:
    """What each descriptor above stderr is."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(FileNotFoundError):  # that of the listing
                found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _finalizers() -> int:
    """How many objects wait to be finalized, at the end of the process at the latest."""
    return len(weakref.finalize._registry)  # type: ignore[attr-defined]


def _has_children() -> bool:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return bool(file.read())
