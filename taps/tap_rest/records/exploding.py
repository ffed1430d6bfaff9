"""Lists inside records: their items are the rows, with fields of what stands around them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from tap_rest.paths import Column, Found, Path, column_of
from tap_rest.records.bodies import kind_of
from tap_rest.records.withmembers import member, with_copies
from tap_rest.settings.explode import Explode, lists_of
from tap_rest.settings.fields import names_of

__all__ = ["Exploding"]

_items = msgspec.json.Decoder(list[Raw])


class Exploding:
    """Makes the rows of one stream, ``name``, out of its records; ``settings`` None: they are its records."""

    def __init__(self, name: str, settings: Explode | None) -> None:
        self._name, self._settings = name, settings
        self._lists: list[tuple[tuple[str, ...], Column]] = []
        self._copies: list[tuple[str, int, Column]] = []
        self._met: set[int] = set()
        if settings is not None:
            lists = lists_of(settings.path)
            self._lists = [(names, _column(names)) for names in lists]
            for field, text in settings.copy.items():
                level, names = _level_of(names_of(text), lists)
                self._copies.append((field, level, _column(names)))

    def rows(self, records: Sequence[Raw], where: str) -> Sequence[Raw]:
        """Return the rows.

        Raises:
            BadDataError: no record has the list, an item is no object, or has a field of its own where a copied one is to stand.
        """
        if self._settings is None or not records:
            return records
        levels, parents = [[*records]], []
        for level, (names, column) in enumerate(self._lists):
            found = column(levels[-1], where)
            self._look_for_list(level, names, found, where)
            lists = [self._items_of(one, where) for one in found]
            parents.append([index for index, items in enumerate(lists) for _ in items])
            levels.append([item for items in lists for item in items])
        rows = self._as_objects(levels.pop(), where)
        return self._with_copies(rows, levels, parents, where)

    def _look_for_list(self, level: int, names: Sequence[str], found: Sequence[Found], where: str) -> None:
        """See that what looks like a misspelt path is told: no record has anything there."""
        if (
            level in self._met
            or not found
            or (self._settings is not None and self._settings.missing == "empty")
        ):
            return
        if all(one is None for one in found):
            raise BadDataError(
                f"Expected a list at `{'.'.join(names)}` inside the records of {where}, got none in any of {len(found)}; check `explode.path` "
                f'of stream {self._name}, or, if all of them may be without it, set `"missing": "empty"` in `explode`.'
            )
        self._met.add(level)

    def _items_of(self, found: Found, where: str) -> list[Raw]:
        text = bytes(found) if isinstance(found, Raw) else b"null"
        match text[:1]:
            case b"[":
                return _items.decode(text)
            case b"n":
                return []
            case b"{":
                return [Raw(text)]  # some APIs leave the brackets out around one
        raise BadDataError(
            f"Expected `array`, got `{kind_of(text)}` at `explode.path` inside a record of {where}; check it in stream {self._name}."
        )

    def _as_objects(self, items: list[Raw], where: str) -> list[Raw]:
        field = self._settings.item if self._settings is not None else None
        if field is not None:
            begin = b"{" + member(field, b"")
            return [Raw(begin + bytes(item) + b"}") for item in items]
        odd = next((item for item in items if bytes(item)[:1] != b"{"), None)
        if odd is not None:
            raise BadDataError(
                f"Expected `object`, got `{kind_of(bytes(odd))}` as an item of the list at `explode.path` inside a record of {where}; name the "
                f'field that is to hold such items, `"as": "value"` in `explode` of stream {self._name}.'
            )
        return items

    def _with_copies(
        self, rows: list[Raw], levels: Sequence[list[Raw]], parents: Sequence[list[int]], where: str
    ) -> list[Raw]:
        if not self._copies or not rows:
            return rows
        around: list[list[int]] = []  # of each level, the number of what stands around each row
        indexes = list(range(len(rows)))
        for above in reversed(parents):
            indexes = [above[index] for index in indexes]
            around.insert(0, indexes)
        copies: dict[str, list[Found]] = {}
        for field, level, column in self._copies:
            values = column(levels[level], where)
            copies[field] = [values[index] for index in around[level]]
        return with_copies(rows, copies, where, self._clash)

    def _clash(self, field: str) -> BadDataError:
        return BadDataError(
            f"`explode.copy` of stream {self._name} adds `{redactor.mask(field)}` to each row, and one of them has such a field of its own with another "
            "value; copy it under another name."
        )


def _column(names: Sequence[str]) -> Column:
    return column_of(Path("", tuple(names), False))


def _level_of(names: tuple[str, ...], lists: Sequence[tuple[str, ...]]) -> tuple[int, tuple[str, ...]]:
    """Return of which level a field is that is copied, and its names from there: those of a list on the way lead to its item."""
    level = 0
    for at in lists[:-1]:
        if names[: len(at)] != at or len(names) == len(at):
            break
        level, names = level + 1, names[len(at) :]
    return level, names
