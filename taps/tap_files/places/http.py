"""Files behind URLs: each is one that the config names, or a link of a page that lists a folder; no header goes to another host.

A version is the ETag, else time and size. Bytes come as they are stored: nothing is asked for packed, and what is packed all the same
stays so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import requests
import urllib3

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError
from singerkit_shell.reach import Reach, origin_of
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from tap_files.places.ahead import Ahead
from tap_files.places.asking import Asking
from tap_files.places.contract import Content, Found
from tap_files.places.links import links_of
from tap_files.places.names import changed, check_name, folder_of, gone, no_folder
from tap_files.settings.storage import Patience

__all__ = ["Http"]

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_PIECE = 1 << 20
_DEEPEST = 40
"""Folders within one another; a server may make up more of them without end."""
_ABSENT = (404, 410)
_NO_HEAD = (405, 501)
_LATER = (408, 425, 429, 500, 502, 503, 504)
_SAFE = "what was committed is safe."
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class _LaterError(Exception):
    """It may be otherwise when asked again; ``str`` says what was."""


class Http:
    """The files of one origin."""

    can_skip, may_grow = True, False

    def __init__(self, origin: str, said: Mapping[str, Any], patience: Patience) -> None:
        self._where, self._patience = origin, patience
        self._lists_links = said.get("listing") == "links"
        reach = Reach(origin, said.get("allowed_hosts", ()), said.get("allowed_addresses", ()))
        self._asking = Asking(origin, said, reach, patience)
        own = [url for url in said.get("urls", ()) if origin_of(url) == origin_of(origin)]
        self._urls = {_name_of(url): url for url in own}
        for url in own:
            redactor.add(urlsplit(url).query)

    def files(self, prefix: str, *, deep: bool = True) -> Iterator[Found]:
        if self._lists_links:
            yield from self._linked(folder_of(prefix), prefix, 0, deep=deep)
            return
        names = [name for name in self._urls if name.startswith(prefix)] if self._urls else [prefix]
        if not names:
            folder = folder_of(prefix)
            if folder and not any(name.startswith(f"{folder}/") for name in self._urls):
                raise no_folder(f"{self._where}, by `storage.http.urls`,", folder)
            return
        is_there = False
        for name in names:
            found = None if not name or name.endswith("/") else self.look(name)
            if found is not None:
                is_there = True
                yield found
            elif self._urls:
                _logger.warning(
                    "%s has no `%s`, which `storage.http.urls` names; it was passed over.", self._where, name
                )
        if not is_there:
            raise ConfigurationError(
                f"There is no file `{prefix}` at {self._where}; nothing was read: check `path`. Where it has wildcards, `storage.http.urls` says which "
                "files there are, or `storage.http.listing: links` that the server lists them."
            )

    def look(self, name: str) -> Found | None:
        check_name(name, self._where)

        def ask() -> Found | None:
            with self._answer("HEAD", name) as answer:
                if answer.status_code not in _NO_HEAD:
                    return self._found(name, answer)
            with self._answer("GET", name, {"Range": "bytes=0-0"}) as answer:
                return self._found(name, answer)

        return self._tried(ask, name)

    def open(self, found: Found, offset: int = 0) -> Content:
        reading = _Reading(self, found, offset)
        reading.begin()
        return Ahead(reading.fetch, reading.end)

    def path_of(self, _found: Found) -> str | None:
        """None: it lies on no disk of this machine."""
        return None

    def close(self) -> None:
        self._asking.close()

    def _linked(self, folder: str, prefix: str, depth: int, *, deep: bool) -> Iterator[Found]:
        page = f"{folder}/" if folder else ""
        for link in self._links(page, folder):
            name = f"{page}{link}"
            if link.endswith("/"):
                if deep and (name.startswith(prefix) or prefix.startswith(name)):
                    if depth >= _DEEPEST:
                        raise BadDataError(
                            f"The folders of `{name}` at {self._where} lie in each other more than {_DEEPEST} times; nothing of them was read: "
                            "narrow `path`, or ask who runs the server."
                        )
                    yield from self._linked(name[:-1], prefix, depth + 1, deep=True)
            elif name.startswith(prefix) and (found := self.look(name)) is not None:
                yield found

    def _links(self, page: str, folder: str) -> list[str]:
        def ask() -> list[str]:
            with self._answer("GET", page) as answer:
                self.check(answer, page)
                if answer.status_code in _ABSENT:
                    raise no_folder(self._where, folder)
                if "html" not in answer.headers.get("Content-Type", ""):
                    raise ConfigurationError(
                        f"The folder `{page}` at {self._where} answers with something else than a page with links; nothing was read: `storage.http.listing` "
                        "cannot be `links` there."
                    )
                return links_of(answer, self._asking.url(page))

        return self._tried(ask, page)

    def _found(self, name: str, answer: requests.Response) -> Found | None:
        if answer.status_code in _ABSENT:
            return None
        self.check(answer, name)
        size = _whole_size(answer)
        modified = _microseconds(answer.headers.get("Last-Modified"))
        return Found(name, size, modified, modified, _version(answer, size))

    def check(self, answer: requests.Response, name: str) -> None:
        """Raises: _LaterError, NotAuthorisedError, ConfigurationError: the answer is none that has the file or lacks it."""
        status = answer.status_code
        if status in (200, 206, 416, *_ABSENT):
            return
        if status in _LATER:
            raise _LaterError(f"status {status}")
        if status in (401, 403, 407):
            raise NotAuthorisedError(
                f"{self._where} does not give `{name}` to who asks so ({status}); {_SAFE[:-1]}: check what `storage.http` sends, and that `base_url` "
                "there is this host."
            )
        raise ConfigurationError(
            f"{self._where} does not give `{name}` (status {status}); {_SAFE[:-1]}: check `path` and `storage.http`."
        )

    def _answer(self, method: str, name: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        return self._asking.answer(method, self._urls.get(name) or self._asking.url(name), headers or {})

    def answer(self, found: Found, start: int) -> requests.Response:
        """Return what a request for a file from a byte on is answered with."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and found.version.startswith('"'):
            headers["If-Range"] = found.version
        return self._answer("GET", found.name, headers)

    def is_listed_version(self, found: Found, answer: requests.Response) -> bool:
        """Tell whether an answer is of the version that was listed; what tells no version is taken for it."""
        size = _whole_size(answer)
        if found.version.startswith(_UNTOLD):
            return found.size is None or size in (None, found.size)
        return _version(answer, size if size is not None else found.size) == found.version

    def _tried(self, work: Callable[[], _T], name: str) -> _T:
        return stop_flag.waiting_for(lambda: self.again(work, name, lambda: 0), _SAFE)

    def again(self, work: Callable[[], _T], name: str, progress: Callable[[], int]) -> _T:
        """Return what ``work`` returns, which is done again where it fails for now; tries without ``progress`` are counted.

        Raises:
            RetryableError: it fails again and again.
        """
        until, tries, came = time.monotonic() + self._patience.total, 0, progress()
        while True:
            try:
                return work()
            except _LaterError as error:
                reason = str(error)
            except _BROKEN as error:
                reason = _reason(error)
            tries = 1 if progress() > came else tries + 1
            came = progress()
            if tries >= self._patience.tries or time.monotonic() > until:
                raise RetryableError(
                    f"There is no answer that helps for `{name}` from {self._where} ({reason}) after {tries} tries; {_SAFE[:-1]}: check the server and the "
                    "way to it, then run again."
                ) from None
            stop_flag.wait(self._patience.wait_after(tries))
            stop_flag.raise_if_set(_SAFE)


