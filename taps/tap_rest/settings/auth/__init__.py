"""`auth`: credentials."""

from tap_rest.settings.auth.effects import auth_effects, sent_by_auth
from tap_rest.settings.auth.keys import AUTH
from tap_rest.settings.auth.problems import auth_problems
from tap_rest.settings.auth.types import AuthSettings, NoneSettings, Placed, type_of

__all__ = [
    "AUTH",
    "AuthSettings",
    "NoneSettings",
    "Placed",
    "auth_effects",
    "auth_problems",
    "sent_by_auth",
    "type_of",
]
