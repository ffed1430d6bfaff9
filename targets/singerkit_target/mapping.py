"""A map in the config of a target: the parts of the input go through it before anything else looks at them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from singerkit_shell.errors import ConfigurationError
from singerkit_state.value import MARK_KEY, is_empty
from singerkit_wire.messages import Message, Run

if TYPE_CHECKING:
    from singerkit_map.mapper import Mapper

__all__ = ["MapOfTarget"]

_IN_PIPE, _IN_TARGET = "map", "target_map"


class MapOfTarget:
    """The map of one run; ``mapper`` None: there is none, and all stays as it is."""

    def __init__(self, mapper: Mapper | None, log: logging.Logger) -> None:
        self._mapper, self._log = mapper, log

    @property
    def is_empty(self) -> bool:
        return self._mapper is None

    def parts(self, parts: Iterable[Run | Message]) -> Iterable[Run | Message]:
        """Return what becomes of parts; lazily.

        Raises:
            BadDataError, ConfigurationError: as `singerkit_map.mapper.Mapper.parts`.
        """
        return parts if self._mapper is None else self._mapper.parts(parts)

    def runs(self, runs: Iterable[Run]) -> Iterator[Run | Message]:
        """Yield what becomes of runs from elsewhere, which come once more where their unit is written again.

        Raises:
            ConfigurationError: an operation of their stream remembers what came, so that they would be left out then.
        """
        for run in runs:
            if self._mapper is None:
                yield run
                continue
            if self._mapper.remembers(run.stream):
                raise ConfigurationError(
                    f"`dedupe` has no effect on the files of a BATCH (stream `{run.stream}`), which are read again where a unit is written again; nothing of it was "
                    "written: use `singerkit-map` before the target, or turn batches off in the tap."
                )
            yield from self._mapper.run(run)

    def check(self, stored: Any, start: Any) -> None:
        """Hold the stored state against the map of this run, and that of the pipe, which the first STATE tells.

        Raises:
            ConfigurationError: the map has changed, and `on_map_change` is `fail`.
        """
        if is_empty(stored):
            return
        if self._mapper is not None:
            self._mapper.check_state(stored)
        elif _said(stored, _IN_TARGET) is not None:
            self._log.warning("%s", _gone("`map` is no longer in the config"))
        if is_empty(start) or _said(stored, _IN_PIPE) == _said(start, _IN_PIPE):
            return
        gone = _said(start, _IN_PIPE) is None
        self._log.warning(
            "%s",
            _gone(
                "no `singerkit-map` is in the pipe any more"
                if gone
                else "`singerkit-map` in the pipe has another map, or is new"
            ),
        )

    def unmet(self) -> Sequence[str]:
        """Return what is to be warned of at the end of a complete run."""
        return () if self._mapper is None else self._mapper.unmet()

    def nulls(self) -> Sequence[str]:
        """Return what is to be warned of at whatever end of a run."""
        return () if self._mapper is None else self._mapper.nulls()


def _said(state: Any, name: str) -> Any:
    mark = state.get(MARK_KEY) if isinstance(state, dict) else None
    return mark.get(name) if isinstance(mark, dict) else None


def _gone(what: str) -> str:
    return (
        f"The rows of the stored state went through another way than those of this run: {what}. What was stored stays as it is; load streams anew from the "
        "beginning where all rows are to be alike."
    )
