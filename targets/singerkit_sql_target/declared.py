"""`--tables`: the tables of the streams that SCHEMA messages declare, without a look at the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from singerkit_quality.rules import Rule, Rules
from singerkit_shell.errors import BadDataError
from singerkit_sql_target.dialect import Words
from singerkit_sql_target.fitting import METADATA_KINDS, VALID_FROM, VALID_TO
from singerkit_sql_target.keying import ROW_HASH
from singerkit_sql_target.names import Places, identifiers, place_of
from singerkit_sql_target.settings import Settings
from singerkit_target.mapping import MapOfTarget
from singerkit_target.unnesting import Unnesting
from singerkit_wire.declarations import declared_stream, read_declaration
from singerkit_wire.messages import Message
from singerkit_wire.stream import DELETED_AT, Stream

__all__ = ["tables_of"]

_LOADED_AT = "_sdc_batched_at"


class _Line(msgspec.Struct):
    type: str
    stream: str | None = None


def tables_of(
    lines: Iterable[bytes],
    settings: Settings,
    words: Words,
    unnesting: Unnesting,
    mapping: MapOfTarget,
    rules: Rules = Rules({}),  # noqa: B008  frozen
) -> Iterator[dict[str, Any]]:
    """Yield what there is to say of the table of each stream, of the last SCHEMA message of each; messages of other kinds say nothing here.

    Raises:
        BadDataError, ConfigurationError: as of a load, before it writes anything.
    """
    streams: dict[str, Stream] = {}
    unnesting.keys = settings.keying.fields
    for message in mapping.parts(_schemas(lines)):
        assert isinstance(message, Message)  # noqa: S101  no records are among them
        for flat in unnesting.messages(message):
            declaration = read_declaration(flat)
            key = settings.keying.fields(declaration.stream)
            stream = declared_stream(declaration, flat.number, keeps_text=False, max_columns=None, key=key)
            streams[stream.name] = settings.as_told(stream)
    places = Places(settings, words, ())
    for stream in streams.values():
        places.take(stream.name)
        yield _table(stream, settings, words) | _checks(stream.name, rules, settings, words)


def _schemas(lines: Iterable[bytes]) -> Iterator[Message]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            said = msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadDataError(f"Expected a Singer message at line {number}: {error}.") from None
        if said.type.upper() == "SCHEMA" and said.stream is not None:
            yield Message("SCHEMA", said.stream, line, number)


def _table(stream: Stream, settings: Settings, words: Words) -> dict[str, Any]:
    metadata = [name for name in METADATA_KINDS if settings.with_metadata and name not in stream.column_names]
    columns = identifiers(
        [*stream.column_names, *metadata],
        f"the schema of stream `{stream.name}`",
        words,
        called=lambda field: settings.naming.column(stream.name, field),
    )
    schema, table = place_of(stream.name, settings, words)
    keeps_history = settings.keeps_history(stream.name)
    return {
        "stream": stream.name,
        "schema": schema,
        "table": table,
        "load_method": settings.methods.of(stream.name).value,
        "key": [columns.get(name, ROW_HASH) for name in settings.key(stream)],
        "columns": [
            {
                "field": column.name,
                "column": columns[column.name],
                "kind": column.kind.value,
                "schema": column.schema,
            }
            | ({"type": chosen} if (chosen := settings.type_of(stream.name, column.name)) else {})
            for column in stream.columns
        ],
        "deleted_at": columns.get(DELETED_AT),
        "loaded_at": columns.get(_LOADED_AT),
        "valid": [VALID_FROM, VALID_TO] if keeps_history else None,
        **_description(stream.schema),
    }


def _checks(stream: str, rules: Rules, settings: Settings, words: Words) -> dict[str, Any]:
    """Return the rules of quality of a stream, with the columns that its fields have."""
    said = [_check(stream, rule, settings, words) for rule in rules.of(stream)]
    return {"checks": said} if said else {}


def _check(stream: str, rule: Rule, settings: Settings, words: Words) -> dict[str, Any]:
    def column(of: str, field: str) -> str:
        return words.column_name(settings.naming.column(of, field))

    made: dict[str, Any] = {
        "rule": rule.kind,
        "place": rule.place,
        "on": rule.on.value,
        "columns": [column(stream, name) for name in rule.fields],
    }
    if "values" in rule.said:
        made["values"] = rule.said["values"]
    if "to" in rule.said:
        other = rule.said["to"]["stream"]
        schema, table = place_of(other, settings, words)
        made["to"] = {"schema": schema, "table": table, "column": column(other, rule.said["to"]["field"])}
    return made


def _description(schema: Mapping[str, Any]) -> dict[str, Any]:
    text = schema.get("description")
    return {"description": text} if isinstance(text, str) and text else {}
