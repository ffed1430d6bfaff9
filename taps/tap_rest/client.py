"""One GET at a time: origins checked, redirects by hand, retries, limits, and an answer that is whole UTF-8.

The steps, in order: `Client.get` -> retries (`_again`) -> `_follow` (redirects) -> `_send` (one request, one
body) -> `_judge` (status) -> `utf8_text` (charset).
"""

from __future__ import annotations

import codecs
import contextlib
import email.utils
import http.client
import json
import logging
import random
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urljoin, urlsplit, urlunsplit

import backoff
import msgspec
import requests
import urllib3
from requests.auth import AuthBase, _basic_auth_str
from requests.cookies import extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict

from singerkit_shell.certificates import authority_problem
from singerkit_shell.encoding import check_utf8
from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError
from singerkit_shell.secrets import MASK, names_secret, redactor
from singerkit_shell.signals import stop_flag
from tap_rest.addresses import Origin, check_address, networks_of, origin_of
from tap_rest.auth import NoAuth, auth_of, query_key_of
from tap_rest.config import ApiSettings
from tap_rest.connection import GuardedAdapter, Watchdog
from tap_rest.redirects import leads_to_same, lost_parameters
from tap_rest.unpacking import CutError, TooLargeError, unpacked

__all__ = [
    "Client",
    "NotYet",
    "RefusingAnswer",
    "Response",
    "client_problems",
    "excerpt",
    "register_secrets",
    "utf8_text",
    "with_params",
]

_logger = logging.getLogger("tap-rest")
# It prints a traceback about headers that it cannot read, and goes on.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
_CHUNK = 1024 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT = frozenset({408, 425, 429, *range(500, 600)}) - {501, 505}
_NOT_YET = 202
_SEE_OTHER = 303
_NOT_FOUND = " (check `base_url` and `path`; behind the first page, how `pagination` ends)"
_SECRET_NAMES = ("key", "token", "auth", "secret", "cookie", "password", "signature", "appid", "app_id")
_SECRET_WORDS = ("sig", "pwd", "pass", "passwd", "sid")
_DULL_HEADERS = ("accept", "accept-language", "accept-encoding", "content-type", "user-agent")
_IN_A_HEADER = (
    "text that a header can hold (on one line, no control characters, Latin-1, no blank at its ends)"
)
_NO_CHARSETS = ("unicode_escape", "raw-unicode-escape", "idna", "punycode", "undefined", "utf-7")
_EXCERPT = 200
_EXCERPT_FROM = 64 * 1024  # bytes of a body that are masked before the excerpt is cut from them
_PLAIN_VALUE = re.compile(r"[0-9TZ:.+-]{0,32}")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_SETTLED_QUERY = re.compile(
    r"(?:[\w.~&=+-]|%(?:2[1-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-D]|[89A-F][0-9A-F]))*", re.ASCII
)
"""A query that no library writes otherwise: nothing is to be escaped in it, and no escape stands for a plain character."""
_COOKIE_VALUE = re.compile(r"[!-+\--:<-~]*")
_TOKEN = re.compile(r"(?=\S*[0-9])(?=\S*[A-Za-z])\S{16,}")


