"""What is looked up of keys one by one is asked only where it has to be, and says the same."""

from __future__ import annotations

import random
from zlib import crc32

import pytest

from singerkit_tap.keybounds import KeyBounds
from singerkit_tap.keys import KeyBits


@pytest.mark.parametrize("seed", range(20))
def test_keys_that_are_passed_are_none_of_those_before(seed: int) -> None:
    dice = random.Random(seed)
    bounds, known, passed = KeyBounds(), set[bytes | tuple[bytes, ...]](), 0
    for page in range(40):
        begin = page * 8 + (dice.randrange(-9, 3) if dice.random() < seed / 20 else 0)
        keys: list[bytes | tuple[bytes, ...]] = [str(number).encode() for number in range(begin, begin + 8)]
        if seed % 5 == 4:
            keys = [(bytes(key), b"1") for key in keys]  # type: ignore[arg-type]
        dice.shuffle(keys)
        if bounds.are_passed(keys):
            passed += 1
            assert known.isdisjoint(keys)
        if page < 20:
            bounds.note(keys)
            known.update(keys)
    assert passed or seed
    assert passed <= 1 or seed % 5 != 4, "keys of several parts are looked for"


def test_numbers_that_grow_by_a_digit_are_passed() -> None:
    bounds = KeyBounds()
    bounds.note([b"8", b"99", b"100", b"9"])
    assert bounds.are_passed([b"101", b"102"])
    assert bounds.are_passed([b"1000", b"1001"])
    assert not bounds.are_passed([b"1002", b"99"]), "of several lengths each has to be looked for"
    assert not bounds.are_passed([b"101", b"100"])
    assert not bounds.are_passed([b"101"]), "what comes in no order is looked for from then on"


@pytest.mark.parametrize("asked", [1, 5])
def test_bits_of_some_keys_are_those_of_all(asked: int) -> None:
    texts, parts = [b"%d" % number for number in range(9)], [(b"%d" % number, b"x") for number in range(9)]
    for keys, joined in ((texts, texts), (parts, [b"\n".join(part) for part in parts])):
        bits = KeyBits(keys)
        assert [bits[number] for number in range(asked)] == [crc32(text) for text in joined[:asked]]
        assert list(bits) == [crc32(text) for text in joined]
        assert (bits[-1], len(bits)) == (crc32(joined[-1]), 9)
