"""Schemas that take for ever: patterns that backtrack, references that stand for billions of schemas."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest
from jsonschema import Draft7Validator

from singerkit_catalog.schema import resolve_refs
from singerkit_shell.errors import ConfigurationError, Stopped
from singerkit_shell.signals import StopFlag, TooLong, stop_flag
from singerkit_wire import exact
from singerkit_wire.decode import Refused, compile_decoder
from singerkit_wire.exact import RejectedRow, compile_exact
from singerkit_wire.stream import stream_of
from singerkit_wire.unstorable import Policy

SLOW = "^(a+)+$"
MADE_FOR_IT = "a" * 60 + "!"


def line(value: Any) -> bytes:
    return json.dumps({"type": "RECORD", "stream": "s", "record": {"t": value}}).encode() + b"\n"


def stream_with(**keywords: Any) -> Any:
    schema = {"type": "object", "properties": {"t": {"type": "string", **keywords}}}
    return stream_of("s", schema, (), keeps_text=False)


def exact_decoder(stream: Any) -> Any:
    return compile_exact(stream, validate=True, policy=Policy.FAIL, extra=(), forbid_extra=False)


def fast_decoder(stream: Any) -> Any:
    return compile_decoder(stream, validate=True, allow_extra=True, with_metadata=False)


def test_a_pattern_that_backtracks_is_given_two_seconds_of_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exact, "JUDGE_SECONDS", 0.2)
    decoder = exact_decoder(stream_with(pattern=SLOW))
    began = time.process_time()
    with pytest.raises(RejectedRow, match="judge within"):
        decoder.decode(line(MADE_FOR_IT))
    assert time.process_time() - began < 3
    assert decoder.decode(line("aaa")) == ("aaa",), "a text that it is quick with is judged as ever"


def test_on_the_fast_path_the_block_goes_to_the_exact_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("singerkit_wire.decode._PATTERN_SECONDS", 0.2)
    decoder = fast_decoder(stream_with(pattern=SLOW))
    with pytest.raises(Refused):
        decoder.decode(line(MADE_FOR_IT), 1, 1)
    assert decoder.decode(line("aaa"), 1, 1)[0].rows() == [("aaa",)]


@pytest.mark.parametrize("path", ["fast", "exact"])
def test_a_signal_ends_a_pattern_that_backtracks(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = StopFlag()
    for name in ("decode", "exact"):
        monkeypatch.setattr(f"singerkit_wire.{name}.stop_flag", flag)
    monkeypatch.setattr(exact, "JUDGE_SECONDS", 60)
    monkeypatch.setattr("singerkit_wire.decode._PATTERN_SECONDS", 60)
    stream = stream_with(pattern=SLOW)
    decoder = fast_decoder(stream) if path == "fast" else exact_decoder(stream)
    # From a timer of the system: a pattern lets no other thread run.
    former = signal.signal(signal.SIGPROF, flag._on_signal)
    signal.setitimer(signal.ITIMER_PROF, 0.2)
    try:
        began = time.process_time()
        given = (line(MADE_FOR_IT), 1, 1) if path == "fast" else (line(MADE_FOR_IT),)
        with pytest.raises(Stopped):
            decoder.decode(*given)
        assert time.process_time() - began < 5
    finally:
        signal.signal(signal.SIGPROF, former)


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("b", ["abc", "b", "xyz"]),  # found anywhere
        ("^a$", ["a", "a\n", "ba", "a\nb"]),
        (r"^\d$", ["1", "٣", "x"]),
        (r"^\w+$", ["é_1", "a-b"]),
        (r"^(?!x)\w", ["xa", "ya"]),  # what an engine without backtracking cannot judge
        (r"^(a)\1$", ["aa", "ab"]),
        (r"\s", ["\u00a0", "x"]),
    ],
)
def test_a_pattern_decides_as_jsonschema_does(pattern: str, texts: list[str]) -> None:
    """Both paths; the time limit changes no decision."""
    stream = stream_with(pattern=pattern)
    fast, slow = fast_decoder(stream), exact_decoder(stream)
    for text in texts:
        wanted = Draft7Validator({"pattern": pattern}).is_valid(text)
        assert accepts(lambda text=text: slow.decode(line(text))) == wanted, text
        if fast is not None and accepts(lambda text=text: fast.decode(line(text), 1, 1)):
            assert wanted, text


def accepts(decode: Any) -> bool:
    try:
        decode()
    except (RejectedRow, Refused):
        return False
    return True


def test_unique_items_of_a_hundred_thousand_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "JUDGE_SECONDS", 0.2)
    schema = {"type": "object", "properties": {"t": {"type": "array", "uniqueItems": True}}}
    decoder = exact_decoder(stream_of("s", schema, (), keeps_text=False))
    with pytest.raises(RejectedRow, match="judge within"):
        decoder.decode(line([{"n": number} for number in range(8_000)]))


def test_what_ends_in_time_is_not_disturbed() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    assert stop_flag.within(5, lambda: 42, "") == 42
    with pytest.raises(TooLong):
        stop_flag.within(0.05, lambda: [0 for _ in iter(int, 1) if _], "")
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert signal.getsignal(signal.SIGVTALRM) == before


# --- references -------------------------------------------------------------------------------------------------

LAUGHS = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {
    "a40": {"type": "string"}
}
MUTUAL = {f"m{n}": {"anyOf": [{"$ref": f"#/$defs/m{k}"} for k in range(12)]} for n in range(12)}


@pytest.mark.parametrize(("definitions", "first"), [(LAUGHS, "a0"), (MUTUAL, "m0")])
def test_a_nest_of_references_is_refused(definitions: dict[str, Any], first: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigurationError, match=r"stands for more than 100,000 objects"):
        resolve_refs({"properties": {"a": {"$ref": f"#/$defs/{first}"}}, "$defs": definitions}, "stream `s`")
    assert time.process_time() - began < 10


@pytest.mark.parametrize("keyword", ["items", "properties", "anyOf"])
@pytest.mark.parametrize("levels", [300, 3000])
def test_a_schema_that_nests_deeply_is_refused(keyword: str, levels: int) -> None:
    schema: Any = {}
    for _ in range(levels):
        schema = {keyword: {"a": schema} if keyword == "properties" else [schema]}
    with pytest.raises(ConfigurationError, match="nests deeper than 200 levels"):
        resolve_refs(schema, "stream `s`")


def test_a_wide_schema_is_none_of_that() -> None:
    properties = {f"c{n}": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]} for n in range(5000)}
    resolved = resolve_refs({"properties": properties, "$defs": {"a": {"type": "string"}}}, "x")
    assert len(resolved["properties"]) == 5000
