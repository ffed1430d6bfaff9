"""A look at a stream: its first page, and whether the server follows the parameter that asks for what is new."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_shell.errors import SingerkitError
from singerkit_shell.previews import Look, type_word
from singerkit_shell.words import counted
from singerkit_state.order import UnorderableError, order_key
from singerkit_tap.contract import Context, Start
from tap_rest.masking import url_of_config
from tap_rest.records.cutting import ReadPage
from tap_rest.settings.incremental import Incremental
from tap_rest.streams import RestStream

__all__ = ["look_at"]

_LONGEST_VALUE = 10_000  # characters of a value that is shown in part


def look_at(stream: RestStream, rows: int) -> Look:
    """Ask for the first page of a stream, below the first record of its parent, and judge it as a run does.

    A run that follows begins with that page, and does not ask for it again.
    """
    look = Look(stream.name)
    with _doubts_of(look):
        stream.learn_schema()
        contexts = list(islice(stream.first_contexts(), 1))
        if not contexts:
            look.notes.append("No record of the stream above has come, so that nothing was asked for.")
            return look
        hook = stream.settings.hook
        if hook is not None:
            look.notes.append(
                f"The hook {hook.path} has {', '.join(f'`{name}`' for name in hook.methods)}: what is shown is what it makes."
            )
        page = next(stream.first_pages(contexts[0]), None)
        if page is None:
            return look
        _tell(look, stream, page)
        look.rows = [_row(record) for record in page.records[:rows]]
        if not page.is_last:
            look.notes.append("Another page follows.")
        _see_that_the_filter_works(look, stream, contexts[0], page)
    return look


@contextmanager
def _doubts_of(look: Look) -> Iterator[None]:
    """Take warnings and errors for doubts; those of one stream do not keep others from being looked at."""
    heard = _Heard(look.doubts)
    logger = logging.getLogger("tap-rest")
    logger.addFilter(heard)
    try:
        yield
    except SingerkitError as error:
        look.doubts.append(str(error))
        look.code = error.exit_code
    finally:
        logger.removeFilter(heard)


class _Heard(logging.Filter):
    """Keeps warnings for the page that is printed, where they stand beside the stream that they are of."""

    def __init__(self, doubts: list[str]) -> None:
        super().__init__()
        self._doubts = doubts

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return False
        self._doubts.append(record.getMessage())
        return False


def _tell(look: Look, stream: RestStream, page: ReadPage) -> None:
    answer = page.answer
    size, seconds = len(answer.body), answer.seconds
    look.source = [
        f"{stream.settings.method} {url_of_config(answer.url)}",
        f"{answer.status}, {counted(len(page.came), 'record')}, {size:,} bytes in {seconds:.2f} s",
    ]
    look.types = {
        name: type_word(schema) for name, schema in stream.effective_schema.get("properties", {}).items()
    }


def _row(record: bytes | Raw) -> dict[str, str]:
    """Return the fields as the API wrote them; texts without their quotes, null as nothing."""
    return {
        name: _shown(bytes(value)) for name, value in msgspec.json.decode(record, type=dict[str, Raw]).items()
    }


def _shown(value: bytes) -> str:
    if value[:1] == b'"':
        return str(json.loads(value))[:_LONGEST_VALUE]
    return "" if value == b"null" else value[:_LONGEST_VALUE].decode("utf-8", "replace")


def _see_that_the_filter_works(
    look: Look, stream: RestStream, context: Context | None, page: ReadPage
) -> None:
    """Ask from the greatest value of the page on: older rows in the answer say that the parameter does nothing."""
    key, kind = stream.bookmark_key, stream.bookmark_kind
    if stream.settings.incremental is None or stream.settings.token is not None or key is None:
        return
    try:
        values = [value for value in _values_of(page, key) if value is not None]
        newest = max(values, key=lambda value: order_key(value, kind), default=None)
        if newest is None:
            return
        older = _asked_from(stream, context, newest)
        again = [value for value in _values_of(older, key) if value is not None] if older is not None else []
        order = [order_key(value, kind) for value in again]
        least = order_key(newest, kind)
    except UnorderableError as error:
        look.doubts.append(f"The values of `{key}` have no order: {error}.")
        return
    _tell_of_filter(
        look, stream.settings.incremental, sum(1 for one in order if one < least), least in order, len(order)
    )


def _tell_of_filter(look: Look, incremental: Incremental, older: int, has_newest: bool, came: int) -> None:
    """Tell what the filter does by the rows that ``came`` from the newest one on: how many are older, and whether that one is there."""
    param = incremental.param or "{bookmark}"
    exclusive = 'say `"from": "exclusive"` in `incremental`'
    rows = counted(came, "row")
    if older and not incremental.lookback and not incremental.is_exclusive:
        look.doubts.append(
            f"`{param}` seems to change nothing: asked from the newest row of the page on, {older} of "
            f"{rows} that came are older. Check `incremental` (name, `format`, `template`, `in`)."
        )
    elif not came:
        look.doubts.append(
            f"Asked by `{param}` from the newest row of the page on, no row came, not even that one: the server answers with rows "
            f"after the value only ({exclusive}), or does not understand its format."
        )
    elif not has_newest:
        look.doubts.append(
            f"Asked by `{param}` from the newest row of the page on, {rows} came, and not that one: the server answers with rows after the value only; {exclusive}, "
            "or rows that get the same value later are missed."
        )
    else:
        look.notes.append(f"`{param}` works: asked from the newest row of the page on, {rows} came.")


def _asked_from(stream: RestStream, context: Context | None, value: Any) -> ReadPage | None:
    pages = stream.asking.pages(context, stream.bookmark_asked_from(Start(value, None)), is_first=False)
    return next(pages, None)


def _values_of(page: ReadPage, key: str) -> Sequence[Any]:
    return [json.loads(bytes(record)).get(key) for record in page.records]
