"""What a run would refuse or warn of, without a request, each as a finding of its own."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from singerkit_shell.errors import SingerkitError
from singerkit_shell.validate import config_problems
from tap_rest.linting.finding import Finding, place_in

__all__ = ["refusals"]

_LINE = re.compile(r" \(line \d+ of [^)]*\)")


def refusals(config: dict[str, Any], tap: Callable[..., Any]) -> Iterator[Finding]:
    """Yield what is wrong with a config, whose texts from elsewhere become what they are; ``tap`` is `tap_rest.tap.TapRest`."""
    given = _copied(config)  # a tap fills in what is said by default
    schema = copy.deepcopy(tap.config_jsonschema)  # type: ignore[attr-defined]  # it is a class
    tap.append_builtin_config(schema)  # type: ignore[attr-defined]
    problems = config_problems(config, schema)
    if problems:
        yield from map(_refused, problems)
        return
    try:
        made = tap(config=config, setup_mapper=False, validate_config=False)
        sentences: Sequence[str] = made.config_sentences(config)
        yield from map(_refused, sentences)
        if not sentences:
            made = tap(config=config, setup_mapper=False)
            made.unread_streams()
    except SingerkitError as error:
        yield _refused(str(error))
        return
    for sentence in made.config_warnings(given):
        yield Finding("no-effect", place_in(sentence), sentence)


def _copied(value: Any) -> Any:
    """Return dicts and lists anew; texts know where they come from."""
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _refused(sentence: str) -> Finding:
    rule = "invalid"
    if sentence.startswith("There is no setting"):
        rule = "unknown-key"
    elif "has no effect" in sentence:
        rule = "no-effect"
    return Finding(rule, place_in(sentence), _LINE.sub("", sentence), is_error=True)
