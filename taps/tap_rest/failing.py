"""Which errors are those of one stream, so that others are read all the same; and the first pages of streams that fail."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from singerkit_shell.errors import BadDataError, NotAuthorisedError, SingerkitError
from singerkit_tap.contract import Context
from singerkit_tap.failing import IN_A_ROW
from tap_rest.answers.answer import ForbiddenError
from tap_rest.http.retries import FailingServer

__all__ = ["REFUSALS", "is_of_one_stream", "samples_of_those_that_answer"]

REFUSALS = (BadDataError, NotAuthorisedError, FailingServer)
"""What is raised where an API answers, and not with what was asked for."""
Page = TypeVar("Page")


def is_of_one_stream(error: SingerkitError) -> bool:
    """Tell whether an API that answers one question so may answer others well.

    Credentials that are refused (401), a server that does not answer, a rate limit that does not end and a config that is wrong are
    matters of all streams.
    """
    return isinstance(error, BadDataError | FailingServer | ForbiddenError)


def samples_of_those_that_answer(
    contexts: Iterable[Context | None],
    pages: Callable[[Context | None], Iterator[Page]],
    may_pass: Callable[[SingerkitError], bool],
) -> Generator[tuple[Page, Context | None], None, None]:
    """Yield the pages of each context, and pass over those that fail, as long as some do not.

    Raises:
        SingerkitError: all that were asked for failed, or ``may_pass`` says that it is no error to pass over.
    """
    first: SingerkitError | None = None
    failed, has_any = 0, False
    for context in contexts:
        try:
            for page in pages(context):
                has_any = True
                yield page, context
        except SingerkitError as error:
            if not may_pass(error):
                raise
            first, failed = first or error, failed + 1
            if failed >= IN_A_ROW:
                break
    if first is not None and not has_any:
        raise first
