"""What a scheme of credentials is to those who send requests."""

from __future__ import annotations

from requests import PreparedRequest
from requests.auth import AuthBase

from tap_rest.answers.answer import Response

__all__ = ["NoScheme", "Scheme"]


class Scheme(AuthBase):
    """Puts its secret into a request that is ready otherwise; it is called only for requests to the origin of `base_url`."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        raise NotImplementedError

    @property
    def serial(self) -> int:
        """A number that changes when other credentials are sent from now on."""
        return 0

    def renew(self, refused: Response) -> bool:
        """See to other credentials after an answer that refused these; tell whether the request is worth sending once more."""
        del refused
        return False

    def note_refused(self) -> None:
        """Take note that the credentials that `renew` has seen to were refused, too: it is not about them."""


class NoScheme(Scheme):
    """Sends nothing."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        return request
