"""From the file of a hook to an object of its class, one for all streams that name it alike."""

from __future__ import annotations

import linecache
import sys
import threading
from types import ModuleType
from typing import Any

from singerkit_shell.saying import heard, listen
from tap_rest.hook.calls import Hooked, HookError, failure_of
from tap_rest.hook.saying import said_by
from tap_rest.masking import register_secrets_inside
from tap_rest.settings.hook import HookSettings, text_of
from tap_rest.settings.stream import StreamSettings

__all__ = ["Hooks"]


class Hooks:
    """The hooks of one run."""

    def __init__(self) -> None:
        self._made: list[tuple[HookSettings, Any, threading.RLock]] = []

    def of(self, stream: StreamSettings) -> Hooked | None:
        """Return what calls the hook of a stream; None: it has none.

        Raises:
            HookError: its file cannot be run.
        """
        settings = stream.hook
        if settings is None:
            return None
        for known, instance, lock in self._made:
            if known == settings:
                return Hooked(settings, instance, stream.name, lock)
        instance, lock = _made_of(settings), threading.RLock()
        self._made.append((settings, instance, lock))
        return Hooked(settings, instance, stream.name, lock)


def _made_of(settings: HookSettings) -> Any:
    """Run the file and return an object of its class."""
    text = text_of(settings.file)
    register_secrets_inside(settings.settings)
    module = ModuleType("tap_rest_hook")
    module.__file__ = settings.file
    listen(said_by())
    sys.modules[module.__name__] = module  # where dataclasses look for their own
    linecache.cache[settings.file] = len(text), None, text.splitlines(keepends=True), settings.file
    try:
        with heard(said_by(settings.path)):
            exec(compile(text, settings.file, "exec"), vars(module))  # noqa: S102  the config names it to be run
            made = module.Hook
            return made(dict(settings.settings)) if settings.takes_settings else made()
    except (Exception, SystemExit) as error:
        raise HookError(failure_of(error, settings, "cannot be run", "nothing was asked")) from error
