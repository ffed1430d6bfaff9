"""Credentials: each scheme puts its secret into one prepared request, or asks for a token first.

A new scheme is a file here, a line in `credentials.py`, its keys in `settings/auth/keys.py` and its type in
`settings/auth/types.py`.
"""

from tap_rest.auth.credentials import Credentials
from tap_rest.auth.endpoint import Endpoint
from tap_rest.auth.places import query_keys_of
from tap_rest.auth.scheme import NoScheme, Scheme

__all__ = ["Credentials", "Endpoint", "NoScheme", "Scheme", "query_keys_of"]
