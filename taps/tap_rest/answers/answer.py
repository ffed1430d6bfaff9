"""An answer of the API, and what its status says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError, NotAuthorisedError, SingerkitError
from singerkit_shell.secrets import redactor
from tap_rest.answers.words import says_limit
from tap_rest.http.retries import Transient
from tap_rest.http.storing import Span
from tap_rest.http.waiting import is_rate_limit, wait_asked_for
from tap_rest.long.rows import LongRows

__all__ = [
    "ForbiddenError",
    "RefusingAnswer",
    "Response",
    "TooManyRowsError",
    "excerpt",
    "judged",
    "transient_of",
]

_TRANSIENT = frozenset({408, 425, *range(500, 600)}) - {501, 505}
_NOT_YET = 202
_TOO_EARLY = 425
_NOT_FOUND = " (check `base_url` and `path`; behind the first page, how `pagination` ends)"
_EXCERPT = 200
_SHORT = 4096  # bytes around the records of an answer
_EXCERPT_FROM = 64 * 1024  # bytes of a body that are masked before the excerpt is cut from them


@dataclass(slots=True)
class Response:
    """An answer: where it came from, its status and headers, and its body, which `formats.translating` makes JSON in UTF-8.

    ``seconds``: from sending the request that was answered to the end of the body. ``left_out``: names of parameters that were
    sent, and that a redirect on the way leads to another thing without. ``method`` of the request, and ``asked``: names and values that its body held.
    ``taken_for``: `ignore`, `end`, `skip` or
    `start_over`, where a rule says so; then it is no page. ``serial``: of the credentials that it was asked with.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0
    left_out: Sequence[str] = ()
    taken_for: str | None = None
    serial: int = 0
    method: str = "GET"
    asked: Sequence[tuple[str, str]] = ()
    spans: Sequence[Span] = ()
    """Where the body is on disk, if it is long: then ``body`` is its beginning."""
    rows: Mapping[tuple[str, ...], LongRows] = field(default_factory=dict)
    """The long arrays of such a body, by where they are: ``body`` has no more of them than their first item."""
    taken: Callable[[], None] | None = None
    """What is told that an answer which was asked for ahead is used."""
    _members: dict[str, msgspec.Raw] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def members(self) -> dict[str, msgspec.Raw] | None:
        """What the body holds by name, None where it is no object that is quickly read; many look, and a page is long."""
        if self._members is None:
            with contextlib.suppress(msgspec.DecodeError, RecursionError):
                self._members = msgspec.json.decode(self.body, type=dict[str, msgspec.Raw])
        return self._members

    @members.setter
    def members(self, found: dict[str, msgspec.Raw]) -> None:
        """Take what somebody has found who has looked at the whole body; of a list the first item tells enough."""
        self._members = found

    def around(self, at: str) -> tuple[Any, ...] | None:
        """Return what stands around the member ``at`` of the body, as it is written; None where it is long.

        Of answers that are alike in it, and in their headers, what is seen there once need not be looked for again.
        """
        if self.members is None:
            return None
        beside = [(name, raw) for name, raw in self.members.items() if name != at]
        if sum(len(raw) for _, raw in beside) > _SHORT:
            return None
        return at, *((name, bytes(raw)) for name, raw in beside)


class ForbiddenError(NotAuthorisedError):
    """The credentials are known, and not enough for what was asked for (403)."""


class TooManyRowsError(BadDataError):
    """A question has as many rows as the API gives of one, or more.

    ``refusal``: the error that the API answered with, where it did and a rule of `errors` takes it for that.
    """

    def __init__(self, sentence: str, refusal: SingerkitError | None = None) -> None:
        super().__init__(sentence)
        self.refusal = refusal


class RefusingAnswer(BadDataError):
    """An answer without what was asked for, whenever it is asked; ``says``: what it says, as far as the sentence quotes it."""

    def __init__(self, sentence: str, says: str) -> None:
        super().__init__(sentence)
        self.says = says


def judged(
    response: Response, accept: Collection[int], *, shown: Callable[[str], str], auth_type: str
) -> Response:
    """Return an answer with a good status, or one of ``accept``; ``shown`` writes a URL for people.

    Raises:
        Transient: asking again may help.
        NotAuthorisedError: 401, or 403 that is no rate limit.
        RefusingAnswer: another status.
    """
    status = response.status
    if status == _NOT_YET and status not in accept:
        raise Transient(
            f"status {status}, the answer is not ready yet",
            wait_asked_for(status, response.headers),
            ' (if this API never answers otherwise, set `"partial_answers": "warn"`)',
            is_early=True,
        )
    if 200 <= status < 300 or status in accept:
        return response
    where = shown(response.url)
    says = excerpt(response)
    transient = transient_of(response, says)
    if transient is not None:
        raise transient
    if status in (401, 403):
        raise (ForbiddenError if status == 403 else NotAuthorisedError)(
            f"{where} answered {status}{_challenge(response.headers)}: the credentials at `auth` "
            f"(type `{auth_type}`) are missing, wrong or not enough; it says: {says}"
        )
    advice = "" if status != 404 else _NOT_FOUND
    raise RefusingAnswer(
        f"{where} answered {status}, so asking again is useless{advice}; it says: {says}", says
    )


def transient_of(response: Response, says: str) -> Transient | None:
    """Return why asking again may help, by what the head of an answer and ``says`` tell; None: it does not."""
    status = response.status
    limit = _limit_told(response, says)
    if limit is None and status not in _TRANSIENT:
        return None
    in_the_end = f", it says: {says}" if response.body.strip() else ""
    wait = wait_asked_for(status, response.headers)
    is_early = limit is not None or status == _TOO_EARLY
    return Transient(
        f"status {status}{limit or ''}", wait, in_the_end, is_servers=status >= 500, is_early=is_early
    )


def _limit_told(response: Response, says: str) -> str | None:
    """Return how an answer tells that a rate limit is met, where its status is not enough; None: it does not."""
    status = response.status
    if is_rate_limit(status, response.headers):
        return "" if status >= 420 else ", a rate limit by its headers"
    return ", a rate limit by what it says" if status == 403 and says_limit(says) else None


def _challenge(headers: Mapping[str, str]) -> str:
    scheme = headers.get("WWW-Authenticate", "").split(" ", 1)[0]
    return f" (it asks for {redactor.mask_foreign(scheme)})" if scheme.isalnum() else ""


def excerpt(response: Response) -> str:
    text = redactor.mask_foreign(response.body[:_EXCERPT_FROM].decode("utf-8", "replace"))
    printable = "".join(char if char.isprintable() else " " for char in text)
    short = " ".join(printable.split())[:_EXCERPT]
    return f"`{short}`" if short else "nothing"
