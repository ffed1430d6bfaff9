"""One request: prepared, sent by the session that fits its origin, and the body of its answer read and unpacked."""

from __future__ import annotations

import http.client
import logging
import re
import time
import zlib
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import requests
import urllib3
from requests.auth import AuthBase
from requests.cookies import extract_cookies_to_jar

from singerkit_shell.certificates import authority_problem
from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from tap_rest.addresses import Origin, Reach, origin_of, origin_text
from tap_rest.answers import Response
from tap_rest.auth import NoAuth, auth_of, query_key_of, renewed_auth
from tap_rest.config import ApiSettings
from tap_rest.connection import GuardedAdapter, Watchdog
from tap_rest.faults import failure_of
from tap_rest.headers import IN_A_HEADER, fits_a_header
from tap_rest.masking import mask_credentials_of, register_secrets
from tap_rest.retries import Transient
from tap_rest.unpacking import CutError, TooLargeError, unpacked

__all__ = ["Sender"]

# It prints a traceback about headers that it cannot read, and goes on.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
_logger = logging.getLogger("tap-rest")
_CHUNK = 1024 * 1024
_TRANSFERS = ("", "chunked", "identity")
_SETTLED_QUERY = re.compile(
    r"(?:[\w.~&=+-]|%(?:2[1-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-D]|[89A-F][0-9A-F]))*", re.ASCII
)
"""A query that no library writes otherwise: nothing is to be escaped in it, and no escape stands for a plain character."""


class Sender:
    """Sends single requests. Credentials, headers and cookies go to the origin of `base_url` only.

    ``shown`` writes a URL for people.
    """

    def __init__(self, settings: ApiSettings, reach: Reach, shown: Callable[[str], str]) -> None:
        self._settings, self._reach, self._shown = settings, reach, shown
        self._watchdog = Watchdog()
        self._options: dict[Origin, dict[str, Any]] = {}
        self._last_prepared: tuple[Any, requests.PreparedRequest] | None = None
        """A request without credentials and query, and what the next one must have to be like it but for these."""
        self._credentials = settings.auth
        self._auth = auth_of(settings.auth)
        self._query_key = query_key_of(settings.auth)
        self._own = self._session()
        self._own.headers.update(settings.headers)
        # Cookies do not know ports, so other origins get a session of their own, which keeps none.
        self._foreign = self._session()
        self.count = 0
        register_secrets(settings.headers)

    def _session(self) -> requests.Session:
        agent = self._settings.user_agent or f"tap-rest/{metadata.version('singerkit')} (singerkit)"
        session = requests.Session()
        session.headers.update({"User-Agent": agent, "Accept": "application/json, */*;q=0.5"})
        session.headers["Accept-Encoding"] = "gzip, deflate"  # what `unpacked` reads, whatever is installed
        session.auth = NoAuth()
        adapter = GuardedAdapter(self._watchdog, self._reach.networks)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def close(self) -> None:
        """Close every connection."""
        self._own.close()
        self._foreign.close()
        self._watchdog.close()

    def send(self, url: str, headers: Mapping[str, str]) -> Response:
        """Make one request and read its whole body.

        Raises:
            Transient, RetryableError, ConfigurationError: see `failure_of`.
            NotAuthorisedError, BadDataError, Stopped: see `Client.get`.
        """
        own = self._reach.is_own(url)
        session = self._own if own else self._foreign
        if not own:
            url, headers = self._without_secrets(url), {}
        prepared = self._prepared(session, url, headers, self._auth if own else NoAuth())
        options = self._transport_options(session, str(prepared.url))
        timeout = (self._settings.timeout.connect, self._settings.timeout.read)
        self.count += 1
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
                    f"The answer of {self._shown(url)} is no HTTP ({type(error).__name__}); ask its makers."
                ) from error
            if self._watchdog.has_expired:
                raise self._failure(TimeoutError(), url)
        stop_flag.raise_if_set("the page under way was dropped, the state printed so far is valid.")
        if not own:
            session.cookies.clear()
        return Response(url, answer.status_code, answer.headers, body, time.monotonic() - began)

    def renew_credentials(self, url: str) -> bool:
        """Read those again that came from files, where ``url`` is sent any; return whether other ones are sent from now on."""
        now = renewed_auth(self._credentials) if self._reach.is_own(url) else None
        if now is None:
            return False
        self._credentials, self._auth = now, auth_of(now)
        _logger.info(
            "The file of the credentials at `auth` holds other ones by now, which are sent from now on."
        )
        return True

    def _without_secrets(self, url: str) -> str:
        """Take the key out of a URL that the server made from ours."""
        parts = urlsplit(url)
        if self._query_key is not None:
            pairs = parse_qsl(parts.query, keep_blank_values=True)
            others = [pair for pair in pairs if pair[0] != self._query_key]
            if len(others) != len(pairs):
                url = urlunsplit(parts._replace(query=urlencode(others)))
        if redactor.knows(url):
            raise NotAuthorisedError(
                f"The way to {origin_text(origin_of(url))} carries a credential of this config in its URL "
                "and was not followed."
            )
        return url

    def _prepared(
        self, session: requests.Session, url: str, headers: Mapping[str, str], auth: AuthBase
    ) -> requests.PreparedRequest:
        """Return the request as it is sent.

        Raises:
            BadDataError: the API, or a record of a parent, gave a URL or a token that no request can hold.
        """
        for name, value in headers.items():
            if not fits_a_header(value):
                raise BadDataError(
                    f"Expected {IN_A_HEADER} for the header `{name}`, got other characters; the API gave them, "
                    "ask its makers."
                )
        try:
            prepared = self._like_last(session, url, headers)
            is_same = origin_of(str(prepared.url)) == origin_of(url)
            prepared.prepare_auth(auth, url)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError):
            raise BadDataError(
                f"Expected the URL of a page, got one that is none: {self._shown(url)}."
            ) from None
        if not is_same:
            raise BadDataError(f"Expected the URL of a page, got one that is ambiguous: {self._shown(url)}.")
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
                mask_credentials_of(options["proxies"].values())
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
        transfer = answer.headers.get("Transfer-Encoding", "").strip().lower()
        if transfer not in _TRANSFERS:
            raise BadDataError(
                f"The body from {self._shown(url)} comes in the transfer encoding `{redactor.mask_foreign(transfer)[:40]}`, which was not "
                "asked for and is not read; ask its makers, or those of a proxy on the way."
            )
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
                f"The body from {self._shown(url)} is larger than {limit} bytes after decompression; ask "
                "for smaller pages, or raise `limits.response_bytes`."
            ) from None
        except CutError:
            raise Transient("the body was cut before the end of its compression") from None
        except zlib.error:
            raise BadDataError(
                f"The body from {self._shown(url)} is not in the encoding it declares (Content-Encoding)."
            ) from None

    def _failure(self, error: Exception, url: str) -> Exception:
        stop_flag.raise_if_set("the request under way was dropped, the state printed so far is valid.")
        if self._watchdog.has_expired:
            return Transient(f"the answer took longer than {self._settings.timeout.response:g} s")
        return failure_of(error, self._shown(url))


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
