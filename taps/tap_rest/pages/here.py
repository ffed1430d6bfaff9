"""Where a read stands: the step just made and its answer, and what came before it in this read and in others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.answers.answer import Response
from tap_rest.http.heads import by_name
from tap_rest.pages.endings import Endings
from tap_rest.pages.steps import Step
from tap_rest.paths import Found, Path, column_of, list_and_last, scalar_of, scalar_text
from tap_rest.records.cutting import ReadPage
from tap_rest.settings.pagination import Pagination

__all__ = ["IN_HEADER", "Experience", "Here", "Seen"]

IN_HEADER = "header:"
_WHOLE = re.compile(r"\s*(-?[0-9]{1,18})(?:\.0+)?\s*")


_SHORT = 30


def _told(text: str | None) -> str:
    """Return what stands where a total is expected, if it is no longer than one that is written otherwise (`1,000`, `25 rows`)."""
    if text is None:
        return "nothing"
    if not text:
        return "an empty text"
    if len(text) > _SHORT:
        return f"a text of {len(text):,} characters"
    return f"`{redactor.mask_foreign(text)}`"


@dataclass(slots=True)
class Seen:
    """What came so far: pages, records, and an estimate of records that empty pages stand for."""

    pages: int = 0
    records: int = 0
    empty_pages: int = 0
    empty_in_a_row: int = 0
    largest_page: int = 0
    totals: Mapping[str | None, int] = field(default_factory=dict)
    """What the first page told of the whole, by where it stands; known once there is a second one."""


@dataclass(slots=True)
class Experience:
    """What the reads of a stream before this one showed: whether the token or link of `pagination` was ever seen,
    whether a total was above what one page holds, how many records the largest page had, and how they ended.

    It is of this run, but for `endings`, which know of former runs from the state.
    """

    has_seen_place: bool = False
    has_seen_total: bool = False
    has_told_of_single_page: bool = False
    largest_page: int = 0
    first_page: tuple[Any, ...] | None = None
    """What the last first page had around its records, and the names of its headers, where none of all that names a page before it."""
    endings: Endings = field(default_factory=Endings)


@dataclass(slots=True)
class Here:
    """Where a read stands: the step just made and its answer, and what came before it in this read and in others."""

    step: Step
    page: ReadPage
    last_key: Any
    _: KW_ONLY
    settings: Pagination
    name: str
    seen: Seen
    experience: Experience
    doubt: Callable[[str], None]
    hook: Callable[[ReadPage], Any] | None = None
    """Returns the token or URL of the page behind one, where a hook says it."""

    @property
    def hooked(self) -> Any:
        """The token or URL that the hook returns for the page; None: it was the last.

        Raises:
            ConfigurationError: the hook failed, or it is none that can be sent.
        """
        assert self.hook is not None  # noqa: S101  of the caller
        found = self.hook(self.page)
        is_url = self.settings.type == "next_url"
        takes_all = self.settings.place in ("body", "placeholder")
        if found is None or isinstance(found, str) or (not is_url and (takes_all or type(found) is int)):
            return found
        raise ConfigurationError(
            f"`next_page` of the hook for stream {self.name} has to return {'a URL' if is_url else 'a text, a whole number'} or None, got "
            f"`{type(found).__name__}`."
        )

    @property
    def response(self) -> Response:
        """The answer that the page was in."""
        return self.page.answer

    def rule(self, path: str) -> str | None:
        """Return the text at a body path or in a response header."""
        if path.startswith(IN_HEADER):
            return self.header(path.removeprefix(IN_HEADER))
        return scalar_text(self.page.fields[path], f"`{path}` of stream {self.name}")

    def token(self, path: str) -> Any:
        """Return what stands at a path of the body, to be sent as it came; None where that is nothing."""
        place = f"`{path}` of stream {self.name}"
        last = list_and_last(path)
        return scalar_of(
            self.page.fields[path] if last is None else self._of_last(*last),
            place,
            takes_all=self.settings.place in ("body", "placeholder"),
        )

    def _of_last(self, rows: str, names: tuple[str, ...]) -> Found:
        """Return what stands at ``names`` of the last item of a list."""
        items = self.page.fields[rows]
        where = f"page {self.seen.pages} of stream {self.name}"
        return (
            column_of(Path("", names, False))(items[-1:], where)[0]
            if isinstance(items, list) and items
            else None
        )

    def header(self, name: str) -> str | None:
        return by_name(self.response.headers).get(name.strip())

    def number(self, path: str) -> int:
        """Return the whole number at ``path``, from the end of `0-24/3573` too."""
        text = self.rule(path)
        whole = _WHOLE.fullmatch((text or "").rpartition("/")[2])
        if whole is None:
            raise BadDataError(
                f"Expected a whole number at `{path}` on page {self.seen.pages} of stream {self.name}, got "
                f"{_told(text)}; check `pagination`."
            )
        return int(whole[1])
