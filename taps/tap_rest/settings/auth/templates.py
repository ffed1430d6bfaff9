"""What is signed and sent by `hmac`, written with names in braces: `{timestamp}{method}{target}{body}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from singerkit_shell.validate import nearest

__all__ = ["NAMES", "SIGNATURE", "filled", "names_in", "template_problems"]

SIGNATURE = "signature"
NAMES = (
    "method",
    "url",
    "host",
    "path",
    "query",
    "target",
    "body",
    "body_md5",
    "body_sha256",
    "timestamp",
    "nonce",
)
"""What each request has: `target` is `path` with `?` and `query` where there is one; the digests of the body are written as the signature is."""
_NAME = re.compile(r"\{([a-z_0-9]+)\}")


def names_in(template: str) -> list[str]:
    return _NAME.findall(template)


def filled(template: str, values: Mapping[str, Callable[[], str]]) -> str:
    """Return a template with its names replaced."""
    return _NAME.sub(lambda match: values[match[1]](), template)


def template_problems(template: str, place: str, known: tuple[str, ...] = NAMES) -> Iterator[str]:
    """Yield a sentence for each name in a template that is not known."""
    for name in names_in(template):
        if name not in known:
            near = nearest(name, known)
            yield f"`{{{name}}}` in `{place}` is nothing that a request has{f'; did you mean `{{{near}}}`?' if near else ''}"
