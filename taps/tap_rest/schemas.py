"""The schema of a stream: declared in the config, or inferred from pages, cached, and widened by later pages.

The cache is one JSON file per stream in the folder `schema_cache`. A later run starts from it and asks the API
for nothing; a page that holds a field or a type it does not know is inferred too, merged, sent as a new SCHEMA
before its records, and cached. So no field is ever dropped, and an optional one may first appear on page 900.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Protocol

import msgspec
from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft4Validator, Draft202012Validator

from singerkit_catalog.admitted import types_of
from singerkit_catalog.compiled import Field, Inexpressible, Style, compiled, struct
from singerkit_catalog.inference import SchemaInference, merge_schemas
from singerkit_catalog.schema import is_nullable, properties_of, resolve_refs
from singerkit_shell.configfile import read_json_object
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.secrets import redactor
from singerkit_state.readas import ReadAs, schema_of
from singerkit_wire.encode import RawRecord
from tap_rest.config import ApiSettings
from tap_rest.lifting import with_copied
from tap_rest.settings.limits import InferSettings
from tap_rest.settings.stream import StreamSettings

__all__ = ["COPIED", "DeclaredSchema", "InferredSchema", "SchemaKeeper", "keeper_of", "listed"]

_logger = logging.getLogger("tap-rest")
_encoder = msgspec.json.Encoder(decimal_format="number")
COPIED = "copied-from-parent"
"""Says in the metadata of a catalog that a field is no field of the records."""
_FORMER = 10  # what a field was before, remembered
Sample = tuple[Sequence[RawRecord], Mapping[str, Any]]
"""Records of a page, and the constants that are added to each."""


class SchemaKeeper(Protocol):
    """What a stream asks about its schema."""

    @property
    def schema(self) -> dict[str, Any]:
        """The schema as known now."""
        ...

    @property
    def is_known(self) -> bool:
        """Whether the API need not be asked."""
        ...

    @property
    def placeholders(self) -> Collection[str]:
        """The keys that are in ``schema`` though nothing is known of them, since no record has been seen."""
        ...

    @property
    def has_asked(self) -> bool:
        """Whether the API has been asked for first pages in this run, or need never be."""
        ...

    @property
    def records_seen(self) -> int:
        """How many records of this run were looked at."""
        ...

    @property
    def beyond_catalog(self) -> Sequence[str]:
        """The fields that the user's catalog lacks, or has with fewer types than were found before this run."""
        ...

    def learn(self, pages: Iterable[Sample]) -> None:
        """Infer from the first pages of the stream."""
        ...

    def widens(
        self, records: Sequence[RawRecord], constants: Mapping[str, Any], *, is_from_start: bool = False
    ) -> bool:
        """Take notice of a page; True when ``schema`` has changed, before any record of it is sent.

        ``is_from_start``: the pages of this read are those that an inference would ask for.
        """
        ...

    def admit(self, fields: Mapping[str, str]) -> bool:
        """Take up fields that were sent before, with their kinds; True when ``schema`` has changed."""
        ...

    def less_withdrawn(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema without the fields that the config added once and that no record is known to have."""
        ...


def keeper_of(
    settings: StreamSettings, api: ApiSettings, from_catalog: Mapping[str, Any], former: ReadAs
) -> SchemaKeeper:
    """Return what keeps the schema of a stream.

    ``from_catalog`` is its entry in the user's catalog; ``former`` says how it was read before.

    Raises:
        ConfigurationError: the declared schema, or its file, is no JSON Schema of an object.
    """
    keys = {*settings.primary_keys, *filter(None, [settings.replication_key])}
    now = {*settings.copies, *settings.copied, *keys}
    of_records = former.fields.keys() - former.added
    withdrawn = (former.added | (set(_marked_as_copied(from_catalog)) - of_records)) - now
    if settings.declared_schema is not None:
        return DeclaredSchema(settings.name, settings.declared_schema, withdrawn, settings.copied)
    cache = _cache_file(settings, api)
    keeper = InferredSchema(settings, cache, from_catalog.get("schema"), withdrawn, api.infer)
    keeper.doubt({*keys, *(from_catalog.get("key_properties") or ())})
    return keeper


class DeclaredSchema:
    """A schema from the config: it stays as it is. Fields that it does not name are not sent.

    One that was copied from a parent, and is not any more, waits for a record that has it.
    """

    is_known = has_asked = True
    records_seen = 0
    placeholders: Collection[str] = ()
    beyond_catalog: Sequence[str] = ()

    def __init__(
        self,
        stream: str,
        declared: Mapping[str, Any] | str,
        withdrawn: Collection[str] = (),
        copied: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._stream = stream
        schema = (
            read_json_object(declared, f"schema of stream {stream}")
            if isinstance(declared, str)
            else declared
        )
        _check_is_schema(schema, stream)
        self._declared = with_copied(stream, resolve_refs(schema, f"stream `{stream}`"), copied)
        self._withdrawn = {*withdrawn} & (self._declared.get("properties") or {}).keys()
        self.schema = self.less_withdrawn(self._declared)
        self._has_looked = not self._declared.get("properties")

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
        return _without(schema, self._withdrawn)


class InferredSchema:
    """A schema inferred from records, kept in a cache file.

    A catalog is what the user chose of it at some time: what was found since joins, what was edited stays. Fields that
    the config added to records, and adds no more (``withdrawn``), are known of records only.
    """

    def __init__(
        self,
        settings: StreamSettings,
        file: Path,
        from_catalog: Mapping[str, Any] | None,
        withdrawn: Collection[str],
        limits: InferSettings,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._pages = self._records = 0
        self._learned_from = 0
        self.has_asked = False
        self._file = file
        cached, self._former = _read_cache(file)
        self._withdrawn = {*withdrawn} - (cached or {}).get("properties", {}).keys()
        chosen = resolve_refs(from_catalog or {}, f"stream `{settings.name}` in the catalog")
        self._chosen = self.less_withdrawn(chosen)
        self._inferred = cached or self._chosen or None
        self.is_known = self._inferred is not None
        self._fits = _checker_of(self._inferred)
        known = properties_of(self._chosen)
        now = properties_of(self.schema) if self._chosen else {}
        self.beyond_catalog = [name for name in now if name not in known or now[name] != known[name]]

    @property
    def schema(self) -> dict[str, Any]:
        """What is known; before the first record also that there will be keys and copied fields."""
        inferred = self._inferred or {"type": "object", "properties": {}}
        known = self._beside_catalog(inferred) if self._chosen else inferred
        nothing = {name: {"type": ["null"]} for name in self.placeholders}
        return {**known, "properties": nothing | known.get("properties", {})} if nothing else dict(known)

    @property
    def placeholders(self) -> Collection[str]:
        """The keys and copied fields that nobody has seen, as long as no record has been."""
        if self.is_known:
            return ()
        settings, known = self._settings, (self._inferred or {}).get("properties", {})
        names = [
            *settings.primary_keys,
            *filter(None, [settings.replication_key]),
            *settings.copies,
            *settings.copied,
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
        """Infer from ``pages``, and cache the result; without any record nothing more is known."""
        self.has_asked = True
        before, sent = self._inferred or {}, self.schema if self.is_known else {}
        for records, constants in pages:
            if records:
                self._learned_from += len(records)
                self._merge(records, constants)
        if self.is_known:
            self._remember(before)
            self._write_cache()
            self._tell(sent, is_from_start=False)
        else:
            _logger.warning(
                "Stream %s has no records, so nothing can be inferred yet; a declared `schema` would help.",
                self._settings.name,
            )

    def widens(
        self, records: Sequence[RawRecord], constants: Mapping[str, Any], *, is_from_start: bool = False
    ) -> bool:
        """Check a page in C; only what does not fit is inferred."""
        self._pages, self._records = self._pages + 1, self._records + len(records)
        if not records:
            return False
        if self.is_known and self._fits(records) and self._fits([_encoder.encode(constants)]):
            return False
        before, sent = self._inferred or {}, self.schema if self.is_known else {}
        self._merge(records, constants)
        if self._inferred != before:
            self._remember(before)
            self._write_cache()
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
        self._fits = _checker_of(self._inferred)
        return self.schema != sent

    def less_withdrawn(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema without the fields that only the config had added."""
        return _without(schema, self._withdrawn)

    def _beside_catalog(self, inferred: Mapping[str, Any]) -> dict[str, Any]:
        """Return the catalog's schema with what is inferred beyond it."""
        chosen, found = self._chosen.get("properties", {}), inferred.get("properties", {})
        properties = {**found, **chosen}
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

    def _merge(self, records: Sequence[RawRecord], constants: Mapping[str, Any]) -> None:
        inference = SchemaInference()
        inference.observe(records)
        inference.observe([_encoder.encode(constants)])
        odd = sorted(inference.names_without_text)
        if odd:
            shown = odd[0].encode("ascii", "backslashreplace").decode()
            raise BadDataError(
                f"A record of stream {self._settings.name} has a field whose name is no text (`{redactor.mask_foreign(shown)[:60]}`, with half of a "
                "character); name the fields that are to be sent in `schema`, which leaves it out, then run again."
            )
        found = inference.schema([name for name in self._settings.primary_keys])
        self._inferred = merge_schemas(self._inferred or {}, found)
        self.is_known = True
        self._fits = _checker_of(self._inferred)

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
            stays = f" and stays so: to infer it anew, remove {self._file} and start the stream over{self._way_to_know_before(is_from_start=is_from_start)}"
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

    def _write_cache(self) -> None:
        cache = {"stream": self._settings.name, "schema": self._inferred, "former": self._former}
        text = json.dumps(cache, indent=1)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self._file.parent, suffix=".tmp", delete=False
            ) as temporary:
                temporary.write(text)
            os.replace(temporary.name, self._file)
        except OSError as error:
            _logger.warning(
                "The schema cache %s cannot be written (%s); the next run will infer again. Set "
                "`schema_cache` to a folder that can.",
                self._file,
                error.strerror,
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


def _with_kind(prop: Mapping[str, Any] | None, kind: str) -> dict[str, Any]:
    """Return a property that allows what ``prop`` does, and what a field of that kind had; a key stays without null."""
    former = schema_of(kind)
    if prop is None:
        return former
    if not is_nullable(prop):
        former["type"] = [name for name in former["type"] if name != "null"]
    return merge_schemas(prop, former if former["type"] else {})


def _without(schema: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    if not names or "properties" not in schema:
        return dict(schema)
    properties = {name: prop for name, prop in schema["properties"].items() if name not in names}
    required = [name for name in schema.get("required", ()) if name not in names]
    return {**schema, "properties": properties} | ({"required": required} if "required" in schema else {})


def _marked_as_copied(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields that were copied from a parent when an entry of a catalog was made."""
    for item in entry.get("metadata") or ():
        if item["metadata"].get(COPIED) and len(item["breadcrumb"]) == 2:
            yield item["breadcrumb"][1]


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


# The cache


def _cache_file(settings: StreamSettings, api: ApiSettings) -> Path:
    """Return the file of a stream: its name for people, a hash of what it was inferred from for certainty."""
    made_of = [settings.copies, *filter(None, [settings.copied])]
    source = json.dumps([api.base_url, settings.name, settings.path, settings.records, *made_of])
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", settings.name)[:60]
    return _cache_folder(api) / f"{readable}-{digest}.json"


def _cache_folder(api: ApiSettings) -> Path:
    if api.schema_cache:
        return Path(api.schema_cache).expanduser()
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "singerkit" / "tap-rest"


def _read_cache(file: Path) -> tuple[dict[str, Any] | None, dict[str, list[Any]]]:
    """Return the schema, if there is one, and what fields of it were before they grew."""
    if not os.path.exists(file):  # Path.exists raises where a folder may not be searched
        return None, {}
    try:
        cache = read_json_object(str(file), "schema cache")
    except ConfigurationError:
        cache = {}
    schema, former = cache.get("schema"), cache.get("former", {})
    if (
        not isinstance(schema, dict)
        or not isinstance(former, dict)
        or not all(isinstance(props, list) for props in former.values())
    ):
        _logger.warning("The schema cache %s cannot be read and is made anew.", file)
        return None, {}
    return schema, former


# Whether a page fits


def _checker_of(schema: Mapping[str, Any] | None) -> Any:
    """Return a function that tells, in C, whether records hold nothing that an inferred schema lacks.

    It may say no to what fits after all (1e400 as a number): then the inference decides.
    """
    if not (schema or {}).get("properties"):
        return lambda _records: False
    try:
        decoder = msgspec.json.Decoder(list[compiled(schema, _KNOWN)])  # type: ignore[misc]  # made here
    except (Inexpressible, TypeError, ValueError):  # an odd name: the inference looks at each page
        return lambda _records: False

    def fits(records: Sequence[RawRecord]) -> bool:
        try:
            decoder.decode(b"[" + b",".join(records) + b"]")
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    return fits


_RFC3339 = (
    r"^(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
    r"[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])\Z"
)

_FORMATS: Mapping[str, Any] = {
    # A pattern, since msgspec's own datetime takes `+0200` and a blank for T, which are not of the format.
    "date-time": Annotated[str, msgspec.Meta(pattern=_RFC3339)],
    "date": date,
    "time": Annotated[time, msgspec.Meta(tz=False)],
    # A pattern, since msgspec's own UUID takes capital letters, which a database would not keep.
    "uuid": Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$")],
}
_KNOWN = Style(
    anything=Any,
    formats=_FORMATS,
    object_of=lambda fields, _: struct(
        [Field(one.name, one.type, is_required=False) for one in fields], False
    ),
)
"""Fields that an inferred schema has, any of which may be missing, and no others."""


def _names_in(records: Sequence[RawRecord]) -> list[str]:
    names: dict[str, None] = {}
    for record in records:
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            names |= dict.fromkeys(msgspec.json.decode(record, type=dict[str, msgspec.Raw]))
    return list(names)


def listed(names: Sequence[str]) -> str:
    """Return the names as a sentence shows them: ten at most, without secrets."""
    shown = redactor.mask_foreign(", ".join(f"`{name[:60]}`" for name in names[:10]))
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
