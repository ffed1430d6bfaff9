"""Whether the primary key of a stream tells its rows apart (decision 20): if not, rows replace each other unseen.

Certain are two different rows with one key in one answer, and in the answers for two parents where that of the first still
has its row when it is asked for again. A key that comes again in a later answer with other content may be a row that
has changed, or has moved between pages; such rows are counted, and told of where they are many.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, cast
from zlib import crc32

from singerkit_shell.errors import BadDataError
from singerkit_tap.changes import comes_whole, reset_of
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.keybounds import KeyBounds
from singerkit_tap.longpages import HashesOfKeys
from singerkit_tap.stream import BlockStream
from singerkit_wire.encode import Record, RecordEncoder, Rows

__all__ = ["KeyBits", "KeyWatch", "Keys", "keys_of"]

_MEMORY = 100_000
"""Keys that are remembered from one answer to the next: 64 bits each, and as many for the row; and those of one answer that are at hand."""
_AT_ONCE = 1000
_MOST_READS = 20_000
"""Of so many parents keys are remembered: each would be asked again by its context, which takes some hundred bytes."""
_ASKS = 3
"""How often an earlier parent is asked again in vain until keys below two parents are taken for rows that move."""
_FEW, _SHARE = 3, 0.01
"""Rows that come again with other content than before are not told of below this count, nor this share."""
_KEY_WORDS = (
    frozenset(("id", "uuid", "guid", "key")),
    frozenset(
        [
            *("code", "no", "nr", "num", "number", "line", "pos", "position", "seq", "sequence", "index"),
            *("version", "revision", "rev"),
        ]
    ),
    frozenset(("at", "on", "date", "time", "timestamp", "day", "week", "month", "year", "period", "from")),
)
"""The last word of names that a part of a key has, the most likely first."""
_FRACTION = re.compile(rb"-?[0-9]+[.eE]")
_SCALARS = tuple(b'"-0123456789tf'[at : at + 1] for at in range(14))
_NO_KEY = b"null"

_Key = bytes | tuple[bytes, ...]
Keys = Sequence[_Key]


class KeyWatch:
    """Looks at the rows of one stream through one read of its family."""

    def __init__(self, stream: BlockStream) -> None:
        self._stream = stream
        self._names = stream.primary_keys
        self._page: Page | None = None
        self._page_keys: dict[_Key, int] = {}
        """Keys of the chunks of the page so far, and where in it they are; of a long page those of its beginning."""
        self._hashes: HashesOfKeys | None = None
        """All keys of a long page."""
        self._rows: dict[int, int] = {}
        """Hash of the key -> hash of the row."""
        self._reads: list[tuple[Context | None, Start]] = []
        self._read_of: dict[int, int] = {}
        """Hash of the key -> number of the read that it came in, where the stream is read more than once."""
        self._last_remembered = -1
        """The number of the last read of which a key is remembered."""
        self._bounds = KeyBounds()
        """Of the keys that are remembered."""
        self._count = self._replacing = self._moved = self._asked_in_vain = 0

    def begin_read(self, context: Context | None, start: Start) -> None:
        """Note that the rows from here on come for ``context``."""
        if self._reads and len(self._reads) - 1 != self._last_remembered:
            self._reads.pop()  # no key is remembered of it
        self._reads.append((context, start))

    def look(
        self,
        encoder: RecordEncoder,
        rows: Rows,
        keys: Keys,
        page: Page,
        first: int,
        constants: Mapping[str, Any] | None,
    ) -> None:
        """Look at a chunk of ``page``, whose records begin with number ``first``; ``keys`` are those of ``rows``.

        Raises:
            BadDataError: the key does not tell rows apart.
        """
        if page is not self._page:
            self._page, self._page_keys = page, {}
            self._hashes = HashesOfKeys() if len(page.records) > _MEMORY else None
        has_room = self._hashes is None or len(self._page_keys) < _MEMORY
        is_last = first + len(keys) >= len(page.records)
        if has_room:
            distinct = set(keys)
            if len(distinct) < len(keys) or not self._page_keys.keys().isdisjoint(distinct):
                self._look_within(encoder, keys, page, first, constants)
            if not is_last:
                self._page_keys.update(zip(keys, count(first)))
        self._count += len(keys)
        self._look_across(encoder, rows, keys)
        if self._hashes is not None:
            self._hashes.add(map(hash, keys))
            if is_last:
                self._look_within_long(encoder, page, self._hashes.doubled(), constants)

    def finish(self) -> Iterator[str]:
        """Yield what is to be told at the end of the read."""
        yield from filter(None, (self._told_of_replaced(), self._told_of_moved()))

    def _told_of_moved(self) -> str | None:
        moved, advice = self._moved - self._stream.rows_asked_again, self._stream.advice_on_moved_rows()
        if moved <= 0 or advice is None:
            return None
        return (
            f"{moved} of {self._count} rows of stream `{self._stream.name}` came again, unchanged, on a later page of the same read. "
            "If rows were inserted at the source meanwhile, they shift others so, and all is well; if not, or if each run "
            "says so, the API gives its rows in another order on each page, and as many others are on none and "
            f"missing: {advice}."
        )

    def _told_of_replaced(self) -> str | None:
        is_trifle = self._replacing < _FEW or self._replacing < self._count * _SHARE
        if not self._replacing or (is_trifle and not self._stream.accepts_duplicate_keys):
            return None
        again = (
            ""
            if comes_whole(self._stream)
            else f", and to have those come again, run {reset_of(self._stream)}"
        )
        return (
            f"{self._replacing} of {self._count} rows of stream `{self._stream.name}` came with a key ({_named(self._names)}) "
            "that a row of other content had before in this run, and take its place in the target. Rows that "
            "change or move while they are read come so, and then all is well; only if nothing has changed at the source "
            "meanwhile is the key not unique, and rows are lost: add the field that makes it unique to "
            f"`primary_keys`{again}."
        )

    # Within one answer

    def _look_within(
        self,
        encoder: RecordEncoder,
        keys: Sequence[_Key],
        page: Page,
        first: int,
        constants: Mapping[str, Any] | None,
    ) -> None:
        places: dict[_Key, list[int]] = {}
        for number, key in enumerate(keys, first):
            if key not in places:
                places[key] = [self._page_keys[key]] if key in self._page_keys else []
            places[key].append(number)
        for key, numbers in places.items():
            if len(numbers) > 1 and not _is_null(key):
                records = [page.records[number] for number in numbers]
                rows = encoder.decode(records, constants)
                different = len(set(self._texts_besides(encoder, rows)))
                if different > 1:
                    spellings = {
                        tuple(bytes(encoder.column([row], name)[0]) for name in self._names) for row in rows
                    }
                    self._replaced(
                        encoder, page, constants, different - 1, is_spelled_alike=len(spellings) == 1
                    )

    def _look_within_long(
        self,
        encoder: RecordEncoder,
        page: Page,
        doubled: Collection[int],
        constants: Mapping[str, Any] | None,
    ) -> None:
        """Look at the rows of a long page whose keys came twice in it, by their hashes, but for those that were looked at."""
        if not doubled:
            return
        found: dict[_Key, list[tuple[int, Record]]] = {}
        for begin in range(0, len(page.records), _AT_ONCE):
            records = page.records[begin : begin + _AT_ONCE]
            keys = keys_of(encoder, encoder.decode(records, constants), self._names)
            for number, (key, record) in enumerate(zip(keys, records, strict=True), begin):
                if hash(key) in doubled:
                    found.setdefault(key, []).append((number, record))
        again = [rows for rows in found.values() if rows[-1][0] >= len(self._page_keys)]
        records = [record for rows in again for _, record in rows]
        if records:
            keys = keys_of(encoder, encoder.decode(records, constants), self._names)
            self._page_keys = {}
            self._look_within(encoder, keys, Page(records), 0, constants)

    def _texts_besides(self, encoder: RecordEncoder, rows: Rows) -> list[bytes]:
        """Return what rows say besides their key, which may be spelled otherwise and yet be the same."""
        others = [name for name in encoder.fields if name not in self._names]
        return encoder.wording(rows, others if encoder.fields else None)

    def _replaced(
        self,
        encoder: RecordEncoder,
        page: Page,
        constants: Mapping[str, Any] | None,
        number: int,
        *,
        is_spelled_alike: bool,
    ) -> None:
        self._replacing += number
        if self._stream.accepts_duplicate_keys:
            return
        field, alone = self._telling_field(encoder, page.records, constants)
        alone = alone and page is self._page  # or it is not known of all rows
        spelled = "" if is_spelled_alike else ", written in two ways that are one value to its type"
        raise BadDataError(
            f"Two different rows of stream `{self._stream.name}` came in one answer with the same key "
            f"({_named(self._names)}{spelled}), so it is not unique, and one would take the other's place in the target; what was "
            f"confirmed by the target is safe: {self._stream.advice_on_keys(field, alone=alone)}."
        )

    def _telling_field(
        self, encoder: RecordEncoder, records: Sequence[Record], constants: Mapping[str, Any] | None
    ) -> tuple[str | None, bool]:
        """Return a field that makes the key unique in this answer, and whether it is unique alone.

        The one that looks most like a part of a key comes first, and what is measured last.
        """
        rows = encoder.decode(records, constants)
        keys = keys_of(encoder, rows, self._names)
        different = len(set(zip(keys, self._texts_besides(encoder, rows), strict=True)))
        found: list[tuple[int, str, bool]] = []
        for name in encoder.fields:
            if name in self._names or name == self._stream.replication_key:
                continue
            values = list(map(bytes, encoder.column(rows, name)))
            is_scalar = all(value.lstrip()[:1] in _SCALARS for value in values)
            if is_scalar and len(set(zip(keys, values, strict=True))) == different:
                found.append((_likeness(name, values), name, len(set(values)) == different))
        if not found:
            return None, False
        _, name, is_alone = min(found, key=lambda field: field[0])
        return name, is_alone

    # From one answer to the next

    def _look_across(self, encoder: RecordEncoder, rows: Rows, keys: Sequence[_Key]) -> None:
        room = _MEMORY - len(self._rows) if len(self._reads) <= _MOST_READS else 0
        if not keys or (room <= 0 and self._bounds.are_passed(keys)):
            return
        hashes = list(map(hash, keys))
        are_new = self._rows.keys().isdisjoint(hashes)
        if are_new and room <= 0:
            return
        row_hashes = encoder.hashes(rows)
        for number in [] if are_new else range(len(rows)):
            known = self._rows.get(hashes[number])
            if known is None or _is_null(keys[number]):
                continue
            read = self._read_of.get(hashes[number], 0)
            if known == row_hashes[number]:
                is_of_this_read = len(self._reads) < 2 or read == len(self._reads) - 1
                self._moved += is_of_this_read and keys[number] not in self._page_keys
                continue
            self._replacing += 1
            if self._reads[read][0] != self._reads[-1][0]:  # of one parent it is what that has come to say
                self._look_below_parents(encoder, keys[number], rows[number], known, self._reads[read])
        known_now = dict(zip(hashes, row_hashes, strict=True))
        if room > 0:
            self._bounds.note(keys)
        if len(known_now) > room:
            news = [key for key in known_now if key not in self._rows]
            for key in news[max(room, 0) :]:
                del known_now[key]
        self._rows.update(known_now)
        if self._reads[-1][0] is not None:
            self._last_remembered = len(self._reads) - 1 if known_now else self._last_remembered
            self._read_of.update(dict.fromkeys(known_now, self._last_remembered))

    def _look_below_parents(
        self, encoder: RecordEncoder, key: _Key, row: Any, known: int, read: tuple[Context | None, Start]
    ) -> None:
        """See whether the parent that a key came below before still has its row, which then is another one.

        ``known`` is the hash of that row: one that has changed meanwhile, or does with each answer, proves nothing.
        """
        if self._stream.accepts_duplicate_keys or self._asked_in_vain >= _ASKS:
            return
        texts = set(self._texts_besides(encoder, [row]))
        for records, constants in self._asked_again(*read):
            rows = encoder.decode(records, constants)
            found = zip(rows, keys_of(encoder, rows, self._names), encoder.hashes(rows), strict=True)
            same = [other for other, its_key, digest in found if its_key == key and digest == known]
            if not same:
                continue
            if texts.issuperset(self._texts_besides(encoder, same)):
                return
            raise BadDataError(
                f"Different rows of stream `{self._stream.name}` came below two parents with the same key "
                f"({_named(self._names)}), which is unique below one parent only, and one would take the other's place in "
                f"the target; what was confirmed by the target is safe: {self._stream.advice_on_keys(None, below_parents=True)}."
            )
        self._asked_in_vain += 1

    def _asked_again(
        self, context: Context | None, start: Start
    ) -> Iterator[tuple[Sequence[Record], Mapping[str, Any] | None]]:
        for page in self._stream.pages_again(context, start):
            constants = {**(context or {}), **(page.constants or {})}
            if page.records:
                yield page.records, constants


def keys_of(encoder: RecordEncoder, rows: Rows, names: Sequence[str]) -> list[_Key]:
    """Return the key of each row, the same for what is one key to the types of its columns."""
    columns = [encoder.key_values(rows, name) for name in names]
    return list(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))


class KeyBits(Sequence[int]):
    """32 bits of each key, the same in each run; of most pages those of a key or two are asked for."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._all: list[int] | None = None
        self._asked = 0

    def __len__(self) -> int:
        return len(self._keys if self._all is None else self._all)

    def __getitem__(self, number: Any) -> Any:
        self._asked += 1
        if self._all is None and self._asked <= _FEW and isinstance(number, int):
            return crc32(_text_of(self._keys[number]))
        return self._bits()[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._bits())

    def _bits(self) -> list[int]:
        if self._all is None:
            keys = self._keys
            are_texts = bool(keys) and isinstance(keys[0], bytes)
            texts = cast("Sequence[bytes]", keys) if are_texts else map(_text_of, keys)
            self._all, self._keys = list(map(crc32, texts)), ()
        return self._all


def _text_of(key: _Key) -> bytes:
    return key if isinstance(key, bytes) else b"\n".join(key)


def _likeness(name: str, values: Sequence[bytes]) -> int:
    """Return how little a field looks like a part of a key, by the last word of its name: 0 most like."""
    if any(_FRACTION.match(value.lstrip()) for value in values):
        return len(_KEY_WORDS) + 1
    last = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)[-1:]
    ranks = (rank for rank, words in enumerate(_KEY_WORDS) if last and last[0].lower() in words)
    return next(ranks, len(_KEY_WORDS))


def _is_null(key: _Key) -> bool:
    """Tell whether a part of a key is null, which the target refuses by itself."""
    return key == _NO_KEY or (isinstance(key, tuple) and _NO_KEY in key)


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
