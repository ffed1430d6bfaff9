"""Patterns: what Python's `re` says of them, in time in proportion to the text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_quality import matching
from singerkit_quality.matching import PatternError, pattern_of

_ONE = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"[\w-]", r"\.", "[]^]", "\u00e4"])
_SAID = st.recursive(
    _ONE,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}"])).map(
            "({0[0]}){0[1]}".format
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=tries(200), deadline=None)
@given(_SAID, st.lists(st.text("abc1-.]^\n\u00e4", max_size=6), min_size=3, max_size=6))
def test_a_pattern_matches_what_it_does_in_python_by_each_way(said: str, texts: list[str]) -> None:
    """Python's own engine, a walk through all ways that remembers its steps, and one that does not."""
    pattern = pattern_of(said)
    ways = matching._Ways()
    walk = matching._Walk(ways, *ways.of(pattern._tree))
    rewritten = re.compile(pattern.in_words_of("re"))
    for text in texts:
        expected = re.fullmatch(said, text, re.ASCII) is not None
        assert pattern.matches(text) is expected
        assert walk.matches(text) is walk._matches_slowly(text) is expected
        assert (rewritten.fullmatch(text) is not None) is expected


@pytest.mark.parametrize(
    "said", ["(a*)*b", "(a+)+b", "(a|aa)*b", "(a?|c?)*b", "(.*)*b", "([a-z]+)*b", "a*a*a*a*a*b", "(a|b|ab)*c"]
)
def test_no_pattern_tries_its_ways_one_after_the_other(said: str) -> None:
    """Of 60 letters Python's `re` would not come back from the first six; here a test that hangs has failed."""
    assert not pattern_of(said).matches("a" * 30_000)


def test_what_is_remembered_of_a_pattern_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_MOST_KNOWN", 5)
    pattern = pattern_of("(?:.*)*x")
    texts = ["".join(map(chr, range(start, start + 9))) for start in range(200, 260, 9)]
    assert [pattern.matches(text + "x") for text in texts] == [True] * len(texts)
    assert not any(map(pattern.matches, texts))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("(", "not closed"),
        (")", "closes nothing"),
        ("a**", "behind another repetition"),
        ("a+?", "behind another repetition"),
        ("*", "behind nothing"),
        ("(?=a)", "look around"),
        ("(?P<x>a)", "look around"),
        (r"(a)\1", r"`\1`"),
        (r"\bx", r"`\b`"),
        ("x^y", "inside"),
        ("[a", "not closed"),
        ("[b-a]", "range"),
        ("[[:alpha:]]", "`[:`"),
        ("a{2,1}", "m is more than n"),
        ("a{,3}", "no `{m}`"),
        ("(a{100}){100}", "1,000 characters"),
        ("(" * 60 + "a" + ")" * 60, "deep"),
        ("a" * 1001, "longer"),
        (r"\xzz", "2 digits"),
        ("\\", "not admitted"),
    ],
)
def test_what_is_not_admitted_is_refused_with_what_it_has(said: str, why: str) -> None:
    with pytest.raises(PatternError, match=re.escape(why)):
        pattern_of(said)


def test_the_marks_of_a_whole_text_may_stand_there() -> None:
    assert pattern_of(r"^a\$$").matches("a$")
    assert not pattern_of(r"^a\$$").matches("a")
    assert not pattern_of("a").matches("a\n")
