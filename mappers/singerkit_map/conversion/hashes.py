"""Hashes without a key, which others take for protection: refused, or put under a key."""

from __future__ import annotations

from dataclasses import dataclass

from singerkit_map.conversion.converted import CannotSay, Operation

__all__ = ["Hashing"]


@dataclass(frozen=True)
class Hashing:
    """``key_variable``: the variable of the environment that holds the key for `hmac`; None: hashes are refused."""

    key_variable: str | None

    def operation(self, field: str, function: str) -> Operation:
        """Return what stands for a hash of a field.

        Raises:
            CannotSay: there is no key.
        """
        if self.key_variable is None:
            raise CannotSay(
                f"is {function} without a key, which whoever has the data turns back by hashing all likely values (an e-mail address in "
                "seconds): give `--hmac-key-env NAME`, and it becomes `hmac` with the key in that variable, or write `tokenise` or `drop`"
            )
        return {"op": "hmac", "field": field, "key": {"env": self.key_variable}}

    def note(self, place: str, function: str) -> str:
        """Tell what is otherwise with `hmac`."""
        return (
            f"`{place}` was {function} and is HMAC-SHA-256 under a key of yours: other values than those that are stored, so load the "
            "stream anew, and what it is joined with"
        )
