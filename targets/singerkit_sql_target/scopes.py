"""Which rows `load_method: delete+insert` replaces: those of a set that comes as a whole, by fields, or by a window of one (`replace_by`)."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from singerkit_catalog.patterns import NAME, most_exact, unmatched
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_wire.stream import Stream

__all__ = ["SCOPES", "Scope", "Scopes", "scope_problems", "scopes_of"]

_WINDOW = "window"

SCOPES: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "says": 'a list of fields, each once, or `{"window": "day"}`',
        "oneOf": [
            {"type": "array", "items": NAME, "minItems": 1, "uniqueItems": True},
            {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": NAME},
        ],
    },
    "description": "Which rows of streams under `load_method: delete+insert` a run replaces, by globs over their names as there: those that have the "
    'values of what came in some fields (`{"lines": ["order_id"]}`: all lines of each order that came), or lie between the least and the '
    'greatest value that came (`{"daily": {"window": "day"}}`).',
}


@dataclass(frozen=True)
class Scope:
    """The fields by whose values rows are replaced; ``is_window``: of one field, those between the least and the greatest that came."""

    fields: tuple[str, ...]
    is_window: bool = False

    def needed_in(self, stream: Stream) -> Stream:
        """Return a stream whose records have to have a value in each of the fields.

        Raises:
            ConfigurationError: it has not.
        """
        for name in self.fields:
            if name not in stream.column_names:
                near = difflib.get_close_matches(name, stream.column_names, 1)
                hint = f" (did you mean `{near[0]}`?)" if near else ""
                raise ConfigurationError(
                    f"Expected a field of stream `{stream.name}` at `replace_by`, got `{name}`{hint}; nothing of this stream was written: correct "
                    "the config, then run again."
                )
        columns = (
            replace(one, required=True, nullable=False) if one.name in self.fields else one
            for one in stream.columns
        )
        return replace(stream, columns=tuple(columns), needed=self.fields)

    def lacks_value(self, stream: str) -> BadDataError:
        """What ends a run in which rows come that belong to no set."""
        names = ", ".join(f"`{name}`" for name in self.fields)
        return BadDataError(
            f"Expected a value in {names} of each row of stream `{stream}`, by which its rows are replaced (`replace_by`), got null or none; "
            "nothing was replaced: correct it at the source, or choose other fields, then run again."
        )


@dataclass(frozen=True)
class Scopes:
    """The scopes by pattern; of several that match a stream the most exact one counts, as in `load_method`."""

    by_pattern: Mapping[str, Scope] = field(default_factory=dict)

    def of(self, stream: str) -> Scope:
        """Return the scope of a stream.

        Raises:
            ConfigurationError: there is none.
        """
        found = most_exact(self.by_pattern, stream, "replace_by")
        if found is None:
            raise ConfigurationError(
                f"Stream `{stream}` is loaded by `load_method: delete+insert`, and `replace_by` does not say which rows a run replaces; nothing of "
                f"this stream was written: name the fields, as in `{json.dumps({'replace_by': {stream: ['order_id']}})}`, then run again."
            )
        return found

    def unmatched(self, streams: Collection[str]) -> list[str]:
        """Return the patterns that match none of the streams."""
        return unmatched(self.by_pattern, streams)


def scope_problems(value: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with `replace_by` that its schema does not tell, a sentence each without its full stop."""
    return [
        f"Expected the key `window` at replace_by.{pattern}, got `{key}`"
        for pattern, said in value.items()
        if isinstance(said, Mapping)
        for key in said
        if key != _WINDOW
    ]


def scopes_of(value: Mapping[str, Any]) -> Scopes:
    """Return what `replace_by` says."""
    return Scopes(
        {
            pattern: Scope((said[_WINDOW],), is_window=True)
            if isinstance(said, Mapping)
            else Scope(tuple(said))
            for pattern, said in value.items()
        }
    )
