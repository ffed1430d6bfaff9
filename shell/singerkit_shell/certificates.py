"""Files of certificates that a config names: looked at before anything is sent."""

from __future__ import annotations

import os
import ssl

__all__ = ["authority_problem", "file_problem"]


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
