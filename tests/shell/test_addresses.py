"""What of a URL or a DSN is a secret: the parts that are looked for alone, behind the whole."""

from __future__ import annotations

import pytest

from singerkit_shell.addresses import secrets_of_address

SHORT = "-"
"""A part that is a secret, and too short to be looked for alone."""


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("postgresql://ann:p@s@h/db", {"p@s"}),
        (" postgresql://ann:pw@h/db\n", {"pw"}),
        ("postgresql+psycopg2://ann@h/db?password=x", {"x"}),
        ("postgresql://h/db?password=a%20b", {"a b"}),
        ("postgresql://ann:p[ss@h/db", {"p[ss", SHORT}),  # urlsplit takes it for no URL
        ("postgresql://h[/db", {SHORT}),
        ("jdbc:postgresql://h/db?user=ann&password=pw", {"pw"}),
        ("https://ann:p%40ss@h", {"p%40ss", "p@ss", SHORT}),
        ("https://tokentoken@h", {"tokentoken"}),  # a word, and no path
        ("https://h/a1b2c", {SHORT}),
        ("https://h/x7Kd9qLm", {"x7Kd9qLm"}),
        ("https://h/x?k=a+b", {"a+b", "a b"}),
        ("https://h/x?abc-123", {"abc-123"}),
        ("https://h/x#tok-77", {"tok-77"}),
        ("host=h password=a\\'b", {"a'b"}),
        ("host=h oauth_client_secret=word", {"word"}),
        ("host=h sslpassword=word", {"word"}),
        ("host=h options='-c a=b'", {"-c a=b"}),
    ],
)
def test_an_address_that_holds_a_secret(address: str, parts: set[str]) -> None:
    found = secrets_of_address(address)
    assert found is not None
    assert found[0] == address
    assert set(found[1:]) == parts


@pytest.mark.parametrize(
    "address",
    [
        "https://h/v1/orders",
        "postgresql://ann@h/db",
        "host=/run/x7Kd9qLm user=ann sslkey=/x7Kd9qLm.key",
        "host=h oauth_client_id=word",
    ],
)
def test_an_address_that_holds_none(address: str) -> None:
    assert secrets_of_address(address) == []


@pytest.mark.parametrize("text", ["hello", "host=h color=red", "user=ann", "h/v1/orders", ""])
def test_what_is_no_address(text: str) -> None:
    assert secrets_of_address(text) is None