class _Reading:
    """One file that is read; asked for from where it has come to when the connection is lost."""

    def __init__(self, place: Http, found: Found, offset: int) -> None:
        self._place, self._found, self._at = place, found, offset
        self._answer: requests.Response | None = None
        self._skip = 0
        self._is_at_end = False

    def begin(self) -> None:
        """Raises: FileChanged, FileGone: it is another version than was listed."""
        try:
            stop_flag.waiting_for(
                lambda: self._place.again(self._asked, self._found.name, lambda: self._at), _SAFE
            )
        except BaseException:
            self.end()
            raise

    def fetch(self) -> bytes:
        return self._place.again(self._next, self._found.name, lambda: self._at)

    def end(self) -> None:
        if self._answer is not None:
            self._answer.close()

    def _asked(self) -> None:
        """Ask for what is still to come."""
        self.end()
        found, place = self._found, self._place
        answer = self._answer = place.answer(found, self._at)
        place.check(answer, found.name)
        if answer.status_code in _ABSENT:
            raise gone(found.name, str(place._where))
        if answer.status_code == 416:  # nothing is behind that byte
            same = place.look(found.name)
            if same is None or same.version != found.version or self._at < (found.size or 0):
                raise changed(found.name, place._where)
            self._is_at_end = True
            return
        if not place.is_listed_version(found, answer):
            raise changed(found.name, place._where)
        begins = 0
        if answer.status_code == 206:
            begins = _start(answer)
            if begins != self._at:
                raise _LaterError(f"bytes from {begins} on, which were not asked for")
        self._skip = self._at - begins

    def _next(self) -> bytes:
        if self._is_at_end:
            return b""
        if self._answer is None:
            self._asked()
        answer, self._answer = self._answer, None  # of no use any more where this fails
        assert answer is not None  # noqa: S101  asked for just now
        try:
            piece = self._piece_of(answer)
        except BaseException:
            answer.close()
            raise
        self._answer = answer
        if not piece:
            self._check_end()
        return piece

    def _piece_of(self, answer: requests.Response) -> bytes:
        while self._skip:  # a server that knows no ranges begins at the beginning
            passed = answer.raw.read(min(_PIECE, self._skip), decode_content=False)
            if not passed:
                raise _LaterError("the file ended before the byte that was asked for")
            self._skip -= len(passed)
        size = self._found.size
        most = _PIECE if size is None else min(_PIECE, size - self._at)
        piece: bytes = answer.raw.read(most, decode_content=False) if most > 0 else b""
        self._at += len(piece)
        if not piece and size is not None and self._at < size:
            raise _LaterError(f"the connection ended at byte {self._at} of {size}")
        return piece

    def _check_end(self) -> None:
        """A file that is written over in its place is sent half old, half new, by servers that read it meanwhile."""
        self._is_at_end = True
        if self._found.version.startswith(_UNTOLD):
            return
        same = self._place.look(self._found.name)
        if same is None or same.version != self._found.version:
            raise changed(self._found.name, self._place._where)


