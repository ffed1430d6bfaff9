"""`aws_sigv4`: each request signed as the services of AWS have it (Signature Version 4)."""

from __future__ import annotations

from typing import Any

from requests import PreparedRequest

from singerkit_shell.secrets import redactor
from tap_rest.auth.endpoint import Endpoint
from tap_rest.auth.scheme import Scheme
from tap_rest.extras import imported
from tap_rest.settings.auth.types import AwsSettings

__all__ = ["aws_sigv4"]


class SigV4(Scheme):
    """Signs with the key of a day, which ``signer`` makes anew when the day ends."""

    def __init__(self, signer: Any) -> None:
        self._signer = signer

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        head, mark, query = str(request.url).partition("?")
        request.url = (
            head + mark + query.replace("+", "%20")
        )  # what a plus stands for, AWS and others do not agree
        signed: PreparedRequest = self._signer(request)
        return signed


def aws_sigv4(settings: AwsSettings, _endpoint: Endpoint) -> Scheme:
    library = imported("requests_aws4auth", "`auth.type` `aws_sigv4`")
    for secret in (settings.secret_access_key, settings.session_token):
        redactor.add(secret or "")
    signer = library.AWS4Auth(
        settings.access_key_id,
        settings.secret_access_key,
        settings.region,
        settings.service,
        session_token=settings.session_token,
    )
    return SigV4(signer)
