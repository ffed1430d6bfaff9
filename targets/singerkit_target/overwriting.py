"""Streams whose complete load takes the place of what their tables had: when it may (docs/decisions/0053).

Nothing of such a load is committed before the run has come to its complete end, nor a state that says so: a run that is cut off
leaves table and state as they were, and the next one begins the load anew. So from the first row of such a stream on the run is
one unit of commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_state.reached import reached
from singerkit_state.readas import READ_AS
from singerkit_state.value import behind_map, decode, encode

__all__ = ["Overwrites", "interrupted_streams"]

_LOAD, _LOG, _OURS = "_singerkit_load", "_singerkit_log", "_singerkit_"
_OF_WHOLE_LOADS = (_LOAD, READ_AS)
"""What our taps note of a stream that each run reads as a whole; other notes are of one that goes on: by a log, a token, changed parents."""
_POSITIONS = ("xmin", "last_pk_fetched", "max_pk_values", "last_id_fetched", "ORA_ROWSCN")
"""Where a full load was interrupted, in the states of taps of databases."""


class Overwrites:
    """The overwritten streams of one run, ``of`` which it tells, and those of which it ``replaces`` sets of rows.

    ``tell`` is given a sentence and the stream it is about; ``start_over`` returns the command that forgets the state of one.
    """

    def __init__(
        self,
        of: Callable[[str], bool],
        replaces: Callable[[str], bool],
        tell: Callable[[str, str], None],
        start_over: Callable[[str], str],
    ) -> None:
        self.of, self.replaces, self._tell, self._start_over = of, replaces, tell, start_over
        self._start: Any = None
        self._declared: set[str] = set()
        self._with_rows: set[str] = set()
        self._vouched: set[str] = set()

    def awaits_end(self, stream: str) -> bool:
        """Whether rows of a stream wait for the complete end of the run."""
        return self.of(stream) or self.replaces(stream)

    def begin(self, start: Any) -> None:
        """Take the state from which the tap goes on."""
        self._start = start

    @property
    def is_open(self) -> bool:
        """Whether a load has begun, so that nothing may be committed before the end of the run."""
        return bool(self._with_rows or self._vouched)

    def begin_again(self) -> None:
        """The unit is written again."""
        self._with_rows.clear()
        self._vouched.clear()

    def declare(self, stream: str, *, marks_its_end: bool) -> None:
        """See that the run can bring all rows of a stream, and that its end is known.

        Raises:
            ConfigurationError: it cannot, or is not.
        """
        if not self.awaits_end(stream) or stream in self._declared:
            return
        if not marks_its_end:
            raise _without_mark(stream)
        part = _part(self._start, stream)
        if _is_interrupted(part):
            raise ConfigurationError(
                f"Stream `{stream}` takes the place of what was there (`load_method`), and by its state this run goes on in the middle of a load that another one "
                f"began, so that the rows before would be missing; nothing of this stream was written: run {self._start_over(stream)}, then "
                "run again."
            )
        if self.of(stream):
            self._refuse_bookmark(stream, self._start)
        self._declared.add(stream)

    def see_rows(self, stream: str) -> None:
        """Note that rows of a stream came."""
        if self.awaits_end(stream):
            self._with_rows.add(stream)

    def vouch(self, stream: str) -> None:
        """Note an ACTIVATE_VERSION of a stream: the tap says that all rows have come."""
        self._vouched.add(stream)

    def take_state(self, value: Any) -> None:
        """See that a STATE has no bookmark of an overwritten stream, from which the next run would bring the newest rows only.

        Raises:
            ConfigurationError: it has.
        """
        for stream in filter(self.of, self._declared):
            self._refuse_bookmark(stream, value)

    def _refuse_bookmark(self, stream: str, state: Any) -> None:
        if _may_be_incremental(stream, state):
            raise ConfigurationError(
                f"Stream `{stream}` is overwritten (`load_method`), and by its state a run brings what is new since the one before, or may: all "
                "other rows would go. The table is as it was: have the tap read the stream as a whole (`FULL_TABLE`; tap-rest: no "
                f"`incremental`, `conditional` or `replication_key`) and run {self._start_over(stream)}, or set its `load_method` to `upsert`, "
                "then run again."
            )

    def complete(self, streams: Collection[str], state: Any, *, marks_its_end: bool) -> Mapping[str, bool]:
        """Return the streams whose load takes the place of what was there, and of each whether rows that did not come go.

        ``streams`` are those of the run, ``state`` is its last.

        Raises:
            BadDataError: a load goes on in the next run.
            ConfigurationError: the mark was lost on the way.
        """
        found: dict[str, bool] = {}
        for stream in filter(self.awaits_end, streams):
            if not marks_its_end:
                raise _without_mark(stream)
            part = _part(state, stream)
            if _is_interrupted(part):
                raise BadDataError(
                    f"The run ended in the middle of the load of stream `{stream}`, as its state says, which takes the place of what was there (`load_method`): the "
                    "table is as it was; see why the tap ended, then run again."
                )
            if self.replaces(stream):
                if stream in self._with_rows:
                    found[stream] = True
                continue
            is_sure = stream in self._vouched or not _has_versions(part)
            if stream not in self._with_rows and stream not in self._vouched:
                self._tell(
                    f"No row of stream `{stream}` came, which is overwritten (`load_method`), and no ACTIVATE_VERSION that says that there is "
                    "none: its table stays as it was. If the source is empty, empty the table by hand.",
                    stream,
                )
                continue
            if not is_sure:
                self._tell(
                    f"The tap did not say that all rows of stream `{stream}` have come (no ACTIVATE_VERSION; it says why), so that none goes, "
                    "though it is overwritten (`load_method`): rows with a key are updated or added, those of a table without one stay as "
                    "they were.",
                    stream,
                )
            found[stream] = is_sure
        return found


def _without_mark(stream: str) -> ConfigurationError:
    return ConfigurationError(
        f"Stream `{stream}` takes the place of what was there (`load_method`), and its tap does not mark the end of its run, so that one which dies looks "
        "like one that has finished; nothing of this stream was written: set `end_of_input` to `state`, which takes a run for complete "
        "only if its last message is a STATE, then run again."
    )


def _part(state: Any, stream: str) -> Mapping[str, Any]:
    bookmarks = state.get("bookmarks") if isinstance(state, Mapping) else None
    part = bookmarks.get(stream) if isinstance(bookmarks, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _load_in(part: Mapping[str, Any]) -> Mapping[str, Any]:
    load = part.get(_LOAD)
    return load if isinstance(load, Mapping) else {}


def _has_versions(part: Mapping[str, Any]) -> bool:
    return _load_in(part).get("version") is not None


def interrupted_streams(state: str | None) -> frozenset[str]:
    """Return the streams that a state leaves in the middle of a load."""
    try:
        value = None if state is None else behind_map(decode(state))
    except ValueError:
        return frozenset()
    bookmarks = value.get("bookmarks") if isinstance(value, Mapping) else None
    names = bookmarks if isinstance(bookmarks, Mapping) else {}
    return frozenset(name for name in names if _is_interrupted(_part(value, name)))


def _is_interrupted(part: Mapping[str, Any]) -> bool:
    log = part.get(_LOG)
    if isinstance(log, Mapping) and log.get("start") is not None:
        return True
    return _load_in(part).get("position") is not None or any(
        part.get(key) is not None for key in _POSITIONS if key != "max_pk_values"
    )


def _may_be_incremental(stream: str, state: Any) -> bool:
    """Tell whether a state says of a stream how far it was read, but for the place in a full load, or may say so."""
    if not isinstance(state, Mapping):
        return False
    part = _part(state, stream)
    if any(part[key] for key in part if key.startswith(_OURS) and key not in _OF_WHOLE_LOADS):
        return True
    bookmarks = state.get("bookmarks")
    if isinstance(bookmarks, Mapping):
        state = {**state, "bookmarks": {name: _without_load(part) for name, part in bookmarks.items()}}
    return reached(encode(state)).names(stream) is not False


def _without_load(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {key: value for key, value in part.items() if not key.startswith(_OURS) and key not in _POSITIONS}
