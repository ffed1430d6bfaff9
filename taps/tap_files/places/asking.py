"""One request by HTTP: to which hosts it may go, what goes with it, and where redirects may lead."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from importlib import metadata
from typing import Any
from urllib.parse import quote, urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from singerkit_shell.errors import BadDataError, NotAuthorisedError
from singerkit_shell.guarded import guarded_socket
from singerkit_shell.reach import Network, Reach, configured_origin
from singerkit_shell.secrets import redactor
from tap_files.settings.storage import Patience

__all__ = ["Asking"]

_REDIRECTS = (301, 302, 303, 307, 308)


class Asking:
    """The session of one origin, and what of `storage.http` is sent there: all of it, or nothing."""

    def __init__(self, origin: str, said: Mapping[str, Any], reach: Reach, patience: Patience) -> None:
        self._origin, self._reach = origin, reach
        self._timeouts = (patience.connect, patience.read)
        self._redirects = said.get("redirects", 5)
        self._verify = said.get("ca_file") or True
        base = said.get("base_url")
        is_meant = base is not None and configured_origin(base, "storage.http.base_url") == configured_origin(
            origin, "path"
        )
        self._own = _headers(said) if is_meant else {}
        for value in self._own.values():
            redactor.add(value)
        self._session = requests.Session()
        self._session.auth = lambda request: request  # the user's .netrc is left alone
        self._session.headers.clear()
        self._session.headers.update(
            {
                "User-Agent": f"tap-files/{metadata.version('singerkit')} (singerkit)",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
            }
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Guarded(reach.networks))

    def close(self) -> None:
        self._session.close()

    def url(self, name: str) -> str:
        return f"{self._origin}/{quote(name, safe='/~!$&()*+,;=:@')}"

    def answer(self, method: str, url: str, headers: Mapping[str, str]) -> requests.Response:
        """Return the answer of who has the file in the end, whose body is still to be read.

        Raises:
            NotAuthorisedError: a redirect leads to another host, and that is not listed.
            ConfigurationError: it leads to a link-local or metadata address.
            BadDataError: it leads nowhere, or on and on.
        """
        for _ in range(self._redirects + 1):
            own = self._own if self._reach.is_own(url) else {}
            if not own and redactor.knows(url) and self._reach.is_own(url) is False:
                raise NotAuthorisedError(
                    f"A redirect of {self._origin} carries a credential of this config in its URL and was not followed."
                )
            answer = self._session.request(
                method,
                url,
                headers={**headers, **own},
                timeout=self._timeouts,
                verify=self._verify,
                allow_redirects=False,
                stream=True,
            )
            self._session.cookies.clear()
            if answer.status_code not in _REDIRECTS:
                return answer
            answer.close()
            led = answer.headers.get("Location")
            if not led:
                raise BadDataError(f"A redirect of {self._origin} leads nowhere; ask who runs the server.")
            url = urljoin(url, led)
        raise BadDataError(
            f"More than {self._redirects} redirects of {self._origin} follow each other; check `path`, or raise `storage.http.redirects`."
        )


def _headers(said: Mapping[str, Any]) -> dict[str, str]:
    headers = dict(said.get("headers", {}))
    if "token" in said:
        headers["Authorization"] = f"Bearer {said['token']}"
    if "username" in said:
        headers["Authorization"] = str(requests.auth._basic_auth_str(said["username"], said["password"]))
    return headers


class _Guarded(HTTPAdapter):
    """Connects to no address that `Reach` refuses; that of a proxy is the user's own choice."""

    def __init__(self, allowed: tuple[Network, ...]) -> None:
        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return guarded_socket(self, allowed)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return guarded_socket(self, allowed)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self._pools: dict[str, Any] = {"http": PlainPool, "https": SecurePool}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools
