"""A schema that the config declares."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft4Validator, Draft202012Validator

from singerkit_catalog.admitted import types_of
from singerkit_catalog.schema import properties_of, resolve_refs
from singerkit_shell.configfile import read_json_object
from singerkit_shell.errors import ConfigurationError
from singerkit_wire.encode import RawRecord
from tap_rest.records.lifting import with_copied
from tap_rest.schema.contract import Sample, listed, without
from tap_rest.schema.overrides import Misfits, overlaid
from tap_rest.settings.stream import StreamSettings

__all__ = ["DeclaredSchema"]

_logger = logging.getLogger("tap-rest")


class DeclaredSchema:
    """A schema from the config: it stays as it is. Fields that it does not name are not sent.

    One that was copied from a parent, and is not any more, waits for a record that has it.
    """

    is_known = has_asked = True
    records_seen = 0
    placeholders: Collection[str] = ()
    beyond_catalog: Sequence[str] = ()
    in_state: Any = None

    def __init__(
        self,
        settings: StreamSettings,
        declared: Mapping[str, Any] | str,
        withdrawn: Collection[str] = (),
    ) -> None:
        self._stream = stream = settings.name
        schema = (
            read_json_object(declared, f"schema of stream {stream}")
            if isinstance(declared, str)
            else declared
        )
        _check_is_schema(schema, stream)
        resolved = overlaid(resolve_refs(schema, f"stream `{stream}`"), settings.overrides)
        self._declared = with_copied(stream, resolved, settings.copied)
        self._misfits = Misfits(stream, settings.overrides, "`schema_overrides`")
        self._withdrawn = {*withdrawn} & (self._declared.get("properties") or {}).keys()
        self.schema = self.less_withdrawn(self._declared)
        self._has_looked = not self._declared.get("properties")

    @property
    def declared(self) -> Mapping[str, Any]:
        """All of it."""
        return self.schema

    def learn(self, pages: Iterable[Sample]) -> None:
        """Nothing is to be learned."""

    def widens(
        self,
        records: Sequence[RawRecord],
        constants: Mapping[str, Any],  # noqa: ARG002
        *,
        is_from_start: bool = False,  # noqa: ARG002
    ) -> bool:
        """Return whether a field that waited has come; on the first page, name the fields that will not be sent."""
        self._misfits.look(records)
        came = self._withdrawn and self._withdrawn.intersection(_names_in(records))
        if came:
            self._withdrawn -= came
            self.schema = self.less_withdrawn(self._declared)
        if not self._has_looked and records:
            self._has_looked = True
            known = properties_of(self._declared)
            extra = [name for name in _names_in(records[:1000]) if name not in known]
            if extra:
                _logger.warning(
                    "The records of stream %s have fields that its declared schema does not name; they are "
                    "not sent: %s.",
                    self._stream,
                    listed(extra),
                )
        return bool(came)

    def admit(self, fields: Mapping[str, str]) -> bool:  # noqa: ARG002
        """Return False: what it does not name is not sent."""
        return False

    def less_withdrawn(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema without the fields that wait for a record."""
        return without(schema, self._withdrawn)


def _check_is_schema(schema: Mapping[str, Any], stream: str) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        with contextlib.suppress(SchemaError):
            Draft4Validator.check_schema(schema)
            return
        raise ConfigurationError(
            f"The schema of stream {stream} is no JSON Schema: {error.message} at `{error.json_path}`."
        ) from None
    types = types_of(schema)
    if types and "object" not in types:
        raise ConfigurationError(f"Expected the schema of stream {stream} to be of type `object`.")


def _names_in(records: Sequence[RawRecord]) -> list[str]:
    names: dict[str, None] = {}
    for record in records:
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            names |= dict.fromkeys(msgspec.json.decode(record, type=dict[str, msgspec.Raw]))
    return list(names)
