"""Reads that go on by a token of the answers: what the last complete read ended with is sent, or is the URL that is asked.

A token is an answer to one question. Where the config asks for something else by now, it is not sent, and all is read again; so it is
when the API says that it takes it no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urljoin

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from singerkit_shell.words import counted
from tap_rest.addresses import is_url
from tap_rest.beginnings import AS_CONFIGURED, Beginning
from tap_rest.heads import by_name
from tap_rest.pages.here import IN_HEADER
from tap_rest.paths import scalar_text
from tap_rest.records import ReadPage
from tap_rest.settings.stream import StreamSettings
from tap_rest.settings.tokens import TokenSettings
from tap_rest.urls import without_params

__all__ = ["TokenReads", "paths_of_token", "token_reads"]

Ask: TypeAlias = Callable[[Mapping[str, Any] | None, Beginning], Iterator[ReadPage]]
"""Reads what is wanted besides the config (`Composer.frame`), None: all rows."""


def token_reads(settings: StreamSettings, warn: Callable[[str], None]) -> TokenReads | None:
    """Return what reads a stream that goes on by a token; None: it does not."""
    if settings.token is None:
        return None
    pagination = settings.pagination
    is_cursor = settings.token.token in (
        pagination.cursor,
        pagination.next,
        f"{IN_HEADER}{pagination.header}",
    )
    which = settings.token.token_of or ("last" if is_cursor else None)
    is_page = settings.token.param is None and pagination.type == "cursor"
    return TokenReads(settings.name, settings.token, which, warn, is_page=is_page)


def paths_of_token(settings: TokenSettings | None) -> list[str]:
    """Return the path to look up in each body."""
    return [] if settings is None or settings.token.startswith(IN_HEADER) else [settings.token]


class TokenReads:
    """Those of one stream, ``name``; ``warn`` takes a sentence.

    ``is_page``: a token is asked by as the cursor of a further page is.
    """

    def __init__(
        self,
        name: str,
        settings: TokenSettings,
        which: str | None,
        warn: Callable[[str], None],
        *,
        is_page: bool = False,
    ) -> None:
        self._is_page = is_page
        self._name, self._settings, self._which = name, settings, which
        self._warn = warn

    def pages(self, left: Any, ask: Ask, question: str) -> Iterator[ReadPage]:
        """Yield the pages behind what the last complete read has ``left``, or all of them; ``question`` is a text of what is asked for.

        Raises:
            BadDataError: no answer of a read of all rows had a token, so that no run could go on.
        """
        token = self._token(left, question)
        if token is not None:
            for page in self._with_left(ask(*self._asked_by(token)), question):
                if page.answer.taken_for == "start_over":
                    self._warn(
                        f"The API takes the token that the last run of stream {self._name} ended with no more (status "
                        f"{page.answer.status}), so all rows are read again; rows that were deleted meanwhile stay in the target."
                    )
                    break
                yield page
            else:
                return
        pages, has_token = 0, False
        for page in self._with_left(ask(None, AS_CONFIGURED), question):
            pages, has_token = pages + 1, has_token or page.is_absent or page.left is not None
            yield page
        if pages and not has_token:
            raise BadDataError(
                f"Expected a token at `{self._settings.token}` in an answer of stream {self._name}, by which the next run goes on, got none "
                f"in {counted(pages, 'page')}; correct `incremental.token`."
            )

    def _with_left(self, pages: Iterator[ReadPage], question: str) -> Iterator[ReadPage]:
        """Yield the pages of one read, each with what a later run asks by if no further page comes."""
        first: str | None = None
        for page in pages:
            token = self._token_in(page) if page.answer.taken_for is None else None
            if token is not None:
                if first is not None and token != first and self._which is None:
                    raise BadDataError(
                        f"Two answers of one read of stream {self._name} have different tokens at `{self._settings.token}`, and only one of them has "
                        'the next run go on without a gap: set `"token_of": "first"` in `incremental` if it says how far the API had come when it '
                        'answered (an `ETag`, a time), or `"last"` if it says how far the pages have come (a cursor).'
                    )
                first = first or token
                counts = first if self._which == "first" else token
                page.left = partial(_left, counts, question)
            yield page

    def _token_in(self, page: ReadPage) -> str | None:
        path = self._settings.token
        if path.startswith(IN_HEADER):
            name = path.removeprefix(IN_HEADER).strip()
            token = by_name(page.answer.headers).get(name)
        else:
            token = scalar_text(page.fields.get(path), f"`{path}` of stream {self._name}")
        if not token:
            return token
        is_url = self._settings.param is None and not self._is_page
        found = self._as_url(token, page) if is_url else token
        if redactor.knows(found):
            raise BadDataError(
                f"The token at `{path}` of stream {self._name} holds a credential that it was asked with, and a state is no place for one; nothing of the "
                "answer was written. Ask the makers of the API for tokens without, or take `incremental.token` out."
            )
        return found

    def _token(self, left: Any, question: str) -> str | None:
        """Return the token of a state; none that belongs to another question, or was edited to nothing."""
        if not isinstance(left, Mapping) or left.get("of") != question:
            return None
        token = left.get("token")
        return token if isinstance(token, str) and token else None

    def _asked_by(self, token: str) -> tuple[Mapping[str, Any], Beginning]:
        param = self._settings.param
        if self._is_page:
            return {}, Beginning(cursor=token, sends_token=True)
        if param is None:
            return {}, Beginning(url=token, sends_token=True)
        return {"token": token}, Beginning(sends_token=True)

    def _as_url(self, token: str, page: ReadPage) -> str:
        if not is_url(token) and token[0] not in "/?":
            raise BadDataError(
                f"Expected a URL at `{self._settings.token}` of stream {self._name}, since `incremental.param` is not set, got another text; "
                "set `param` to the parameter by which the API takes it."
            )
        return without_params(urljoin(page.answer.url, token), redactor.knows)  # `auth` adds its own again


def _left(token: str, question: str) -> dict[str, str]:
    return {"token": token, "of": question}
