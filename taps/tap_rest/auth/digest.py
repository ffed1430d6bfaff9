"""`digest`: HTTP digest authentication (RFC 7616), answered to the challenge of a 401."""

from __future__ import annotations

import re
from types import SimpleNamespace

from requests import PreparedRequest
from requests.auth import HTTPDigestAuth
from requests.utils import parse_dict_header

from singerkit_shell.errors import NotAuthorisedError
from singerkit_shell.secrets import redactor
from tap_rest.answers.answer import Response
from tap_rest.auth.endpoint import Endpoint
from tap_rest.auth.scheme import Scheme
from tap_rest.settings.auth.types import DigestSettings

__all__ = ["digest"]

_BEGIN = re.compile(r"(?:^|,)\s*digest\s+", re.IGNORECASE)
_ALGORITHMS = ("MD5", "MD5-SESS", "SHA", "SHA-256", "SHA-512")
"""Those that requests hashes by."""


class Digest(Scheme):
    """Sends nothing until a 401 has brought a challenge, and answers that from then on."""

    def __init__(self, user: str, password: str) -> None:
        self._auth = HTTPDigestAuth(user, password)
        # All threads share a challenge, and so the count of its uses.
        self._state = SimpleNamespace(init=True, last_nonce="", nonce_count=0, chal={})
        self._auth._thread_local = self._state  # type: ignore[attr-defined]  # its stubs have no private names
        self._serial = 0

    @property
    def serial(self) -> int:
        return self._serial

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self._state.chal:
            header = self._auth.build_digest_header(str(request.method), str(request.url))  # type: ignore[no-untyped-call]  # it has no types
            request.headers["Authorization"] = str(header)
        return request

    def renew(self, refused: Response) -> bool:
        challenges = _challenges(refused.headers.get("WWW-Authenticate", ""))
        if not challenges:
            return False
        self._state.chal = _first_known(challenges)
        self._serial += 1
        return True


def _challenges(header: str) -> list[dict[str, str]]:
    """Return those of digest authentication; those of other schemes may stand between them."""
    found = [parse_dict_header(text) for text in _BEGIN.split(header)[1:]]  # type: ignore[no-untyped-call]  # it has no types
    return [challenge for challenge in found if "nonce" in challenge and "realm" in challenge]


def _first_known(challenges: list[dict[str, str]]) -> dict[str, str]:
    """Return the one that the server likes best of those that can be answered.

    Raises:
        NotAuthorisedError: none can.
    """
    for challenge in challenges:
        ways = [way.strip() for way in challenge.get("qop", "auth").split(",")]
        if challenge.get("algorithm", "MD5").upper() in _ALGORITHMS and "auth" in ways:
            return challenge | ({"qop": "auth"} if "qop" in challenge else {})
    asked = ", ".join(challenge.get("algorithm", "MD5") for challenge in challenges)
    raise NotAuthorisedError(
        f"The API asks for digest authentication by `{redactor.mask_foreign(asked)[:60]}` in a way that tap-rest does not know (it knows "
        f"{', '.join(_ALGORITHMS)}, with `qop` `auth`); nothing was read."
    )


def digest(settings: DigestSettings, _endpoint: Endpoint) -> Scheme:
    redactor.add(settings.password)
    return Digest(settings.username, settings.password)
