"""Reads that go on by a token of the answers: what the last complete read ended with is sent, or is the URL that is asked.

A token is an answer to one question. Where the config asks for something else by now, it is not sent, and all is read again; so it is
when the API says that it takes it no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urljoin

from singerkit_shell.errors import BadDataError
from singerkit_shell.reach import is_url
from singerkit_shell.secrets import redactor
from singerkit_shell.words import counted
from tap_rest.asking.first import AS_CONFIGURED, Beginning
from tap_rest.asking.urls import without_params
from tap_rest.http.heads import by_name
from tap_rest.pages.here import IN_HEADER
from tap_rest.paths import scalar_text
from tap_rest.records.cutting import ReadPage
from tap_rest.settings.stream import StreamSettings
from tap_rest.settings.tokens import TokenSettings

__all__ = ["Asked", "TokenReads", "paths_of_token", "token_reads"]

_STAY = "rows that were deleted meanwhile stay in the target."
Left: TypeAlias = Callable[[], Any]
Ask: TypeAlias = Callable[[Mapping[str, Any] | None, Beginning], Iterator[ReadPage]]
"""Reads what is wanted besides the config (`Composer.frame`), None: all rows."""


@dataclass(frozen=True)
class Asked:
    """Digests of what is asked for: ``of`` by the config, ``at`` which place below the parent, and ``by`` what is copied of it; None: no parent."""

    of: str
    at: str | None = None
    by: str | None = None

    def left_by(self, token: str) -> dict[str, str]:
        """Return what a state holds of a token that was an answer to this."""
        parts = {"token": token, "of": self.of, "at": self.at, "by": self.by}
        return {name: text for name, text in parts.items() if text is not None}

    def is_at_place_of(self, left: Mapping[str, Any]) -> bool:
        return left.get("at") == self.at

    def has_copies_of(self, left: Any) -> bool:
        return not isinstance(left, Mapping) or left.get("by") == self.by


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
    tells_deletions = settings.deletes is not None
    return TokenReads(
        settings.name, settings.token, which, warn, is_page=is_page, tells_deletions=tells_deletions
    )


def paths_of_token(settings: TokenSettings | None) -> list[str]:
    """Return the path to look up in each body."""
    return [] if settings is None or settings.token.startswith(IN_HEADER) else [settings.token]


class TokenReads:
    """Those of one stream, ``name``; ``warn`` takes a sentence.

    ``is_page``: a token is asked by as the cursor of a further page is. ``tells_deletions``: records may say that their row is gone.
    """

    def __init__(
        self,
        name: str,
        settings: TokenSettings,
        which: str | None,
        warn: Callable[[str], None],
        *,
        is_page: bool = False,
        tells_deletions: bool = False,
    ) -> None:
        self._is_page, self._tells_deletions = is_page, tells_deletions
        self._name, self._settings, self._which = name, settings, which
        self._warn = warn

    def pages(self, left: Any, ask: Ask, asked: Asked, *, renews: bool = False) -> Iterator[ReadPage]:
        """Yield the pages behind what the last complete read has ``left``, or all of them; ``asked`` is what is asked for now.

        ``renews``: all rows are wanted again. Which are gone is told to those who send the token alone, so that is asked first.

        Raises:
            BadDataError: no answer of a read of all rows had a token, so that no run could go on.
        """
        token, renews = self._token(left, asked), renews or not asked.has_copies_of(left)
        behind: Left | None = None
        if token is not None and (self._tells_deletions or not renews):
            for page in self._with_left(ask(*self._asked_by(token)), asked):
                if page.answer.taken_for == "start_over":
                    self._warn(
                        f"The API takes the token that the last run of stream {self._name} ended with no more (status "
                        f"{page.answer.status}), so all rows are read again; {_STAY}"
                    )
                    behind = None
                    break
                yield page
                behind = page.left or behind
            else:
                if not renews:
                    return
        yield from self._all_pages(ask, asked, behind)

    def _all_pages(self, ask: Ask, asked: Asked, behind: Left | None) -> Iterator[ReadPage]:
        """Yield all pages; ``behind``: what a read by the token has left meanwhile, from which on nothing is missed."""
        pages, has_token = 0, False
        for page in self._with_left(ask(None, AS_CONFIGURED), asked):
            pages, has_token = pages + 1, has_token or page.is_absent or page.left is not None
            page.left = behind or page.left
            yield page
        if pages and not has_token:
            raise BadDataError(
                f"Expected a token at `{self._settings.token}` in an answer of stream {self._name}, by which the next run goes on, got none "
                f"in {counted(pages, 'page')}; correct `incremental.token`."
            )

    def _with_left(self, pages: Iterator[ReadPage], asked: Asked) -> Iterator[ReadPage]:
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
                page.left = partial(asked.left_by, counts)
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

    def _token(self, left: Any, asked: Asked) -> str | None:
        """Return the token of a state; none that belongs to another question, or was edited to nothing."""
        token = left.get("token") if isinstance(left, Mapping) and left.get("of") == asked.of else None
        if not isinstance(token, str) or not token:
            return None
        if not asked.is_at_place_of(left):
            if self._tells_deletions:
                self._warn(
                    f"Stream {self._name} is read below a parent at another place than in the last run, where its token may mean nothing, so all "
                    f"rows there are read again; {_STAY}"
                )
            return None
        return token

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
