"""JSON Lines: a JSON object a line, given as it stands. Blank lines are none.

Whether all lines of a block are objects is asked of msgspec at once: put in brackets, with commas between them, they are an array of
as many values as there are lines, each as long as its line.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw

from singerkit_wire import jsonexact
from tap_files.formats.contract import BadRow, Bytes, Piece, Spot
from tap_files.formats.wholelines import SHOWN, Block, WholeLines
from tap_files.settings.jsonlines import JsonLinesSettings

__all__ = ["JsonLinesReader", "object_fault", "reader_of"]

_BLANK = b" \t\r"
_objects = msgspec.json.Decoder(list[Raw])


class JsonLinesReader:
    """See `formats.contract.Reader`."""

    fields = None

    def __init__(self, settings: JsonLinesSettings, content: Bytes, start: Spot) -> None:
        self._lines = WholeLines(content, start, settings.encoding, "jsonl.encoding", settings.max_row_bytes)
        self._rows = start.row

    def pieces(self) -> Iterator[Piece]:
        """See `formats.contract.Reader.pieces`."""
        for block in self._lines.blocks():
            yield self._piece(block)

    def _piece(self, block: Block) -> Piece:
        texts = [text.strip(_BLANK) for text in block.texts]
        are_all = not block.faults and all(texts)
        places: Sequence[int] = (
            range(len(texts))
            if are_all
            else [index for index, text in enumerate(texts) if text or index in block.faults]
        )
        texts = texts if are_all else [texts[index] for index in places]
        first = self._rows + 1
        self._rows += len(texts)
        behind = block.spot(self._rows, self._lines.context)
        records = None if block.faults else _all_objects(texts)
        if records is not None:
            lines = (
                range(block.line + 1, block.line + 1 + len(texts))
                if are_all
                else [block.line + 1 + at for at in places]
            )
            return Piece(len(records), range(first, first + len(records)), None, records, lines, behind)
        return self._sifted(block, texts, places, first, behind)

    def _sifted(
        self, block: Block, texts: Sequence[bytes], places: Sequence[int], first: int, behind: Spot
    ) -> Piece:
        """Return the piece of a block that holds more than objects for msgspec, line by line."""
        records, numbers, lines, bad = list[Raw](), list[int](), list[int](), list[BadRow]()
        for number, (text, index) in enumerate(zip(texts, places, strict=True), first):
            fault = block.faults.get(index) or object_fault(text)
            if fault is None:
                records.append(Raw(text))
                numbers.append(number)
                lines.append(block.line + 1 + index)
            else:
                shown = text.decode("utf-8", "replace")[:SHOWN]
                bad.append(BadRow(number, block.line + 1 + index, block.byte_of(index), fault, shown))
        return Piece(len(records), numbers, None, records, lines, behind, bad)


def _all_objects(texts: Sequence[bytes]) -> list[Raw] | None:
    """Return lines as records; None: not all are objects, or are such as msgspec does not read."""
    try:
        records = _objects.decode(b"[" + b",".join(texts) + b"]")
    except (msgspec.DecodeError, RecursionError):
        return None
    if list(map(len, records)) != list(map(len, texts)) or not all(text[0] == 0x7B for text in texts):
        return None
    return records


def object_fault(text: bytes) -> str | None:
    """Return what is wrong with a text that should be one JSON object; None: nothing is.

    Half a character (a lone surrogate) is none: msgspec does not read it, but the engine passes it on as it stands.
    """
    if text.startswith(codecs.BOM_UTF8):
        return "Expected a JSON object, got a BOM in the middle of the file, as of another file"
    try:
        found = jsonexact.loads(text)
    except RecursionError:
        return "Expected a JSON object, got one nested too deeply"
    except ValueError as error:
        at = getattr(error, "pos", None)
        problem = str(error) if at is None else f"{getattr(error, 'msg', 'broken')}, character {at}"
        return f"Expected a JSON object, got text that is not ({problem})"
    if not isinstance(found, dict):
        kind = {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(found), "number")
        return f"Expected `object`, got `{kind}`"
    return None


def reader_of(settings: JsonLinesSettings, content: Bytes, start: Spot) -> JsonLinesReader:
    """See `formats.contract.Reader`."""
    return JsonLinesReader(settings, content, start)
