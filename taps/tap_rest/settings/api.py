"""Settings of the API as a whole: where it is, which hosts may be asked, what every request carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from singerkit_shell.certificates import authority_problem
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.reach import configured_origin, networks_of
from tap_rest.http.headers import header_problems
from tap_rest.masking import is_plain_value
from tap_rest.settings.identity import identity_problems

__all__ = ["api_problems"]


def api_problems(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each of them that cannot be used."""
    problems = _url_problems(config)
    try:
        networks_of(config.get("allowed_addresses", ()))
    except ConfigurationError as error:
        problems.append(str(error))
    ca_file = config.get("ca_file")
    problem = None if ca_file is None else authority_problem(ca_file)
    if problem is not None:
        problems.append(f"Expected a file with certificates in PEM at `ca_file`, got `{ca_file}`: {problem}")
    problems += identity_problems(config)
    problems += header_problems(config)
    return [problem.rstrip(".") for problem in problems]


def _url_problems(config: Mapping[str, Any]) -> list[str]:
    base_url = config["base_url"]
    problems = []
    for key, url in (
        ("base_url", base_url),
        *(("allowed_hosts", url) for url in config.get("allowed_hosts", ())),
    ):
        try:
            configured_origin(url, key)
        except ConfigurationError as error:
            problems.append(str(error))
    if not problems and urlsplit(base_url).username is not None:
        problems.append("Expected `base_url` without user and password; put them into `auth` (type `basic`)")
    return problems or _behind_path_problems(base_url)


def _behind_path_problems(base_url: str) -> list[str]:
    """Return what stands behind the path of `base_url`, where the paths of the streams would be joined to it."""
    query = urlsplit(base_url).query
    if "#" in base_url:
        return ["Expected `base_url` without `#`, which cuts off all that is joined to it; write it as `%23`"]
    if "?" not in base_url:
        return []
    pairs = {
        name: value if is_plain_value(value) else "..."
        for name, value in parse_qsl(query, keep_blank_values=True)
    }
    fits = f'`"params": {json.dumps(pairs)}` (a key in `auth`, type `api_key`)' if pairs else "`params`"
    return [
        f"Expected `base_url` without `?`, since paths are joined to its end; put its parameters into {fits}"
    ]
