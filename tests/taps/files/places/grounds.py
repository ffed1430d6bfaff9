"""Places with somebody who writes to them beside the tap: what the tests of places share, and the servers by which they stand."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from canaries import canary

from tap_files.places.choosing import place_of
from tap_files.places.contract import Place

__all__ = ["QUICK", "Ground", "moto", "on_s3"]

QUICK: Mapping[str, Any] = {
    "timeout": {"connect": 2, "read": 3},
    "retries": {"tries": 2, "first_wait": 0.01, "longest_wait": 0.05, "total": 5},
}


@dataclass
class Ground:
    """``address`` is the root of a place as a path begins with it; ``below`` what names in it begin with, with `/` at its end."""

    kind: str
    address: str
    storage: dict[str, Any]
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]
    below: str = ""
    secrets: list[str] = field(default_factory=list)
    has_folders: bool = True
    grows: bool = False
    """Whether something can be appended to a file."""
    window: int = 1 << 18
    """Bytes that may have come before they are asked for."""
    unsaid: set[str] = field(default_factory=set)
    """What the place does not tell of its files."""

    def place(self, **changes: Any) -> Place:
        return place_of(self.address, self.storage | changes)


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """Run moto's S3 in this process; return its URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def on_s3(url: str) -> Ground:
    """A bucket of its own in a server at ``url``; moto does not look at signatures."""
    from urllib.parse import quote

    bucket = f"b{uuid.uuid4().hex[:12]}"
    session = requests.Session()
    session.trust_env = False
    # moto lets nobody overwrite who does not say who it is, and does not look at the signature.
    session.headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request"
    secret = canary("s3 secret")

    def put(name: str, content: bytes) -> None:
        session.put(f"{url}/{bucket}/{quote(name)}", content).raise_for_status()

    session.put(f"{url}/{bucket}").raise_for_status()
    keys = {"access_key_id": canary("s3 key"), "secret_access_key": secret}
    return Ground(
        "s3",
        f"s3://{bucket}",
        {**QUICK, "s3": {"endpoint": url, "region": "us-east-1", **keys}},
        put,
        lambda name: session.delete(f"{url}/{bucket}/{quote(name)}").raise_for_status(),
        secrets=[secret],
    )