@dataclass(slots=True)
class Response:
    """An answer: where it came from, its status and headers, and its body as UTF-8 without BOM.

    ``seconds``: from sending the request that was answered to the end of the body. ``left_out``: names of parameters that were
    sent, and that a redirect on the way leads to another thing without.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0
    left_out: Sequence[str] = ()
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


@dataclass(frozen=True, slots=True)
class NotYet:
    """What an answer says where asking again may help; ``wait``: seconds until then, if it tells them."""

    finding: str
    wait: float | None = None


_UNKNOWN_HOST, _NO_TLS = "the name of the host is not known", "TLS failed"
_HINTS = {
    _UNKNOWN_HOST: " (check `base_url`)",
    _NO_TLS: " (where the server speaks plain HTTP at this port, `base_url` begins with `http://`)",
}


class RefusingAnswer(BadDataError):
    """An answer without what was asked for, whenever it is asked; ``says``: what it says, as far as the sentence quotes it."""

    def __init__(self, sentence: str, says: str) -> None:
        super().__init__(sentence)
        self.says = says


class _Transient(Exception):
    """The request may be made again; ``retry_after`` is what the server asked for, in seconds.

    ``in_the_end`` is told when the last try has failed: what the answer said, what the cause may be.
    """

    def __init__(self, finding: str, retry_after: float | None = None, in_the_end: str = "") -> None:
        super().__init__(finding)
        self.retry_after = retry_after
        self.in_the_end = in_the_end
        self.wait = 0.0
        self.tries = 0


class Client:
    """GETs of one API. Credentials, headers and cookies go to the origin of `base_url` only."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._origin = _configured_origin(settings.base_url, "base_url")
        self._allowed_origins = {_configured_origin(url, "allowed_hosts") for url in settings.allowed_hosts}
        self._networks = networks_of(settings.allowed_addresses)
        self._watchdog = Watchdog()
        self._options: dict[Origin, dict[str, Any]] = {}
        self._last_prepared: tuple[Any, requests.PreparedRequest] | None = None
        """A request without credentials and query, and what the next one must have to be like it but for these."""
        self._auth = auth_of(settings.auth)
        self._query_key = query_key_of(settings.auth)
        self._hidden = {name for stream in settings.streams for name in stream.params} | {
            self._query_key or ""
        }
        agent = settings.user_agent or f"tap-rest/{metadata.version('singerkit')} (singerkit)"
        self._own = self._session(agent)
        self._own.headers.update(settings.headers)
        # Cookies do not know ports, so other origins get a session of their own, which keeps none.
        self._foreign = self._session(agent)
        self._retry = self._retrying()
        self.request_count = 0
        self.retry_count = 0
        self.waited_seconds = 0.0
        register_secrets(settings.headers)

    def _session(self, agent: str) -> requests.Session:
        session = requests.Session()
        session.headers.update({"User-Agent": agent, "Accept": "application/json, */*;q=0.5"})
        session.headers["Accept-Encoding"] = "gzip, deflate"  # what `unpacked` reads, whatever is installed
        session.auth = NoAuth()
        adapter = GuardedAdapter(self._watchdog, self._networks)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def close(self) -> None:
        """Close every connection."""
        self._own.close()
        self._foreign.close()
        self._watchdog.close()

    def get(
        self,
        url: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        accept: Collection[int] = (),
        not_yet: Callable[[Response], NotYet | None] = lambda _: None,
    ) -> Response:
        """Return the answer to a GET of ``url``; statuses in ``accept`` are answers, not failures.

        ``not_yet`` returns what an answer with a good status says where asking again may help.

        Raises:
            NotAuthorisedError: 401, 403, or the way leads to an origin that is not listed.
            BadDataError: another 4xx, a body that is too large or not text in its charset.
            RetryableError: no whole answer after all tries.
            ConfigurationError: a refused address, or a URL that is none.
            Stopped: a signal came while waiting.
        """
        try:
            target = with_params(url, params or {})
        except ValueError:  # half of a surrogate pair, or a host that no URL has
            raise BadDataError(
                f"Expected a URL and its parameters, got none that can be sent: {self.shown(url)}."
            ) from None
        try:
            response: Response = self._retry(target, dict(headers or {}), accept, not_yet)
        except _Transient as error:
            limits = self._settings.retries
            in_time = "" if error.tries >= limits.tries else f" in {limits.total:g} s (`retries.total`)"
            raise RetryableError(
                f"No whole answer from {self.shown(target)} after {error.tries} {'try' if error.tries == 1 else 'tries'}{in_time}: {error}{error.in_the_end}; "
                "rows read so far are safe, run again later."
            ) from None
        return response

    def _retrying(self) -> Any:
        limits = self._settings.retries
        return backoff.on_exception(
            _waits,
            _Transient,
            max_tries=limits.tries,
            max_time=limits.total,
            jitter=None,
            on_backoff=self._wait,
            on_giveup=_note_tries,
            logger=None,
            first=limits.first_wait,
            longest=limits.longest_wait,
        )(self._follow)

    def _wait(self, details: Any) -> None:
        # The wait itself happens here, before backoff sleeps for the zero seconds that `_waits` told it,
        # because time.sleep would not end when a signal asks for a stop.
        failure: _Transient = details["exception"]
        seconds: float = failure.wait
        self.retry_count += 1
        self.waited_seconds += seconds
        asked = "" if failure.retry_after is None else f" (asked for {_shown_wait(failure.retry_after)})"
        _logger.warning(
            "%s: try %d failed: %s; next in %.1f s%s.",
            self.shown(details["args"][0]),
            details["tries"],
            failure,
            seconds,
            asked,
        )
        _sleep_unless_stopped(seconds)

    def _follow(
        self,
        url: str,
        headers: dict[str, str],
        accept: Collection[int],
        not_yet: Callable[[Response], NotYet | None],
    ) -> Response:
        """Make the request and follow its redirects, each to an origin that is allowed."""
        stop_flag.raise_if_set("the request under way was dropped, the state printed so far is valid.")
        left_out: list[str] = []
        for _ in range(self._settings.limits.redirects + 1):
            response = self._send(url, headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                answer = self._judge(response, accept)
                told = not_yet(answer)
                if told is not None:
                    wait = _retry_after(response.headers)
                    raise _Transient(told.finding, told.wait if wait is None else wait)
                answer.left_out = left_out
                return answer
            target = self._redirected(url, location)
            lost = lost_parameters(url, target)
            if lost and leads_to_same(url, target):
                self._is_own(target)  # or it may not be followed at all
                raise BadDataError(
                    f"{self.shown(url)} redirects to {self.shown(target)}, which leaves out {_listed(lost)} of what was asked for: the "
                    "rows there answer another question, and none was taken. Write `base_url` and `path` as the redirect has "
                    "them, down to the slash at the end, so that the parameters arrive."
                )
            left_out += [] if response.status == _SEE_OTHER else lost
            url = target
        raise BadDataError(
            f"More than {self._settings.limits.redirects} redirects, the last to {self.shown(url)}; "
            "check the URL, or raise `limits.redirects`."
        )

    def _redirected(self, url: str, location: str) -> str:
        try:
            # As everybody does: UTF-8, though headers are Latin-1, and blanks at the ends do not count.
            return urljoin(url, location.encode("latin-1").decode("utf-8", "replace").strip())
        except ValueError:
            raise BadDataError(
                f"{self.shown(url)} answered with a redirect to something that is no URL; ask its makers."
            ) from None

    def _send(self, url: str, headers: dict[str, str]) -> Response:
        """Make one request and read its whole body."""
        own = self._is_own(url)
        session = self._own if own else self._foreign
        if not own:
            url, headers = self._without_secrets(url), {}
        prepared = self._prepared(session, url, headers, self._auth if own else NoAuth())
        options = self._transport_options(session, str(prepared.url))
        timeout = (self._settings.timeout.connect, self._settings.timeout.read)
        self.request_count += 1
        began = time.monotonic()
        with self._watchdog.limit(self._settings.timeout.response):
            try:
                # By the adapter itself: what a session adds is hooks, redirects and a clock.
                with session.get_adapter(url).send(prepared, timeout=timeout, **options) as answer:
                    if "Set-Cookie" in answer.headers:
                        extract_cookies_to_jar(session.cookies, prepared, answer.raw)  # type: ignore[no-untyped-call]  # it has no types
                    body = self._read_body(answer, url)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise self._failure(error, url) from error
            except (ValueError, http.client.HTTPException) as error:  # what the library did not foresee
                raise BadDataError(
                    f"The answer of {self.shown(url)} is no HTTP ({type(error).__name__}); ask its makers."
                ) from error
            if self._watchdog.has_expired:
                raise self._failure(TimeoutError(), url)
        stop_flag.raise_if_set("the page under way was dropped, the state printed so far is valid.")
        if not own:
            session.cookies.clear()
        return Response(url, answer.status_code, answer.headers, body, time.monotonic() - began)

    def _prepared(
        self, session: requests.Session, url: str, headers: Mapping[str, str], auth: AuthBase
    ) -> requests.PreparedRequest:
        """Return the request as it is sent.

        Raises:
            BadDataError: the API, or a record of a parent, gave a URL or a token that no request can hold.
        """
        for name, value in headers.items():
            if not _FIELD_VALUE.fullmatch(value):
                raise BadDataError(
                    f"Expected {_IN_A_HEADER} for the header `{name}`, got other characters; the API gave them, "
                    "ask its makers."
                )
        try:
            prepared = self._like_last(session, url, headers)
            is_same = origin_of(str(prepared.url)) == origin_of(url)
            prepared.prepare_auth(auth, url)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError):
            raise BadDataError(
                f"Expected the URL of a page, got one that is none: {self.shown(url)}."
            ) from None
        if not is_same:
            raise BadDataError(f"Expected the URL of a page, got one that is ambiguous: {self.shown(url)}.")
        return prepared

    def _like_last(
        self, session: requests.Session, url: str, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        """Return a request without credentials; one that differs from the last in its query alone is made of that."""
        head, _, query = url.partition("?")
        alike = (session, head, headers)
        is_plain = not session.cookies and _SETTLED_QUERY.fullmatch(query) is not None
        if not is_plain or self._last_prepared is None or self._last_prepared[0] != alike:
            prepared = session.prepare_request(requests.Request("GET", url, headers=headers))
            self._last_prepared = (alike, prepared.copy()) if is_plain else None
            return prepared
        prepared = self._last_prepared[1].copy()
        prepared.url = f"{str(prepared.url).partition('?')[0]}{'?' if query else ''}{query}"
        return prepared

    def _transport_options(self, session: requests.Session, url: str) -> dict[str, Any]:
        """Return proxies and certificates for a URL; requests would read the environment for each page."""
        origin = origin_of(url)
        if origin not in self._options:
            # `verify` is said here, since a session's own gives way to REQUESTS_CA_BUNDLE.
            verify = self._settings.ca_file or None
            options: dict[str, Any] = dict(session.merge_environment_settings(url, {}, True, verify, None))
            try:
                _mask_credentials_of(options["proxies"].values())
            except ValueError:
                raise ConfigurationError(
                    "Expected the URL of a proxy in the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY), got "
                    "something that is none; correct it, or name the host in NO_PROXY."
                ) from None
            if origin[0] == "https":
                _check_authorities(options["verify"])
            self._options[origin] = options
        return self._options[origin]

    def _read_body(self, answer: requests.Response, url: str) -> bytes:
        limit = self._settings.limits.response_bytes
        chunks: list[bytes] = []
        left = limit
        try:
            while chunk := answer.raw.read(_CHUNK, decode_content=False):
                chunks.append(chunk)
                left -= len(chunk)
                if left < 0:
                    raise TooLargeError
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            return unpacked(body, answer.headers.get("Content-Encoding", ""), limit)
        except TooLargeError:
            raise BadDataError(
                f"The body from {self.shown(url)} is larger than {limit} bytes after decompression; ask "
                "for smaller pages, or raise `limits.response_bytes`."
            ) from None
        except CutError:
            raise _Transient("the body was cut before the end of its compression") from None
        except zlib.error:
            raise BadDataError(
                f"The body from {self.shown(url)} is not in the encoding it declares (Content-Encoding)."
            ) from None

    def _failure(self, error: Exception, url: str) -> Exception:
        """Translate what requests, urllib3 or the socket raised into what the caller must do."""
        stop_flag.raise_if_set("the request under way was dropped, the state printed so far is valid.")
        if self._watchdog.has_expired:
            return _Transient(f"the answer took longer than {self._settings.timeout.response:g} s")
        for cause in _causes(error):
            if isinstance(cause, requests.exceptions.InvalidURL | urllib3.exceptions.LocationParseError):
                return ConfigurationError(f"{self.shown(url)} is not a URL; check `base_url` and `path`.")
        certificate = _certificate_problem(error)
        if certificate:
            return RetryableError(
                f"The certificate of {self.shown(url)} is not accepted ({certificate}); nothing was sent. "
                "Set `ca_file` if the server has its own authority."
            )
        finding = _finding(error)
        return _Transient(finding, in_the_end=_HINTS.get(finding, ""))

    def _judge(self, response: Response, accept: Collection[int]) -> Response:
        status = response.status
        if status == _NOT_YET and status not in accept:
            raise _Transient(
                f"status {status}, the answer is not ready yet",
                _retry_after(response.headers),
                ' (if this API never answers otherwise, set `"partial_answers": "warn"`)',
            )
        if 200 <= status < 300 or status in accept:
            body = utf8_text(response, self.shown)
            return Response(response.url, status, response.headers, body, response.seconds)
        where = self.shown(response.url)
        if status in _TRANSIENT:
            says = f", it says: {excerpt(response)}" if response.body.strip() else ""
            raise _Transient(f"status {status}", _retry_after(response.headers), says)
        if status in (401, 403):
            raise NotAuthorisedError(
                f"{where} answered {status}{_challenge(response.headers)}: the credentials at `auth` "
                f"(type `{self._settings.auth.type}`) are missing, wrong or not enough."
            )
        advice = "" if status != 404 else _NOT_FOUND
        says = excerpt(response)
        raise RefusingAnswer(
            f"{where} answered {status}, so asking again is useless{advice}; it says: {says}", says
        )

    def _is_own(self, url: str) -> bool:
        """Tell whether credentials may go to ``url``.

        Raises:
            NotAuthorisedError: it is another origin, and not listed.
            ConfigurationError: its host is a refused address.
        """
        try:
            origin = origin_of(url)
        except ValueError as error:
            raise BadDataError(f"Expected the URL of a page, got one that is {error}.") from None
        _check_literal(origin, self._networks)
        if origin == self._origin:
            return True
        if origin not in self._allowed_origins:
            raise NotAuthorisedError(
                f"The way leads from {_origin_text(self._origin)} to {_origin_text(origin)}, another origin, "
                "and was not followed; if that is right, change `base_url`, or list it in `allowed_hosts` "
                "(no credentials are sent there)."
            )
        if self._origin[0] == "https" and origin[0] == "http":
            raise NotAuthorisedError(
                f"The way leads from {_origin_text(self._origin)} to {_origin_text(origin)} without TLS, "
                "and was not followed."
            )
        return False

    def _without_secrets(self, url: str) -> str:
        """Take the key out of a URL that the server made from ours."""
        parts = urlsplit(url)
        if self._query_key is not None:
            pairs = [
                pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != self._query_key
            ]
            if len(pairs) != len(parse_qsl(parts.query, keep_blank_values=True)):
                url = urlunsplit(parts._replace(query=urlencode(pairs)))
        if redactor.knows(url):
            raise NotAuthorisedError(
                f"The way to {_origin_text(origin_of(url))} carries a credential of this config in its URL "
                "and was not followed."
            )
        return url

    def shown(self, url: str) -> str:
        """Return the URL for people: secrets masked, of parameters hardly more than the names, not endless."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return "a URL that cannot be read"
        query = "&".join(_shown_pair(pair, self._hidden) for pair in parts.query.split("&"))
        masked = redactor.mask_foreign(urlunsplit(parts._replace(query=query, fragment="")))
        return masked if len(masked) <= 300 else masked[:297] + "..."


def _shown_pair(pair: str, hidden: Collection[str]) -> str:
    """Show numbers and dates of parameters that are not the config's, as of pages; any other may be a key."""
    name, sign, value = pair.partition("=")
    is_plain = unquote_plus(name) not in hidden and _PLAIN_VALUE.fullmatch(unquote_plus(value))
    return pair if not sign or is_plain else f"{name}={MASK}"


def _listed(names: Iterable[str]) -> str:
    return redactor.mask_foreign(", ".join(f"`{name}`" for name in names))


def _behind_path_problems(base_url: str) -> list[str]:
    """Return what stands behind the path of `base_url`, where the paths of the streams would be joined to it."""
    query = urlsplit(base_url).query
    if "#" in base_url:
        return ["Expected `base_url` without `#`, which cuts off all that is joined to it; write it as `%23`"]
    if "?" not in base_url:
        return []
    pairs = {
        name: value if _PLAIN_VALUE.fullmatch(value) else "..."
        for name, value in parse_qsl(query, keep_blank_values=True)
    }
    fits = f'`"params": {json.dumps(pairs)}` (a key in `auth`, type `api_key`)' if pairs else "`params`"
    return [
        f"Expected `base_url` without `?`, since paths are joined to its end; put its parameters into {fits}"
    ]


def client_problems(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each setting of the client that cannot be used."""
    problems = []
    urls = [
        ("base_url", config["base_url"]),
        *(("allowed_hosts", url) for url in config.get("allowed_hosts", ())),
    ]
    for key, url in urls:
        try:
            _configured_origin(url, key)
        except ConfigurationError as error:
            problems.append(str(error))
    if not problems and urlsplit(config["base_url"]).username is not None:
        problems.append("Expected `base_url` without user and password; put them into `auth` (type `basic`)")
    if not problems:
        problems += _behind_path_problems(config["base_url"])
    try:
        networks_of(config.get("allowed_addresses", ()))
    except ConfigurationError as error:
        problems.append(str(error))
    ca_file = config.get("ca_file")
    problem = None if ca_file is None else authority_problem(ca_file)
    if problem is not None:
        problems.append(f"Expected a file with certificates in PEM at `ca_file`, got `{ca_file}`: {problem}")
    problems += _header_problems(config)
    return [problem.rstrip(".") for problem in problems]


def _check_authorities(verify: object) -> None:
    """See that the file of authorities that the environment names is one; requests would take it for a bad line.

    Raises:
        ConfigurationError: it is not.
    """
    problem = authority_problem(verify) if isinstance(verify, str) and not Path(verify).is_dir() else None
    if problem is not None:
        raise ConfigurationError(
            f"Expected a file with certificates in PEM in the environment variable REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, "
            f"got {verify}: {problem}; nothing was sent, correct or unset it."
        )


def register_secrets(values: Mapping[str, Any]) -> None:
    """Mask the values of headers or parameters that are a secret by their name or by their look."""
    for name, value in values.items():
        is_named = any(part in name.lower() for part in _SECRET_NAMES) or name.lower() in _SECRET_WORDS
        # A list below a name like `sort_keys` holds words that messages are made of.
        are_words = isinstance(value, list) and not names_secret(name)
        for item in value if isinstance(value, list) else [value]:
            if is_named and isinstance(item, int | float):
                redactor.add_number(item)
            elif not isinstance(item, str):
                continue
            elif is_named and not (are_words and not re.search("[0-9]", item)):
                redactor.add_reference(item)  # "Bearer abc", and what "Basic" holds in base64: its parts too
                redactor.add(item)
                redactor.add(item.rpartition(" ")[2])
            elif _TOKEN.fullmatch(item) and name.lower() not in _DULL_HEADERS:
                redactor.add(item)


def _header_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting that cannot be written into a header; its value is not shown."""
    groups = [
        ("headers", config.get("headers", {})),
        *(
            (f"streams[{index}].headers", stream.get("headers", {}))
            for index, stream in enumerate(config["streams"])
        ),
    ]
    for place, headers in groups:
        for name, value in headers.items():
            if not _FIELD_NAME.fullmatch(name):
                yield f"Expected the name of a header at `{place}`, got something else"
            if not _FIELD_VALUE.fullmatch(value):
                yield f"Expected {_IN_A_HEADER} at `{place}.{name}`, got other characters"
    if not _FIELD_VALUE.fullmatch(config.get("user_agent", "")):
        yield f"Expected {_IN_A_HEADER} at `user_agent`, got other characters"
    auth = config.get("auth", {})
    place = auth.get("in", "header")
    for key in ("api_key", "prefix", "token"):
        is_prefix = key == "prefix"  # ends with a blank before what follows it
        if place != "query" and not _FIELD_VALUE.fullmatch(auth.get(key, "") + ("." if is_prefix else "")):
            yield f"Expected {_IN_A_HEADER} at `auth.{key}`, got other characters"
    if auth.get("type") == "basic" and ":" in auth.get("username", ""):
        yield (
            "Expected a user without a colon at `auth.username`: HTTP basic authentication (RFC 7617) ends the user at the first "
            "one, and what follows would be taken for the password"
        )
    if place == "cookie" and not _COOKIE_VALUE.fullmatch(auth.get("api_key", "")):
        yield "Expected a key without blanks, commas, semicolons and quotes at `auth.api_key`, got others"
    if place != "query" and not _FIELD_NAME.fullmatch(auth.get("name", "X-API-Key")):
        yield f"Expected the name of a {place} at `auth.name`, got something else"


def _configured_origin(url: str, key: str) -> Origin:
    try:
        return origin_of(url if "://" in url else f"https://{url}")
    except ValueError as error:
        raise ConfigurationError(
            f"Expected a URL like https://api.example.com at `{key}`, got one that is {error}."
        ) from None


def _origin_text(origin: Origin) -> str:
    return f"{origin[0]}://{origin[1]}:{origin[2]}"


def _check_literal(origin: Origin, networks: Any) -> None:
    """Check a host that is a number already, since a proxy might connect to it unseen by us."""
    try:
        # inet_aton knows numbers that look like names: 2852039166 is 169.254.169.254.
        number = origin[1] if ":" in origin[1] else socket.inet_ntoa(socket.inet_aton(origin[1]))
    except OSError:
        return  # a name; its addresses are checked when connecting
    check_address(number, origin[1], networks)


def with_params(url: str, params: Mapping[str, Any]) -> str:
    """Return ``url`` with parameters behind those of its query."""
    if not params:
        return url
    parts = urlsplit(url)
    pairs = [(name, text) for name, value in params.items() for text in _texts(value)]
    query = "&".join(part for part in (parts.query, urlencode(pairs)) if part)
    return urlunsplit(parts._replace(query=query))


def _texts(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value)]


def _mask_credentials_of(proxies: Iterable[str | None]) -> None:
    """Mask what a proxy is sent: it may send it back, as text or as the base64 of its header."""
    for proxy in filter(None, proxies):
        user, password = requests.utils.get_auth_from_url(proxy)
        if password:
            redactor.add(password)
            redactor.add(_basic_auth_str(user, password).removeprefix("Basic "))


def _waits(first: float, longest: float) -> Generator[float, _Transient, None]:
    """Choose each wait, note it on the failure, and leave backoff nothing to sleep (see `Client._wait`)."""
    failure = yield 0
    tries = 0
    while True:
        if failure.retry_after is not None:
            wait = min(failure.retry_after, longest)
        else:
            # Half fixed, half random: many taps that failed together do not come back together.
            wait = min(first * 2.0**tries, longest) * random.uniform(0.5, 1)  # noqa: S311  jitter
        tries = min(tries + 1, 60)
        failure.wait = wait
        failure = yield 0


def _note_tries(details: Any) -> None:
    details["exception"].tries = details["tries"]


def _sleep_unless_stopped(seconds: float) -> None:
    """Wait; a signal ends the wait at once.

    Raises:
        Stopped: SIGTERM or SIGINT came.
    """
    stop_flag.wait(seconds)
    stop_flag.raise_if_set("it was waiting to ask the API again; the state printed so far is valid.")


_YEAR = 366 * 86_400


def _shown_wait(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < _YEAR else "more than a year"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for, by number or HTTP date; None without a usable one."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text)) if text.replace(".", "", 1).isdigit() else _seconds_until(text, headers)
    except (TypeError, ValueError, OverflowError):
        _logger.warning("Retry-After is neither seconds nor an HTTP date and is ignored.")
        return None


def _seconds_until(text: str, headers: Mapping[str, str]) -> float:
    moment = email.utils.parsedate_to_datetime(text).timestamp()
    # The server's own clock, where it tells: ours may be wrong.
    now = headers.get("Date")
    start = email.utils.parsedate_to_datetime(now).timestamp() if now else time.time()
    return max(0.0, moment - start)


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error and everything that led to it: requests and urllib3 wrap each in their own way."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found


def _certificate_problem(error: Exception) -> str | None:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
    return None


def _finding(error: Exception) -> str:
    """Say in a few words what went wrong on the way, without URLs or object addresses."""
    # In this order: urllib3 derives NewConnectionError and NameResolutionError from ConnectTimeoutError.
    kinds: list[tuple[type[BaseException], str]] = [
        (urllib3.exceptions.NameResolutionError, _UNKNOWN_HOST),
        (ConnectionRefusedError, "connection refused"),
        (urllib3.exceptions.NewConnectionError, "no connection"),
        (urllib3.exceptions.ConnectTimeoutError, "no connection in time"),
        (urllib3.exceptions.ReadTimeoutError, "no byte came in time"),
        (urllib3.exceptions.InvalidChunkLength, "the chunks of the body were broken"),
        (http.client.IncompleteRead, "the body was shorter than announced"),
        (urllib3.exceptions.SSLError, _NO_TLS),
        (ssl.SSLError, _NO_TLS),
        (TimeoutError, "no byte came in time"),
        (ConnectionError, "the connection was lost"),
    ]
    causes = _causes(error)
    for kind, words in kinds:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    return f"the connection failed ({type(error).__name__})"


def _challenge(headers: Mapping[str, str]) -> str:
    scheme = headers.get("WWW-Authenticate", "").split(" ", 1)[0]
    return f" (it asks for {redactor.mask_foreign(scheme)})" if scheme.isalnum() else ""


def excerpt(response: Response) -> str:
    text = redactor.mask_foreign(response.body[:_EXCERPT_FROM].decode("utf-8", "replace"))
    printable = "".join(char if char.isprintable() else " " for char in text)
    short = " ".join(printable.split())[:_EXCERPT]
    return f"`{short}`" if short else "nothing"


def utf8_text(response: Response, shown: Callable[[str], str]) -> bytes:
    """Return the body as UTF-8 without BOM: in the charset of its Content-Type, else UTF-8.

    ``shown`` writes a URL for people.

    Raises:
        BadDataError: the charset is unknown, or the body is not valid in it.
    """
    body = response.body
    declared = _charset(response.headers)
    try:
        codec = codecs.lookup(declared).name
        if codec in _NO_CHARSETS:
            raise LookupError
        "".encode(codec).decode(codec)  # some codecs are from bytes to bytes
    except (LookupError, ValueError):
        raise BadDataError(
            f"{shown(response.url)} declares the charset `{redactor.mask_foreign(declared)[:40]}`, which is unknown."
        ) from None
    try:
        if codec in ("utf-8", "ascii"):
            body = body.removeprefix(codecs.BOM_UTF8)
            check_utf8(body)
            return body
        return body.decode(codec).removeprefix("\ufeff").encode()
    except UnicodeError as error:
        place = getattr(error, "start", 0)
        raise BadDataError(
            f"Expected text in {codec} from {shown(response.url)}, got bytes that are not (byte {place}); "
            "ask its makers, or ask for another charset with an `Accept-Charset` header."
        ) from None


def _charset(headers: Mapping[str, str]) -> str:
    content_type = CaseInsensitiveDict(headers).get("Content-Type", "")
    for part in content_type.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "charset" and value:
            return value.strip("\"' ")
    return "utf-8"
