"""The rows of a table as it was in the log: tuples of pgoutput to JSON objects, by functions that are compiled for each relation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.json import encode

from singerkit_shell.errors import BadDataError
from tap_postgres.log.pgoutput import ABSENT, NEW, Relation, Tuple
from tap_postgres.log.tables import LoggedTable
from tap_postgres.log.values import Make, as_it_is

__all__ = ["Rows", "Unusual", "filled"]

_NULL, _UNCHANGED, _TEXT = b"nut"


class Rows:
    """What the log says of one table, as long as its columns stay as they are.

    ``quick`` makes the record of a row that stands in a message from a place to its end; it raises `Unusual` for one that lacks
    a value, a ValueError or an IndexError for one that is cut off.
    """

    def __init__(self, table: LoggedTable, relation: Relation, makers: Mapping[str, Make]) -> None:
        """``makers``: of the columns that are sent."""
        self.table, self.relation = table, relation
        self.stream = table.stream
        self.names = tuple(attribute.name for attribute in relation.attributes)
        self._makers = {
            number: (b"%b:" % encode(name), makers[name])
            for number, name in enumerate(self.names)
            if name in makers
        }
        self.key = self._key()
        self.blind = self._blind()
        self.quick: Callable[[bytes, int], bytes] = _compiled(len(self.names), self._makers)

    def _key(self) -> tuple[int, ...]:
        """Return where the columns of the key stand.

        Raises:
            BadDataError: the log does not have them.
        """
        missing = [name for name in self.table.key if name not in self.names]
        if missing:
            raise BadDataError(
                f"In the log, table `{self.table.schema}.{self.table.name}` has no column `{missing[0]}`, which is a key of stream "
                f"`{self.stream}`; what was confirmed by the target is safe: discover anew and start the stream over."
            )
        return tuple(self.names.index(name) for name in self.table.key)

    def _blind(self) -> str | None:
        """Return why changes of rows do not say which row it was, if that is so: inserts alone are sure then."""
        lacking = [
            name
            for number in self.key
            if not self.relation.attributes[number].is_key
            for name in [self.names[number]]
        ]
        if not lacking and (self.key or self.relation.identity == "f"):
            return None
        what = f"without its key (`{lacking[0]}`)" if lacking else "without what they were"
        return (
            f"rows of table `{self.table.schema}.{self.table.name}` were changed while its replica identity was another one, so that the log has "
            f"them {what}"
        )

    def blind_by(self, old: Tuple) -> str | None:
        """Return why an old row does not say which one it was: a partition may have had another replica identity than its root."""
        if not any(old[number] is None for number in self.key):
            return None
        return f"the log has changed rows of a partition of table `{self.table.schema}.{self.table.name}` without their key"

    def record(self, values: Tuple, only: Sequence[int] | None = None) -> bytes:
        """Return the record of a row, without what the log does not have of it; ``only``: places of its columns."""
        parts = []
        for number in self._makers if only is None else only:
            name, make = self._makers[number]
            value = values[number]
            if isinstance(value, bytes):
                parts.append(name + make(value))
            elif value is None:
                parts.append(name + b"null")
        return b"{%b}" % b",".join(parts)

    def absent(self, values: Tuple) -> list[str]:
        """Return the columns that are sent and that the log does not have."""
        return [self.names[number] for number in self._makers if values[number] is ABSENT]

    def has_new_key(self, old: Tuple, new: Tuple) -> bool:
        return any(old[number] != new[number] for number in self.key)


def filled(new: Tuple, old: Tuple) -> Tuple:
    """Return a new row with what it lacks from the old one, which is whole."""
    if ABSENT not in new:
        return new
    return [before if value is ABSENT else value for value, before in zip(new, old, strict=True)]


def _compiled(count: int, makers: dict[int, tuple[bytes, Make]]) -> Callable[[bytes, int], bytes]:
    """Compile what makes a record of a row with ``count`` columns, by ``makers`` of those that are sent.

    The columns are walked through without a loop or a list: half of the time of a general one.
    """
    lines = [
        "def quick(p, i, number=int.from_bytes):",
        f"    if p[i] != {NEW} or number(p[i + 1:i + 3]) != {count}:",
        "        raise ValueError",
        "    i += 3",
    ]
    names: dict[str, Any] = {"no_value": _no_value}
    pieces = []
    for column in range(count):
        lines += ["    k = p[i]", f"    if k == {_TEXT}:"]
        if column in makers:
            name, make = makers[column]
            names[f"m{column}"] = make
            raw = "p[i + 5:e]" if make is as_it_is else f"m{column}(p[i + 5:e])"
            lines += [
                "        e = i + 5 + number(p[i + 1:i + 5])",
                f"        v{column} = {raw}",
                "        i = e",
                "    else:",
                f"        v{column} = no_value(k)",
                "        i += 1",
            ]
            pieces.append((name, f"v{column}"))
        else:
            lines += [
                "        i += 5 + number(p[i + 1:i + 5])",
                f"    elif k in {(_NULL, _UNCHANGED)}:",
                "        i += 1",
                "    else:",
                "        raise ValueError",
            ]
    lines += ["    if i != len(p):", "        raise ValueError"]
    template = b"{" + b",".join(name.replace(b"%", b"%%") + b"%b" for name, _ in pieces) + b"}"
    names["template"] = template
    values = ", ".join(value for _, value in pieces)
    lines.append(f"    return template % ({values}{',' if values else ''})")
    exec("\n".join(lines), names)  # noqa: S102  of nothing but numbers
    quick: Callable[[bytes, int], bytes] = names["quick"]
    return quick


class Unusual(Exception):
    """A row lacks a value."""


def _no_value(kind: int) -> bytes:
    if kind == _NULL:
        return b"null"
    raise Unusual
