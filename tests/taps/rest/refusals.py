"""What tap-rest says of an `auth` that cannot be meant, before it asks for anything; no process is needed for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import config_problems
from tap_rest.config import CONFIG_SCHEMA, api_settings, config_conflicts
from tap_rest.http.client import Client

__all__ = ["refusal_of"]


def refusal_of(auth: Mapping[str, Any]) -> str:
    """Return the sentences about a config with this `auth`, or that with which its client is not made."""
    stream = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
    config = {"base_url": "http://127.0.0.1:9", "streams": [stream], "auth": auth}
    said = config_problems(config, CONFIG_SCHEMA) or config_conflicts(config)
    if said:
        return "; ".join(said)
    with pytest.raises(ConfigurationError) as refused:
        Client(api_settings(config))
    return str(refused.value)
