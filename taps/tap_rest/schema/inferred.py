"""A schema that is inferred from pages, kept, and widened by later pages.

It is kept in a file of the folder `schema_cache`, or in the state (`kept`). A later run starts from it and asks the API
for nothing; a page that holds a field or a type it does not know is inferred too, merged, sent as a new SCHEMA
before its records, and kept. So no field is ever dropped, and an optional one may first appear on page 900.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from singerkit_catalog.admitted import types_of
from singerkit_catalog.inference import FORMATS, SchemaInference, merge_schemas
from singerkit_catalog.pagefit import checker_of
from singerkit_catalog.schema import is_nullable, properties_of, resolve_refs
from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from singerkit_state.readas import schema_of
from singerkit_wire.encode import RawRecord
from tap_rest.openapi.joining import contradictions, filled, joined
from tap_rest.schema.catalogedits import CatalogEdits
from tap_rest.schema.catalogedits import joined as joined_with_catalog
from tap_rest.schema.contract import Sample, SchemaKeeper, listed, without
from tap_rest.schema.kept import KeptSchema
from tap_rest.schema.overrides import Misfits, overlaid
from tap_rest.settings.limits import InferSettings
from tap_rest.settings.stream import StreamSettings

__all__ = ["InferredSchema"]

_logger = logging.getLogger("tap-rest")
_encoder = msgspec.json.Encoder(decimal_format="number")
_SPELT_IN_MANY_WAYS = ("date-time", "time")
_FORMER = 10  # what a field was before, remembered


class InferredSchema:
    """A schema inferred from records.

    A catalog (``entry`` of it) is what the user chose of it at some time: what was found since joins, what was edited stays. Fields
    that the config added to records, and adds no more (``withdrawn``), are known of records only.
    """

    def __init__(
        self,
        settings: StreamSettings,
        kept: KeptSchema,
        entry: Mapping[str, Any],
        withdrawn: Collection[str],
        limits: InferSettings,
        parent: SchemaKeeper | None = None,
        former: Mapping[str, str] = MappingProxyType({}),
        documented: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = settings
        self._limits, self._parent, self._sent_before = limits, parent, former
        self._pages = self._records = 0
        self._learned_from = 0
        self.has_asked = False
        self._kept = kept
        cached, self._former = kept.read()
        self._withdrawn = {*withdrawn} - (cached or {}).get("properties", {}).keys()
        chosen = resolve_refs(entry.get("schema") or {}, f"stream `{settings.name}` in the catalog")
        self._chosen = self.less_withdrawn(chosen)
        self._edits = CatalogEdits(entry, self._chosen)
        self._overrides = settings.overrides
        of_catalog = {
            name: prop for name, prop in self._edits.properties.items() if name not in self._overrides
        }
        said = {"`schema_overrides`": self._overrides, "the catalog": of_catalog}
        self._misfits = [Misfits(settings.name, props, by) for by, props in said.items() if props]
        self._inferred = cached or without(self._chosen, self._edits.properties) or None
        self.is_known = self._inferred is not None
        self._documented = documented
        if documented is not None and self._inferred is not None:
            self._inferred = filled(self._inferred, documented)
        self._fits = checker_of(self._inferred)
        known = properties_of(self._chosen)
        now = properties_of(self.schema) if self._chosen else {}
        self.beyond_catalog = [name for name in now if name not in known or now[name] != known[name]]

    @property
    def schema(self) -> dict[str, Any]:
        """What is known; before the first record also that there will be keys and copied fields."""
        inferred = self._known_or_documented
        known = self._beside_catalog(inferred) if self._chosen else inferred
        nothing = {name: {"type": ["null"]} for name in self.placeholders}
        known = {**known, "properties": nothing | known.get("properties", {})} if nothing else dict(known)
        return overlaid(known, self._overrides) if self._overrides else known

    @property
    def _known_or_documented(self) -> dict[str, Any]:
        known = self._inferred or {"type": "object", "properties": {}}
        return known if self._documented is None else filled(known, self._documented)

    @property
    def declared(self) -> Mapping[str, Any]:
        """What `schema_overrides` and hands in the catalog have declared."""
        names = {*self._edits.properties, *self._overrides}
        return {
            "properties": {name: prop for name, prop in self.schema["properties"].items() if name in names}
        }

    @property
    def placeholders(self) -> Collection[str]:
        """The keys and copied fields that nobody has seen, as long as no record has been."""
        if self.is_known:
            return ()
        settings, known = self._settings, self._known_or_documented.get("properties", {})
        names = [
            *settings.primary_keys,
            *filter(None, [settings.replication_key]),
            *sorted(settings.added_fields),
        ]
        return [name for name in names if name not in known]

    def doubt(self, keys: Collection[str]) -> None:
        """Do not take for known what lacks one of ``keys``: the source may have them by now."""
        self.is_known = self.is_known and properties_of(self.schema).keys() >= {*keys}

    @property
    def records_seen(self) -> int:
        """How many records were looked at."""
        return self._learned_from + self._records

    def learn(self, pages: Iterable[Sample]) -> None:
        """Infer from ``pages``, and keep the result; without any record nothing more is known."""
        self.has_asked = True
        before, sent = self._inferred or {}, self.schema if self.is_known else {}
        self._merge(self._counted(pages))
        if self.is_known:
            self._remember(before)
            self._kept.write(self._inferred, self._former)
            self._tell(sent, is_from_start=False)
        elif self._documented is None:
            _logger.warning(
                "Stream %s has no records%s, so nothing can be inferred yet; a declared `schema` would help.",
                self._settings.name,
                " that its hook leaves" if "post_process" in self._settings.hooked else "",
            )

    def widens(
        self, records: Sequence[RawRecord], constants: Mapping[str, Any], *, is_from_start: bool = False
    ) -> bool:
        """Check a page in C; only what does not fit is inferred."""
        self._pages, self._records = self._pages + 1, self._records + len(records)
        for misfits in self._misfits:
            misfits.look(records)
        if not records:
            return False
        if self.is_known and self._fits(records) and self._fits([_encoder.encode(constants)]):
            return False
        before, sent = self._inferred or {}, self.schema if self.is_known else {}
        self._merge([(records, constants)])
        if self._inferred != before:
            self._remember(before)
            self._kept.write(self._inferred, self._former)
        if self.schema == sent:
            return False
        self._tell(sent, is_from_start=is_from_start)
        return True

    def admit(self, fields: Mapping[str, str]) -> bool:
        """Take up what was sent before: cache and first pages may know less (the cache may be gone).

        A field that no record has any more is sent as null; otherwise the target would keep the last value. One that had
        more types is sent with them, since its column was made for them.
        """
        sent, inferred = self.schema, self._inferred or {"type": "object"}
        known = inferred.get("properties", {})
        former = {
            name: _with_kind(known.get(name), kind)
            for name, kind in fields.items()
            if name in known or name not in self._withdrawn
        }
        self._inferred = {**inferred, "properties": {**known, **former}}
        self._fits = checker_of(self._inferred)
        return self.schema != sent

    @property
    def in_state(self) -> Any:
        """What a STATE has to say of it; None: what it said before."""
        return self._kept.for_state(self._inferred if self.is_known else None)

    def less_withdrawn(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema without the fields that only the config had added."""
        return without(schema, self._withdrawn)

    def _beside_catalog(self, inferred: Mapping[str, Any]) -> dict[str, Any]:
        """Return the catalog's schema with what is inferred beyond it."""
        chosen, found = self._chosen.get("properties", {}), inferred.get("properties", {})
        properties = {**found, **chosen}
        if self._edits.are_known:
            both = {
                name: joined_with_catalog(chosen[name], found[name]) for name in chosen.keys() & found.keys()
            }
            return self._edits.over({**self._chosen, "properties": properties | both})
        for name in chosen.keys() & found.keys():
            is_edited = chosen[name] not in self._former.get(name, [])
            properties[name] = _widened(chosen[name], found[name]) if is_edited else found[name]
        return {**self._chosen, "properties": properties}

    def _remember(self, before: Mapping[str, Any]) -> None:
        """Keep what fields were before they grew: a catalog that has them so was not edited there."""
        now = (self._inferred or {}).get("properties", {})
        for name, prop in before.get("properties", {}).items():
            if now.get(name) != prop:
                self._former[name] = [*self._former.get(name, []), prop][-_FORMER:]

    def _counted(self, pages: Iterable[Sample]) -> Iterator[Sample]:
        for records, constants in pages:
            self._learned_from += len(records)
            yield records, constants

    def _merge(self, pages: Iterable[Sample]) -> None:
        """Infer from pages together: what a text is shows in many values."""
        inference = SchemaInference()
        for records, constants in pages:
            inference.observe(records)
            inference.observe([_encoder.encode(constants)] if records else ())
        if not inference.records:
            return
        odd = sorted(inference.names_without_text)
        if odd:
            shown = odd[0].encode("ascii", "backslashreplace").decode()
            raise BadDataError(
                f"A record of stream {self._settings.name} has a field whose name is no text (`{redactor.mask_foreign(shown)[:60]}`, with half of a "
                "character); name the fields that are to be sent in `schema`, which leaves it out, then run again."
            )
        found = inference.schema(
            self._settings.primary_keys,
            format_values=self._limits.format_values,
            known=self._inferred or self._documented,
            formats_at_once=self._formats_at_once(),
        )
        if self._documented is not None and not self.is_known:
            found = self._beside_document(found, self._documented)
        self._inferred = merge_schemas(self._inferred or {}, found)
        self.is_known = True
        self._fits = checker_of(self._inferred)

    def _beside_document(self, found: Mapping[str, Any], documented: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the first records show, with what the document says of them, and tell where it is wrong."""
        wrong = list(contradictions(found, documented))
        if wrong:
            _logger.warning(
                "The records of stream %s are not what its OpenAPI document says, and count in its place: %s.",
                self._settings.name,
                "; ".join(
                    f"{listed([name])} is {shown} there, {said} in the document"
                    for name, shown, said in wrong[:10]
                ),
            )
        return joined(found, documented)

    def _formats_at_once(self) -> dict[str, Collection[str]]:
        """Return, by field, the formats that one value gives.

        The bookmark is compared as what it is; a field of the parent is of its type there; what was sent before is what it was;
        and a key that is a time has other texts that are the same key.
        """
        settings = self._settings
        of_parent = properties_of(self._parent.schema) if self._parent is not None else {}
        found: dict[str, Collection[str]] = dict.fromkeys(settings.primary_keys, _SPELT_IN_MANY_WAYS)
        found |= {name: {schema_of(kind).get("format", "")} for name, kind in self._sent_before.items()}
        for name, field in settings.copies.items():
            found[name] = {of_parent.get(field, {}).get("format")}
        return found | dict.fromkeys(filter(None, [settings.replication_key]), FORMATS)

    def _tell(self, before: Mapping[str, Any], *, is_from_start: bool) -> None:
        known = before.get("properties", {})
        now = self.schema.get("properties", {})
        untyped = [name for name in known if types_of(known[name]) == {"null"}]
        new = [name for name in now if name not in known or (name in untyped and now[name] != known[name])]
        # A field that is a part of the key no more, or is one now, may be null or not: its type is what it was.
        others = [
            name
            for name in known
            if name not in new and _less_null(now.get(name, {})) != _less_null(known[name])
        ]
        grown = [name for name in others if _names_more(known[name], now.get(name))]
        changed = [name for name in others if name not in grown]
        if known and (new or others):
            parts = [f"new: {listed(new)}"] if new else []
            parts += [f"new inside: {listed(grown)}"] if grown else []
            parts += [f"of another type: {listed(changed)}"] if changed else []
            stays = f" and stays so: to infer it anew, {self._kept.way_to_forget}start the stream over{self._way_to_know_before(is_from_start=is_from_start)}"
            _logger.warning(
                "The records of stream %s have fields that were not known (%s); its schema grows%s.",
                self._settings.name,
                "; ".join(parts),
                stays if changed else "",
            )

    def _way_to_know_before(self, *, is_from_start: bool) -> str:
        """Return what helps where the target refuses another type in mid-load, and a first load is begun anew each time."""
        limit = {"pages": self._pages}
        if self._records > self._limits.records:
            limit["records"] = self._records
        far = f'`"infer": {json.dumps(limit)}` reads as far as this, a ' if is_from_start else "a "
        return (
            f". Where the target refuses a type that comes in mid-load, have it known before: {far}declared `schema` needs no "
            "page"
        )


def _names_more(before: Any, now: Any) -> bool:
    """Tell whether a schema says the same as before of all that was known, and names more fields inside."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return bool(before == now)
    if types_of(before) == {"null"}:
        return True
    known, fields = before.get("properties") or {}, now.get("properties") or {}
    inside = ("properties", "items")
    return (
        {key: part for key, part in before.items() if key not in inside}
        == {key: part for key, part in now.items() if key not in inside}
        and all(name in fields and _names_more(part, fields[name]) for name, part in known.items())
        and ("items" not in before or _names_more(before["items"], now.get("items")))
    )


def _with_kind(prop: Mapping[str, Any] | None, kind: str) -> dict[str, Any]:
    """Return a property that allows what ``prop`` does, and what a field of that kind had; a key stays without null."""
    former = schema_of(kind)
    if prop is None:
        return former
    if not is_nullable(prop):
        former["type"] = [name for name in former["type"] if name != "null"]
    return merge_schemas(prop, former if former["type"] else {})


def _widened(chosen: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a field of the catalog with the types that were found beyond its own; all else of it stays."""
    if "type" not in chosen:
        return dict(chosen)
    types = types_of(chosen)
    missing = types_of(found) - types - ({"integer"} if "number" in types else set())
    # All that is inferred may be null, so that null alone says nothing.
    widened = merge_schemas(chosen, found) if missing - {"null"} else dict(chosen)
    if isinstance(chosen.get("properties"), Mapping) and isinstance(found.get("properties"), Mapping):
        own, more = chosen["properties"], found["properties"]
        both = {name: _widened(own[name], more[name]) for name in own.keys() & more.keys()}
        widened["properties"] = {**more, **own, **both}
    if isinstance(chosen.get("items"), Mapping) and isinstance(found.get("items"), Mapping):
        widened["items"] = _widened(chosen["items"], found["items"])
    return widened


def _less_null(prop: Mapping[str, Any]) -> tuple[set[str], dict[str, Any]]:
    return types_of(prop) - {"null"}, {name: part for name, part in prop.items() if name != "type"}
