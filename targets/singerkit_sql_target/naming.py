"""Which table a stream goes to, and which column a field: by a rule, by templates, or as the config says of each."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from singerkit_catalog.patterns import NAME, most_exact, said_by_pattern, unmatched
from singerkit_shell.errors import ConfigurationError

__all__ = ["SETTINGS", "Naming", "lower_ascii", "naming_of", "naming_problems", "refuse_renamed", "snake"]

_BY_STREAM: Mapping[str, Any] = {
    "type": ["string", "object"],
    "minLength": 1,
    "secret": False,
    "additionalProperties": NAME,
}

SETTINGS: Mapping[str, Any] = {
    "names": {
        "type": "string",
        "enum": ["exact", "lower", "snake"],
        "default": "exact",
        "description": "How tables and columns are named after streams and fields: as they are written; with small letters in the "
        "place of `A` to `Z`; or in snake_case (`orderId` is `order_id`, `Total (EUR)` is `total_eur`).",
    },
    "table_name": {
        **_BY_STREAM,
        "description": "Template for the names of tables, as in `raw_{stream}`, or an object of such templates by stream or pattern, "
        'of which the first that fits counts: `{"crm-*": "crm_{table}", "*": "{stream}"}`. `{stream}` is the stream\'s name; of one with a '
        "hyphen `{schema}` is what stands before the first, `{table}` what stands behind it. `names` holds for what is put in.",
    },
    "schema_name": {
        **_BY_STREAM,
        "description": "Template for the schemas of tables, written as `table_name`; made if missing. State and dead letters stay in "
        "`default_target_schema`, which `{schema}` is of a stream without a hyphen.",
    },
    "column_names": {
        "type": "object",
        "additionalProperties": NAME,
        "description": 'Names of single columns, by stream and field, or globs over those, as in `{"orders.Id": "order_id", "*.Id": "id"}`; '
        "the most exact one counts.",
    },
}

_PARTS = ("stream", "schema", "table")


def lower_ascii(name: str) -> str:
    """Return a name with small letters for those of ASCII, and all others as they are."""
    return "".join(chr(ord(one) + 32) if "A" <= one <= "Z" else one for one in name)


def snake(name: str) -> str:
    """Return a name in snake_case: words of small letters and digits, what stands between them as one `_`; `_` at its beginning stays."""
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    plain = re.sub(r"[\W_]+", "_", words.lower()).strip("_")
    led = re.match("_*", name)
    before = led[0] if led else ""
    return f"{before or '_'}{plain}" if plain[:1].isdigit() or not plain else before + plain


_RULES: Mapping[str, Callable[[str], str]] = {"exact": str, "lower": lower_ascii, "snake": snake}


@dataclass(frozen=True)
class Naming:
    """What the config says about names; ``tables`` and ``schemas`` are templates by pattern of streams."""

    rule: str = "exact"
    tables: Mapping[str, str] = field(default_factory=dict)
    schemas: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    def table(self, stream: str) -> str:
        """Return the name of a stream's table, which the store may have to shorten."""
        template = most_exact(self.tables, stream, "table_name")
        return self._filled("{stream}" if template is None else template, stream, "")

    def schema(self, stream: str, default: str) -> str:
        template = most_exact(self.schemas, stream, "schema_name")
        return default if template is None else self._filled(template, stream, default)

    def column(self, stream: str, name: str) -> str:
        given = most_exact(self.columns, f"{stream}.{name}", "column_names", "field")
        return _RULES[self.rule](name) if given is None else given

    def others(self, stream: str, name: str) -> set[str]:
        """What a field's column may have been called before: by another rule, or as it is written."""
        return {rule(name) for rule in _RULES.values()} - {self.column(stream, name)}

    @property
    def is_plain(self) -> bool:
        return self == Naming()

    def unmet(self, streams: Mapping[str, Collection[str]]) -> Iterable[str]:
        """Yield a sentence for each entry that no stream, or no field of a stream, of the run has met."""
        fields = [f"{stream}.{name}" for stream, names in streams.items() for name in names]
        for setting, given, met in (
            ("table_name", self.tables, streams),
            ("schema_name", self.schemas, streams),
            ("column_names", self.columns, fields),
        ):
            for pattern in unmatched(given, met):
                what = "such stream with such a field" if setting == "column_names" else "such stream"
                yield f"`{setting}` names `{pattern}`, and this run had no {what}: correct the name, unless that is left out on purpose."

    def _filled(self, template: str, stream: str, default: str) -> str:
        before, hyphen, behind = stream.partition("-")
        rule = _RULES[self.rule]
        whole = bool(before and hyphen and behind)
        return template.format(
            stream=rule(stream),
            schema=rule(before) if whole else default,
            table=rule(behind) if whole else rule(stream),
        )


def naming_of(config: Mapping[str, Any]) -> Naming:
    """Return what a config says about names."""
    return Naming(
        config.get("names", "exact"),
        _by_stream(config.get("table_name")),
        _by_stream(config.get("schema_name")),
        config.get("column_names", {}),
    )


def _by_stream(given: Any) -> Mapping[str, str]:
    """Return the templates by pattern."""
    return {} if given is None else said_by_pattern(given)


def naming_problems(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each template that cannot be filled in."""
    return [
        f"Expected `{{stream}}`, `{{schema}}` or `{{table}}` in braces at `{setting}`, got `{template}`"
        for setting in ("table_name", "schema_name")
        for template in _by_stream(config.get(setting)).values()
        if not _is_template(template)
    ]


def _is_template(text: str) -> bool:
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        return False
    return all(name is None or (name in _PARTS and not form and not way) for _, name, form, way in parts)


def refuse_renamed(
    naming: Naming,
    stream: str,
    columns: Mapping[str, str],
    there: Collection[str],
    renaming: Callable[[str, str], str],
) -> None:
    """See that fields whose columns are missing have none under another name; ``columns`` are those of fields, ``there`` those of the table.

    Without settings about names they count as they are written, and a column beside another one is only told of.

    Raises:
        ConfigurationError: they have, so that rows which are stored would have their values there, and new ones here.
    """
    if naming.is_plain:
        return
    free = set(there) - set(columns.values())
    renamed = [
        (former, column)
        for name, column in columns.items()
        if column not in there
        for former in sorted(naming.others(stream, name) & free)[:1]
    ]
    if renamed:
        told = ", ".join(f"`{former}` is to be `{column}`" for former, column in renamed[:10])
        statements = "; ".join(renaming(former, column) for former, column in renamed)
        raise ConfigurationError(
            f"The config names columns of stream `{stream}` otherwise than its table, which has rows: {told}; nothing was written: "
            f"rename them (`{statements}`), or name them as they are in `column_names`, then run again."
        )
