"""What is promised about the rows of files, for `--about`."""

from __future__ import annotations

from singerkit_state.delivery import Delivery, Guarantee
from tap_files.settings.stream import StreamSettings

__all__ = ["delivery_of", "kinds_of_delivery"]

_ONCE = (
    "the state names the files that were read, and how far the one was that is being read; a file that has grown is gone on with at the byte "
    "where it ended"
)
_REPLACED = "a file that was read and changed otherwise than by growing replaces its rows in one commit"
_APPENDED = "of a file that was read and changed otherwise than by growing, all rows come again beside the former ones"
_FAILS = "a file that was read and changed otherwise than by growing ends the run"


def delivery_of(settings: StreamSettings) -> Delivery:
    """Return the promise for a stream."""
    return _delivery(f"stream `{settings.name}`", settings.on_changed)


def kinds_of_delivery() -> list[Delivery]:
    """Return the promises for kinds of streams."""
    return [
        _delivery("files, with `on_changed` `replace`", "replace"),
        _delivery("files, with `on_changed` `fail`", "fail"),
        _delivery("files, with `on_changed` `append`", "append"),
    ]


def _delivery(configuration: str, on_changed: str) -> Delivery:
    if on_changed == "append":
        return Delivery(configuration, Guarantee.AT_LEAST_ONCE, f"{_ONCE}; {_APPENDED}")
    return Delivery(
        configuration, Guarantee.EXACTLY_ONCE, f"{_ONCE}; {_FAILS if on_changed == 'fail' else _REPLACED}"
    )
