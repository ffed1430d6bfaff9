"""Files of certificates that a config names: looked at before anything is sent."""

from __future__ import annotations

import os
import ssl

__all__ = ["authority_problem", "file_problem", "identity_problem"]


def file_problem(path: str) -> str | None:
    """Return what is wrong with a file that is to be read, in a few words; None when nothing is."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except (OSError, ValueError) as error:
        return f"it cannot be read ({getattr(error, 'strerror', None) or 'not a path'})"
    return None if os.path.isfile(path) else "it is no file"


def authority_problem(path: str) -> str | None:
    """Return what is wrong with a file of trusted authorities; None when it holds certificates in PEM."""
    problem = file_problem(path)
    if problem is None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except (OSError, ValueError):
            return "it holds no certificate in PEM"
    return problem


def identity_problem(certificate: str, key: str | None, password: str | None) -> str | None:
    """Return what is wrong with the files of a certificate and its private key, which ``certificate`` may hold itself."""
    for path in filter(None, (certificate, key)):
        problem = file_problem(path)
        if problem is not None:
            return f"`{path}`: {problem}"
    asked: list[bool] = []

    def given() -> str:
        asked.append(True)  # otherwise OpenSSL asks at the terminal
        return password or ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, given)
    except ssl.SSLError as error:
        if asked:
            return (
                "the private key is encrypted, and not with this password"
                if password
                else "the private key is encrypted"
            )
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the private key is that of another certificate"
        return "there is no certificate with a private key"
    except (OSError, ValueError):
        return "there is no certificate with a private key"
    return "a password is given, and the private key is not encrypted" if password and not asked else None
