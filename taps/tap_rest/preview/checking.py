"""Whether a config that was drafted is one, before it is printed: its variables have no values yet."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from singerkit_shell.validate import config_problems
from tap_rest.config import CONFIG_SCHEMA, config_conflicts

__all__ = ["problems_of_draft"]

_VARIABLE = re.compile(r"(?<!\$)\$\{\w+\}")


def problems_of_draft(config: Mapping[str, Any]) -> Sequence[str]:
    """Return what is wrong with a config, whatever its variables hold."""
    filled = json.loads(_VARIABLE.sub("x", json.dumps(config)))
    return config_problems(filled, CONFIG_SCHEMA) or config_conflicts(filled)