_UNTOLD = "untold-"
"""Begins a version of which the server says nothing: it is another one each time."""


def _version(answer: requests.Response, size: int | None) -> str:
    tag = answer.headers.get("ETag", "").strip()
    if tag:
        return tag
    modified = answer.headers.get("Last-Modified")
    return f"{modified} {size}" if modified else f"{_UNTOLD}{time.time_ns()}"


def _whole_size(answer: requests.Response) -> int | None:
    """Return the size of the whole file, of which an answer may hold a part."""
    said = answer.headers.get("Content-Length", "")
    if answer.status_code in (206, 416):
        said = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(said) if said.isdecimal() and len(said) < 19 else None


def _start(answer: requests.Response) -> int:
    first = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdecimal() and len(first) < 19 else -1


def _microseconds(modified: str | None) -> int | None:
    try:
        return int(parsedate_to_datetime(modified).timestamp()) * 1_000_000 if modified else None
    except ValueError:
        return None


def _name_of(url: str) -> str:
    """Return the name of a URL: its path, as people write it. What stands behind `?`, a signature maybe, is none of it."""
    return unquote(urlsplit(urljoin(url, urlsplit(url).path)).path).removeprefix("/")


def _reason(error: BaseException) -> str:
    """Return what went wrong without a URL, which may hold a signature."""
    text = repr(error)
    for sign, words in (
        ("NameResolution", "its name is not known"),
        ("timed out", "it did not answer in time"),
        ("Timeout", "it did not answer in time"),
        ("refused", "the connection was refused"),
        ("certificate", "its certificate is refused"),
        ("SSL", "TLS fails"),
    ):
        if sign in text:
            return words
    return "the connection was lost"
