"""A session of requests, as far down as a request that is ready: sent within its limits, and the whole body of its answer read."""

from __future__ import annotations

import http.client
import logging
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.cookies import extract_cookies_to_jar

from singerkit_shell.certificates import authority_problem
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.reach import Network, Origin, origin_of
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from tap_rest.answers.answer import Response
from tap_rest.config import ApiSettings
from tap_rest.http.connection import GuardedAdapter, Watchdog
from tap_rest.http.exchange import Answer
from tap_rest.http.faults import failure_of
from tap_rest.http.retries import Transient
from tap_rest.http.storing import PIECE, Limits, Span, TooLargeError, stored
from tap_rest.http.unpacking import CutError, unpacked
from tap_rest.masking import mask_credentials_of
from tap_rest.recording.tape import Asked, Tape, Track

__all__ = ["Transport"]

# It prints a traceback about headers that it cannot read, and goes on.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
_TRANSFERS = ("", "chunked", "identity")


class Transport:
    """One session: its connections, cookies, proxies and certificates, and the limits of the config.

    ``shown`` writes a URL for people; ``url_setting`` is where the config says what is asked; None: others, to whom
    no certificate of ours is shown. ``tape`` gives the answers, where there is one, to requests of a ``track``.
    """

    def __init__(
        self,
        settings: ApiSettings,
        networks: Sequence[Network],
        watchdog: Watchdog,
        shown: Callable[[str], str],
        url_setting: str | None = "base_url",
        tape: Tape | None = None,
        track: Track = Track.READER,
    ) -> None:
        self._tape, self._track = tape, track
        self._settings, self._watchdog, self._shown = settings, watchdog, shown
        self._url_setting = url_setting or "allowed_hosts"
        self._certificate = _certificate_of(settings) if url_setting is not None else None
        self._limits = Limits.of(settings.limits.response_bytes)
        self._options: dict[Origin, dict[str, Any]] = {}
        agent = settings.user_agent or f"tap-rest/{metadata.version('singerkit')} (singerkit)"
        self.session = requests.Session()
        self.session.headers.update({"User-Agent": agent, "Accept": "application/json, */*;q=0.5"})
        self.session.headers["Accept-Encoding"] = (
            "gzip, deflate"  # what `unpacked` reads, whatever is installed
        )
        # The user's .netrc is left alone.
        self.session.auth = lambda request: request
        self._adapter = adapter = GuardedAdapter(watchdog, networks, settings.client_key_password)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)

    def close(self) -> None:
        """Close every connection."""
        self.session.close()

    def send(
        self, prepared: requests.PreparedRequest, url: str, content: str | bytes | None = None
    ) -> Response:
        """Make one request and read its whole body.

        ``url`` and ``content`` are those of the request without credentials, and without what a hook has made of them.

        Raises:
            Transient, RetryableError, ConfigurationError: see `failure_of`.
            BadDataError: a body that is too large, or no HTTP.
            Stopped: a signal came meanwhile.
        """
        if self._tape is None:
            return self._answer(prepared, url)
        return self._tape.answered(
            self._track, prepared, Asked(url, content), self.session, lambda: self._answer(prepared, url)
        )

    def _answer(self, prepared: requests.PreparedRequest, url: str) -> Response:
        options = self._transport_options(str(prepared.url))
        timeouts = (self._settings.timeout.connect, self._settings.timeout.read)
        began = time.monotonic()
        with self._watchdog.limit(self._settings.timeout.response):
            try:
                with self._adapter.exchange(prepared, timeouts, **options) as answer:
                    if "Set-Cookie" in answer.headers:
                        extract_cookies_to_jar(self.session.cookies, prepared, answer)  # type: ignore[no-untyped-call]  # it has no types
                    body = self._read_body(answer, url)
            except (
                requests.RequestException,
                urllib3.exceptions.HTTPError,
                OSError,
                http.client.HTTPException,
            ) as error:
                raise self._failure(error, url) from error
            except ValueError as error:  # what the library did not foresee
                raise BadDataError(
                    f"The answer of {self._shown(url)} is no HTTP ({type(error).__name__}); ask its makers."
                ) from error
            if self._watchdog.has_expired:
                raise self._failure(TimeoutError(), url)
        spans = () if isinstance(body, bytes) else (body,)
        head = body if isinstance(body, bytes) else body.read(0, PIECE)
        return Response(url, answer.status, answer.headers, head, time.monotonic() - began, spans=spans)

    def _transport_options(self, url: str) -> dict[str, Any]:
        """Return proxies and certificates for a URL; requests would read the environment for each page."""
        origin = origin_of(url)
        if origin not in self._options:
            # `verify` is said here, since a session's own gives way to REQUESTS_CA_BUNDLE.
            verify = self._settings.ca_file or None
            options: dict[str, Any] = dict(
                self.session.merge_environment_settings(url, {}, True, verify, self._certificate)
            )
            try:
                mask_credentials_of(options["proxies"].values())
            except ValueError:
                raise ConfigurationError(
                    "Expected the URL of a proxy in the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY), got "
                    "something that is none; correct it, or name the host in NO_PROXY."
                ) from None
            if origin[0] == "https":
                _check_authorities(options["verify"])
            del options["stream"]
            self._options[origin] = options
        return self._options[origin]

    def _read_body(self, answer: Answer, url: str) -> bytes | Span:
        transfer = answer.headers.get("Transfer-Encoding", "").strip().lower()
        if transfer not in _TRANSFERS:
            raise BadDataError(
                f"The body from {self._shown(url)} comes in the transfer encoding `{redactor.mask_foreign(transfer)[:40]}`, which was not "
                "asked for and is not read; ask its makers, or those of a proxy on the way."
            )
        encoding = answer.headers.get("Content-Encoding", "")
        begun = b"" if encoding or transfer else _at_once(answer)
        if begun and len(begun) == int(answer.headers["Content-Length"]) <= self._limits.whole:
            return begun
        try:
            return stored(unpacked(chain([begun], self._pieces(answer)), encoding), self._limits)
        except TooLargeError as error:
            raise BadDataError(
                f"The body from {self._shown(url)} is larger than {error.limit} bytes after decompression; ask "
                "for smaller pages, or raise `limits.response_bytes`."
            ) from None
        except CutError:
            raise Transient("the body was cut before the end of its compression") from None
        except zlib.error:
            raise BadDataError(
                f"The body from {self._shown(url)} is not in the encoding it declares (Content-Encoding)."
            ) from None

    def _pieces(self, answer: Answer) -> Iterator[bytes]:
        left = self._limits.stored
        while piece := answer.read(PIECE):
            left -= len(piece)
            if left < 0:  # behind the end of what is compressed
                raise TooLargeError(self._limits.stored)
            yield piece

    def _failure(self, error: Exception, url: str) -> Exception:
        stop_flag.raise_if_set("the request under way was dropped, the state printed so far is valid.")
        if self._watchdog.has_expired:
            return Transient(f"the answer took longer than {self._settings.timeout.response:g} s")
        return failure_of(error, self._shown(url), self._url_setting)


def _certificate_of(settings: ApiSettings) -> tuple[str, str] | str | None:
    """Return the certificate of this client as requests takes it, with its key where that is a file of its own."""
    if settings.client_cert is None or settings.client_key is None:
        return settings.client_cert
    return settings.client_cert, settings.client_key


def _at_once(answer: Answer) -> bytes:
    """Return a body that is not compressed, and short, as far as it comes; nothing of another."""
    length = answer.headers.get("Content-Length", "")
    return answer.read(PIECE) if length.isdecimal() and 0 < int(length) <= PIECE else b""


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
