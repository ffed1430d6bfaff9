"""Records in columns, as a map leaves them, are decoded to the rows and dead letters that their lines are decoded to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries
from wire.test_both_paths import QUICK, Example, canonical, examples, stream_for

from singerkit_map.block import Place
from singerkit_map.records import RecordReader, lines_of
from singerkit_shell.errors import BadDataError
from singerkit_wire.batch import Batch
from singerkit_wire.batches import Missing
from singerkit_wire.blocks import BlockDecoder, Judgement
from singerkit_wire.columndecode import decode_columns
from singerkit_wire.columns import Columns
from singerkit_wire.conflicts import with_variant
from singerkit_wire.decode import Refused, compile_decoder
from singerkit_wire.domain import Domain
from singerkit_wire.messages import Run
from singerkit_wire.stream import Stream, stream_of
from singerkit_wire.unstorable import Policy

LOG = logging.getLogger("columns")
LOG.setLevel(logging.CRITICAL)
BESIDE = [
    "",
    ', "time_extracted": "2026-01-01T10:12:13Z"',
    ', "time_extracted": "2026-01-01T10:12:13Z", "version": 7',
    ', "version": null, "more": "\\u0000"',
    ', "version": "no number"',
]
JUDGEMENTS: Any = st.builds(
    Judgement,
    validate=st.booleans(),
    extra=st.sampled_from(["ignore", "load"]),
    unstorable=st.sampled_from(Policy),
    quarantine=st.booleans(),
    with_metadata=st.booleans(),
    missing=st.sampled_from(Missing),
    domain=st.sampled_from(
        [Domain(), Domain(holds_nul=True, years=(1900, 2200)), Domain(nesting=2, wide_integers=None)]
    ),
    reads_texts=st.booleans(),
)


def columns_of(lines: Sequence[bytes], stream: Stream) -> Columns:
    """Return records in columns, as a map has them that does nothing to them."""
    data = b"".join(line + b"\n" for line in lines)
    fields = list(stream.schema.get("properties", {}))
    block = RecordReader("s", fields).block(Run("s", data, len(lines), 1), Place("s"))
    return Columns(
        block.columns, len(lines), len(data), partial(lines_of, block, "s"), block.common, block.envelope
    )


class Outcome:
    """What became of a run: rows with the places that they have come from, letters, what was told, the stream, how it ended."""

    def __init__(self, stream: Stream, judgement: Judgement, held: Any, count: int) -> None:
        told: list[str] = []
        log = logging.Logger("columns")
        log.addFilter(lambda record: bool(told.append(record.getMessage())))
        decoder = BlockDecoder(stream, judgement, lambda stream: stream, log)
        self.said: Any = None
        try:
            batches, rejects = decoder.decode(Run("s", held, count, 5))
            self.said = (
                [
                    (batch.names, canonical([batch], stream), list(batch.places), batch.lines)
                    for batch in batches
                ],
                [(one.line, one.path, one.reason, one.record) for one in rejects],
            )
        except BadDataError as error:
            self.said = str(error)
        self.told, self.columns = told, decoder.stream.columns

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)

    def __repr__(self) -> str:
        return repr(vars(self))


@settings(max_examples=tries(60), **QUICK)
@given(
    examples(),
    JUDGEMENTS,
    st.lists(st.sampled_from(BESIDE), min_size=1, max_size=2),
    st.booleans(),
    st.sampled_from([None, "a", "n"]),
)
def test_columns_become_what_their_lines_become(
    example: Example, judgement: Judgement, beside: list[str], has_key: bool, variant: str | None
) -> None:
    stream = stream_for(example)
    if has_key:
        stream = stream_of("s", stream.schema, ("n",))
    if variant is not None and judgement.validate:
        stream = with_variant(stream, variant, f"{variant}__text", takes_all=has_key and variant == "a")
    lines = [
        line[:-1] + beside[number % len(beside)].encode() + b"}"
        for number, line in enumerate(example.lines("s"))
    ]
    columns = columns_of(lines, stream)
    written = columns_of(lines, stream).data
    assert Outcome(stream, judgement, columns, len(lines)) == Outcome(stream, judgement, written, len(lines))


@settings(max_examples=tries(40), **QUICK)
@given(examples(), st.booleans())
def test_columns_are_taken_where_their_lines_are(example: Example, is_plain: bool) -> None:
    """So that nothing is read twice that need not be; nor is anything taken that lines are refused for."""
    stream = stream_for(example)
    fast = compile_decoder(
        stream, validate=not is_plain, allow_extra=is_plain, with_metadata=False, reads_texts=is_plain
    )
    if fast is None or fast.rules is not None:
        return
    for line in example.lines("s"):
        columns = columns_of([line], stream)
        assert _decoded(partial(decode_columns, fast, columns, 1), stream) == _decoded(
            partial(fast.decode, columns.data, 1, 1), stream
        )


def _decoded(decode: Any, stream: Stream) -> Any:
    try:
        batches: list[Batch] = decode()
    except Refused:
        return None
    return canonical(batches, stream)
