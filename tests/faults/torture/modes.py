"""How a target is told to load: each `load_method`, and what may stand beside it; and what it then has to have in its tables."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faults.torture.source import Source

__all__ = ["BESIDE", "MAP", "METHODS", "METHOD_HELP", "UPSERT", "Mode", "named"]

_THERE_AND_BACK = [
    {"op": "rename", "from": "seq", "to": "sequence"},
    {"op": "copy", "from": "sequence", "to": "seq"},
    {"op": "drop", "fields": ["sequence"]},
    {"op": "cast", "field": "seq", "to": "text"},
    {"op": "cast", "field": "seq", "to": "integer"},
    {"op": "filter", "field": "seq", "is": "not_null"},
]
MAP: Mapping[str, Any] = {"streams": {"*": _THERE_AND_BACK}}
_OF_RECORDS = [
    {"rule": "not_null", "field": "seq", "on": "quarantine"},
    {"rule": "range", "field": "seq", "min": 0},
    {"rule": "rows", "change": 0.01, "on": "warn"},
]
_OF_KEYS = [*_OF_RECORDS, {"rule": "unique", "fields": ["id"]}]
RULES: Mapping[str, Any] = {"*": _OF_RECORDS, "customers": _OF_KEYS, "orders": _OF_KEYS}
_NOT_LONG = {"rule": "length", "field": "note", "max": 200}
_A_KIND = {"rule": "matches", "field": "kind", "pattern": "[^\u00a7]*"}
_RIGHTLY_DECODED = {"rule": "encoding", "field": "name"}
BROKEN: Mapping[str, Any] = {
    stream: [
        {**rule, "on": "quarantine"},
        {"rule": "matches", "field": rule["field"], "pattern": "[^\u2620]*"},
    ]
    for stream, rule in (("orders", _NOT_LONG), ("events", _A_KIND), ("customers", _RIGHTLY_DECODED))
}
"""What rows of `source.FLAWS` and `source.STOPS` break."""
METHODS: Mapping[str, Mapping[str, Any]] = {
    "upsert": {},
    "append": {"load_method": "append"},
    "overwrite": {"load_method": {"customers": "overwrite"}},
    "delete+insert": {
        "load_method": {"customers": "delete+insert", "orders": "delete+insert"},
        "replace_by": {"customers": {"window": "id"}, "orders": ["id"]},
    },
    "history": {"load_method": {"customers": "history", "orders": "history"}},
}
"""Settings of the target. Each run brings all customers, and of orders what is new."""
BESIDE: Mapping[str, Mapping[str, Any]] = {
    "atomic": {"atomic": "run"},
    "keep": {"missing_fields": "keep"},
    "variants": {},
    "versions": {"add_record_metadata": True},
    "keyless": {},
    "map": {"map": MAP},
    "rules": {"checks": RULES},
    "broken": {"checks": BROKEN},
    "piped": {},
}
"""A run that commits once; records that leave fields out; values that are not of the type of their column; complete loads
of customers that end with ACTIVATE_VERSION; customers without a key, where their rows replace each other as a whole; a map in the target that changes nothing and goes
through every record, rules of quality that hold, of records and of all rows, rules that some rows break, which are set aside, and now and then one that ends runs until
the source has mended it; and a map in the pipe, in a process that is killed too."""
_REMOVING = ("overwrite", "delete+insert")


@dataclass(frozen=True)
class Mode:
    """One of `METHODS`, and any of `BESIDE`."""

    method: str = "upsert"
    beside: frozenset[str] = frozenset()

    @classmethod
    def named(cls, name: str) -> Mode:
        """Read ``history,variants``.

        Raises:
            ValueError: there is no such mode.
        """
        method, *beside = name.split(",")
        mode = cls(method, frozenset(beside))
        if method not in METHODS or not mode.beside <= BESIDE.keys():
            raise ValueError(f"of {', '.join(METHODS)} one, and behind it any of {', '.join(BESIDE)}")
        if {"keep", "versions"} <= mode.beside:
            raise ValueError("records that leave fields out are changes, and no complete load")
        if "keyless" in mode.beside and method not in _REMOVING:
            raise ValueError(f"without a key a stream is loaded whole by {' or '.join(_REMOVING)} alone")
        return mode

    def __str__(self) -> str:
        return ",".join([self.method, *sorted(self.beside)])

    @property
    def argument(self) -> str:
        """What `make torture` and `make exhaustive` are given to load so."""
        return "" if self == UPSERT else f"--method {self}"

    @property
    def settings(self) -> dict[str, Any]:
        """The target's settings."""
        both = dict(METHODS[self.method])
        for name in sorted(self.beside):
            both |= BESIDE[name]
        if {"rules", "broken"} <= self.beside:
            both["checks"] = {
                stream: [*RULES.get(stream, RULES["*"]), *rules] for stream, rules in BROKEN.items()
            }
        return both

    def is_for(self, way: str) -> bool:
        """Whether a target loads so; `jsonl` appends, and knows nothing of this."""
        return way != "jsonl" or self == UPSERT

    @property
    def appends(self) -> bool:
        """Whether each record is a row of its own."""
        return self.method == "append"

    @property
    def commits_once(self) -> bool:
        """Whether a run commits at its end alone."""
        return "atomic" in self.beside

    @property
    def is_piped(self) -> bool:
        """Whether a map stands between tap and target."""
        return "piped" in self.beside

    @property
    def breaks(self) -> bool:
        """Whether rows of the source break rules of quality."""
        return "broken" in self.beside

    @property
    def keeps(self) -> bool:
        """Whether a field that a record leaves out keeps what is stored."""
        return "keep" in self.beside and not self.appends

    @property
    def removes(self) -> bool:
        """Whether customers that are gone at the source leave their table."""
        return self.method in _REMOVING or ("versions" in self.beside and not self.appends)

    def tap_config(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the tap's config for this mode."""
        for stream in config["streams"]:
            if "keep" in self.beside:
                stream["partial_records"] = True
            if stream["name"] == "customers":
                if "versions" in self.beside:
                    stream["activate_version"] = True
                if "keyless" in self.beside:
                    del stream["primary_keys"]
        return config

    def prepare(self, source: Source) -> Source:
        """Let a source send what this mode is about."""
        source.odd = 0.1 if "variants" in self.beside else 0.0
        source.left_out = 0.2 if "keep" in self.beside else 0.0
        source.removes = self.removes
        source.flaws = 0.1 if self.breaks else 0.0
        # A customer that changes in mid-read comes twice, and without a key that is two rows.
        source.stirs_customers = "keyless" not in self.beside
        return source


UPSERT = Mode()
METHOD_HELP = (
    f"one of {', '.join(METHODS)}, and behind it, with commas, any of {', '.join(BESIDE)} (default upsert)"
)


def named(name: str) -> Mode:
    """Return the mode of a name on the command line."""
    try:
        return Mode.named(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
