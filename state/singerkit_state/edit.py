"""Changes to a STATE value: the whole of it, or the part of one stream. Pure: texts in, texts out.

The part of a stream is what stands under ``bookmarks.<stream>``; in the states of taps that keep none by stream there, at
the top level under its name, where it can be seen and forgotten, and set with the whole value only. A value that is set by hand inherits the mark of
the one it replaces, so that it still says which pipeline it belongs to.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from singerkit_shell.errors import ConfigurationError, UsageError
from singerkit_state.nostate import no_state
from singerkit_state.readas import READ_AS
from singerkit_state.statefile import state_object
from singerkit_state.value import decode, encode, is_empty, read_mark, with_mark, without_mark

__all__ = [
    "given_part",
    "given_value",
    "has_part",
    "others_of",
    "part_of",
    "replaced",
    "streams_of",
    "with_stream",
    "without_streams",
]

_GIVE = "give one JSON object, the STATE value"
_RESET = "to forget a state on purpose use `singerkit-state reset`"


def streams_of(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parts of a STATE value by their streams."""
    bookmarks = (value or {}).get("bookmarks")
    return bookmarks if isinstance(bookmarks, dict) else {}


def others_of(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what stands beside the streams in a STATE value, without the mark."""
    rest = without_mark(dict(value or {}))
    if isinstance(rest.get("bookmarks"), dict):
        del rest["bookmarks"]
    return rest


def part_of(value: Mapping[str, Any] | None, stream: str) -> Any:
    """Return the part of ``stream``; UsageError, which names the streams there are, when there is none."""
    parts = _parts(value)
    if stream not in parts:
        raise UsageError(_no_stream(value, stream))
    return parts[stream]


def has_part(value: Any, stream: str) -> bool:
    """Tell whether the part of ``stream`` can be forgotten alone."""
    return isinstance(value, dict) and stream in _parts(value)


def _parts(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    streams = streams_of(value)
    return streams or {key: part for key, part in others_of(value).items() if key not in _NO_STREAMS}


_NO_STREAMS = frozenset({"bookmarks", "currently_syncing"})


def _no_stream(value: Mapping[str, Any] | None, stream: str) -> str:
    streams = _parts(value)
    if streams and not streams_of(value):
        keys = ", ".join(f"`{name}`" for name in list(streams)[:20])
        return (
            f"The state keeps nothing by stream under `bookmarks`, and no `{stream}` at its top level, which has {keys}; "
            "set or forget the whole of it, without naming a stream."
        )
    near = difflib.get_close_matches(stream, streams, n=1)
    meant = f"did you mean `{near[0]}`? Its" if near else "its"
    known = ", ".join(f"`{name}`" for name in list(streams)[:20]) or "none"
    return (
        f"The state has no stream `{stream}`; {meant} streams: {known}{' and others' * (len(streams) > 20)}."
    )


def given_value(text: str, source: str) -> dict[str, Any]:
    """Return the STATE value that a user gave; ``source`` names it in errors.

    Raises:
        ConfigurationError: it is not a state object.
        UsageError: it is empty, and would forget everything.
    """
    found = no_state(text)
    if found is not None:
        raise ConfigurationError(f"The {source} is no state: it {found}; {_GIVE}.")
    value = state_object(text, source, None, _GIVE)
    if is_empty(value):
        raise UsageError(f"The {source} is an empty state; {_RESET}.")
    return value


def given_part(text: str, source: str) -> dict[str, Any]:
    """Return the part of a stream that a user gave; errors as of `given_value`."""
    try:
        part = decode(text)
    except ValueError:
        raise ConfigurationError(
            f"The {source} is not JSON; give one JSON object, the part of the stream."
        ) from None
    if not isinstance(part, dict):
        raise ConfigurationError(
            f"The {source} is JSON that is not an object; give what stands under the stream's name in `bookmarks`."
        )
    if not part:
        raise UsageError(f"The {source} is an empty object; {_RESET}.")
    return part


def replaced(value: dict[str, Any], pipeline: str | None, *, adopt: bool) -> Callable[[str | None], str]:
    """Return the edit that puts ``value`` in the place of the former one.

    ``pipeline`` is that of the place, if the place knows; ``adopt`` takes over the value of another pipeline. The
    edit raises ConfigurationError for a value of another pipeline.
    """

    def edit(former: str | None) -> str:
        inherited = read_mark(_decoded(former))
        mark = read_mark(value) or inherited
        here = pipeline or (inherited.pipeline if inherited else None)
        if mark is None:
            return encode(value)
        if here is not None and mark.pipeline != here:
            if not adopt:
                raise ConfigurationError(
                    f"The value belongs to the pipeline `{mark.pipeline}`, and the place to the pipeline `{here}`; "
                    "nothing was changed: give a value of that pipeline, or `--adopt` to take this one over."
                )
            mark = dataclasses.replace(mark, pipeline=here)
        return encode(with_mark(value, mark))

    return edit


def with_stream(stream: str, part: dict[str, Any], *, is_new: bool = False) -> Callable[[str | None], str]:
    """Return the edit that replaces the part of ``stream``, or adds it where ``is_new``, or where there is none at all.

    How the stream was read stays, unless ``part`` says it: that holds of the rows in the target, wherever the bookmark goes.

    The edit raises UsageError for a stream that is not there: a misspelt one would have no effect.
    """

    def edit(former: str | None) -> str:
        value = _object(former)
        if streams_of(value) and not is_new and stream not in streams_of(value):
            raise UsageError(f"{_no_stream(value, stream)} Nothing was changed; to add it give `--new`.")
        if not streams_of(value) and _parts(value) and not is_new:
            raise UsageError(
                "The state keeps nothing by stream under `bookmarks`, where the tap would not look for it; nothing was "
                "changed: set the whole value, as `singerkit-state get` prints it."
            )
        there = streams_of(value).get(stream)
        read_as = {READ_AS: there[READ_AS]} if isinstance(there, dict) and READ_AS in there else {}
        return encode({**value, "bookmarks": {**streams_of(value), stream: {**read_as, **part}}})

    return edit


def without_streams(streams: Sequence[str]) -> Callable[[str | None], str | None]:
    """Return the edit that forgets streams; the last one leaves no state at all. UsageError for unknown ones."""

    def edit(former: str | None) -> str | None:
        value = _object(former)
        for stream in streams:
            part_of(value, stream)
        if streams_of(value):
            rest = {name: part for name, part in streams_of(value).items() if name not in streams}
            new = {**value, "bookmarks": rest}
        else:
            new = {name: part for name, part in value.items() if name not in streams}
        return None if is_empty(new) else encode(new)

    return edit


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    return state_object(text, "state that is there", None, "set a whole value, or reset it")


def _decoded(text: str | None) -> Any:
    try:
        return None if text is None else decode(text)
    except ValueError:  # torn: nothing to inherit from it
        return None
