"""`client_cert` and what belongs to it: the certificate by which the server knows this client (mutual TLS)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from singerkit_shell.certificates import identity_problem
from tap_rest.settings import setting

__all__ = ["IDENTITY", "identity_problems"]

IDENTITY = {
    "client_cert": setting.name(
        "PEM file of a certificate that is shown to servers that ask for one (mutual TLS): to `base_url` and `auth.token_url`, and nowhere else. "
        "Those of authorities between may follow it, and the private key."
    ),
    "client_key": setting.name("PEM file of the private key of `client_cert`, where that does not hold it."),
    "client_key_password": setting.text("What the private key is encrypted with.", minLength=1),
}


def identity_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for what cannot be used of it, or would do nothing."""
    certificate = config.get("client_cert")
    if certificate is None:
        yield from (
            f"`{key}` has no effect without `client_cert`"
            for key in ("client_key", "client_key_password")
            if key in config
        )
        return
    urls = (config["base_url"], config.get("auth", {}).get("token_url", ""))
    if not any(url[:8].lower() == "https://" for url in urls):
        yield "`client_cert` has no effect, since `base_url` is read without TLS; write `https://` there, or take `client_cert` out"
    problem = identity_problem(certificate, config.get("client_key"), config.get("client_key_password"))
    if problem is not None:
        yield f"Expected a certificate and its private key in PEM at `client_cert` and `client_key`: {problem}"
