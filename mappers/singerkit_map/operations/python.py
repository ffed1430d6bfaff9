"""`python`: the way out. A function of a module of yours is given each record, and returns what it becomes."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from msgspec import UNSET, Raw

from singerkit_map.block import Bad, Block, texts_of
from singerkit_map.contract import BadValue, Impossible, Operation, Shape
from singerkit_map.jsontexts import check_readable, text_of, values
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.saying import heard, listen
from singerkit_shell.validate import config_folder
from singerkit_wire.stream import DELETED_AT

__all__ = ["SETTINGS", "made"]

_logger = logging.getLogger(__name__)

SETTINGS: Mapping[str, Any] = {
    "description": "A function of a module of yours, beside the config or installed, is given each record as a dict (numbers that are no integers as `Decimal`, what is left "
    "out is not in it) and returns it, changed or another; None: it is left out. It has to be the same for the same record. An exception is a bad value, and so is the record of a deleted row "
    "(`_sdc_deleted_at` has a value) that it leaves out, or makes one of a row that is there. What it prints goes to the log.",
    "required": ["function"],
    "properties": {
        "function": {
            "type": "string",
            "secret": False,
            "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
            "says": "a function like `mymodule:clean_row`",
            "description": "Module and function: `mymodule:clean_row`.",
        },
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "object", "additionalProperties": True},
            "description": "The JSON Schema of each field that it adds, or makes another of.",
        },
        "drops": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "secret": False},
            "description": "The fields that it takes away.",
        },
    },
}


@dataclass(frozen=True)
class _Python:
    place: str
    function: Callable[[dict[str, Any]], dict[str, Any] | None]
    fields: Mapping[str, Any]
    drops: tuple[str, ...]
    is_of_rows = True
    makes_others = True
    hides = True

    def outcome(self, shape: Shape) -> Shape:
        for name in self.drops:
            if name not in shape.fields:
                raise Impossible(f"the SCHEMA has no field `{name}`", "drops")
        shape = shape.only(shape.fields.keys() - set(self.drops), "drops")
        return replace(shape.with_fields({**shape.fields, **self.fields}), is_opaque=True)

    def apply(self, block: Block, _before: Shape, /) -> None:
        with heard(_said_by(self.place)):
            self._apply(block)

    def _apply(self, block: Block) -> None:
        names = list(block.columns)
        columns = [_values_of(texts_of(column)) for column in block.columns.values()]
        kept: list[int] = []
        made: list[dict[str, Raw]] = []
        for row, found in enumerate(zip(*columns, strict=True)):
            record = {name: value for name, value in zip(names, found, strict=True) if value is not UNSET}
            texts, reason = self._made_of(record)
            if reason:
                block.refuse(row, Bad("", reason, self.place))
                texts = {
                    name: column[row] for name, column in block.columns.items() if column[row] is not UNSET
                }
            if texts is not None:
                kept.append(row)
                made.append(texts)
        block.take(kept)
        order = dict.fromkeys([*names, *self.fields, *(name for texts in made for name in texts)])
        block.columns = {name: [texts.get(name, UNSET) for texts in made] for name in order}

    def _made_of(self, record: dict[str, Any]) -> tuple[dict[str, Raw] | None, str]:
        """Return what a record becomes, None where it is left out, and why that is bad: in words of ours, since those of an exception may hold a value."""
        try:
            for value in record.values():
                check_readable(value)
            is_gone = record.get(DELETED_AT) is not None
            after = _checked(self.function(record), is_gone)
            return None if after is None else {name: Raw(text_of(value)) for name, value in after.items()}, ""
        except BadValue as bad:
            return None, str(bad)
        except (Exception, SystemExit) as error:  # whatever it is, it is that of one record
            return None, f"the function raised {type(error).__name__}"


def _said_by(place: str) -> Callable[[str], None]:
    return partial(_logger.info, "`%s` prints: %s", place)


def _values_of(texts: list[bytes | None]) -> list[Any]:
    found = iter(values([text for text in texts if text is not None]))
    return [UNSET if text is None else next(found) for text in texts]


def _checked(record: Any, is_gone: bool) -> dict[str, Any] | None:
    """Return what a function has made of a record; ``is_gone``: of one that said that its row was deleted."""
    if is_gone and (record is None or (isinstance(record, dict) and record.get(DELETED_AT) is None)):
        raise BadValue("the function left out that the row was deleted")
    if record is None:
        return None
    if not isinstance(record, dict) or not all(isinstance(name, str) for name in record):
        raise BadValue("expected a dict of the function, or None")
    return record


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says.

    Raises:
        ConfigurationError: there is no such function.
    """
    module, _, name = said["function"].partition(":")
    folder = config_folder()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    listen()
    try:
        with heard(_said_by(place)):
            function = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigurationError(
            f"The module `{module}` of `{place}.function` cannot be imported: {error}. Nothing was read."
        ) from None
    except AttributeError:
        raise ConfigurationError(
            f"The module `{module}` of `{place}.function` has no function `{name}`. Nothing was read."
        ) from None
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"The module `{module}` of `{place}.function` cannot be imported ({type(error).__name__}: {error}). Nothing was read."
        ) from None
    if not callable(function):
        raise ConfigurationError(
            f"`{name}` of the module `{module}`, at `{place}.function`, is no function. Nothing was read."
        )
    return _Python(place, function, said.get("fields", {}), tuple(said.get("drops", ())))
