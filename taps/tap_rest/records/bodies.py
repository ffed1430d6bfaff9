"""What a body is: JSON, an object with members, a message in place of records; and how one is described without its values."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from singerkit_wire import jsonexact as exact
from tap_rest.answers.answer import RefusingAnswer, Response, excerpt
from tap_rest.formats.looks import look_of
from tap_rest.paths import load_exactly

__all__ = [
    "check_is_json",
    "description",
    "error_in",
    "first_inside",
    "is_object",
    "kind_of",
    "members_in",
    "members_of",
    "refuse_message",
]

_MESSAGE = frozenset(("message", "msg", "detail"))
_WITH_A_MESSAGE = _MESSAGE | frozenset(
    ("code", "status", "statuscode", "status_code", "type", "details", "title", "reason")
)


def check_is_json(response: Response, where: str) -> None:
    start = response.body[:200].lstrip()
    if not start:
        raise BadDataError(f"Expected JSON in {where}, got an empty body (status {response.status}).")
    if start.startswith(b"<"):
        look = look_of(start)
        advice = look.advice or "; check `base_url`, `path` and whether a login page or a proxy answers"
        raise BadDataError(f"Expected JSON in {where}, got {look.words} (status {response.status}){advice}.")


def error_in(response: Response, where: str, said: str) -> str:
    return f"Expected records in {where}, got an error with status {response.status}; it says: {said}"


def is_object(response: Response) -> bool:
    return response.body.lstrip()[:1] == b"{"


def refuse_message(response: Response, where: str) -> None:
    """Refuse a body that is nothing but a message.

    Raises:
        BadDataError: it is.
    """
    if is_object(response):
        names = {name.lower() for name in members_in(response, where)}
        if names & _MESSAGE and names <= _WITH_A_MESSAGE:
            said = excerpt(response)
            raise RefusingAnswer(error_in(response, where, said), said)


def members_in(response: Response, where: str) -> dict[str, Raw]:
    found = response.members
    return members_of(response.body, where) if found is None else found


def members_of(body: bytes, where: str) -> dict[str, Raw]:
    try:
        return msgspec.json.decode(body, type=dict[str, Raw])
    except msgspec.ValidationError:
        look = look_of(body)
        got = f"{look.words}{look.advice}" if look.fits else f"`{kind_of(body.lstrip())}`"
        raise BadDataError(f"Expected an object or an array in {where}, got {got}.") from None
    except (msgspec.DecodeError, RecursionError):
        value = load_exactly(body, where)
    return (
        {name: Raw(exact.dumps(member)) for name, member in value.items()} if isinstance(value, dict) else {}
    )


def description(body: bytes) -> str:
    """Say what a body is, by kind and key names only."""
    kind = kind_of(body.lstrip())
    if kind != "object":
        return f"`{kind}` at the top level"
    try:
        names = list(msgspec.json.decode(body, type=dict[str, Raw]))
    except (msgspec.DecodeError, RecursionError):
        return "an object"
    shown = redactor.mask_foreign(", ".join(f"`{name[:40]}`" for name in names[:8]))
    return (
        f"an object with the keys {shown}{', ...' if len(names) > 8 else ''}" if names else "an empty object"
    )


def kind_of(raw: bytes) -> str:
    kinds = {b"{": "object", b"[": "array", b'"': "string", b"t": "boolean", b"f": "boolean", b"n": "null"}
    return kinds.get(raw[:1], "number")


def first_inside(value: Raw) -> bytes:
    """Return the first character inside an array, b"" for what is none."""
    head = bytes(memoryview(value)[:1])
    return bytes(value)[1:].lstrip()[:1] if head == b"[" else b""
