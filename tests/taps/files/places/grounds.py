"""Places with somebody who writes to them beside the tap: what the tests of places share, and the servers by which they stand."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from canaries import canary
from waiting import wait_until

from tap_files.places.choosing import place_of
from tap_files.places.contract import Place
from tap_files.places.local import LocalPlace

__all__ = [
    "QUICK",
    "Ground",
    "SftpServer",
    "asyncssh_server",
    "moto",
    "nginx",
    "on_http",
    "on_s3",
    "on_sftp",
    "sshd",
]

QUICK: Mapping[str, Any] = {
    "timeout": {"connect": 60, "read": 60},
    "retries": {"tries": 3, "first_wait": 0.01, "longest_wait": 0.05, "total": 120},
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
    tells_at_end: bool = False
    """Whether a change shows only when all has come."""
    keeps_old: bool = False
    """Whether whoever has opened a file may go on to read it as it was."""
    unsaid: set[str] = field(default_factory=set)
    """What the place does not tell of its files."""

    def place(self, **changes: Any) -> Place:
        if self.kind == "local":
            return LocalPlace(self.address)
        return place_of(self.address, self.storage | changes)


def of_kind(kind: str, request: Any) -> Ground:
    """Return a place with nothing in it; ``request`` is that of pytest, for the fixture of its server."""
    if kind == "local":
        return on_disk(request.getfixturevalue("tmp_path"))
    server = request.getfixturevalue({"s3": "moto"}.get(kind, kind))
    return {"s3": on_s3, "nginx": on_http, "asyncssh": on_sftp, "sshd": on_sftp}[kind](server)


def on_disk(folder: Path) -> Ground:
    folder /= "disk"
    folder.mkdir()
    return Ground(
        "local",
        f"{folder}/",
        {},
        writes_into(folder),
        lambda name: (folder / name).unlink(),
        grows=True,
        window=1 << 16,
        tells_at_end=True,
    )


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


def installed(name: str, package: str) -> str:
    """Return the path of a server's program; where it is not installed, the test is skipped, except in CI."""
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None and not os.environ.get("CI"):
        pytest.skip(f"{name} is not installed here: apt-get install {package}")
    assert program, f"apt-get install {package}"
    return program


@dataclass
class SftpServer:
    """``root``: the folder that it shows as `/`; ``below``: that which a test writes into, as the server names it."""

    kind: str
    port: int
    host_key: str
    folder: Path
    below: str
    login: dict[str, str]
    drop: Callable[[], None] = lambda: None
    """Ends all connections that there are."""


@contextlib.contextmanager
def asyncssh_server(folder: Path) -> Iterator[SftpServer]:
    """Run asyncssh in this process: it lets in by a password, and knows no other folder."""
    import asyncio

    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    password = canary("sftp password")
    connections: set[Any] = set()

    class Server(asyncssh.SSHServer):
        def connection_made(self, connection: Any) -> None:
            connections.add(connection)

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, given: str) -> bool:
            return (username, given) == ("reader", password)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def on_loop(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    def drop() -> None:
        for connection in list(connections):
            loop.call_soon_threadsafe(connection.abort)
        connections.clear()

    async def begin() -> Any:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[key],
            server_factory=Server,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(folder)),
        )

    server = on_loop(begin())
    public = key.export_public_key().decode().strip()
    login = {"username": "reader", "password": password}
    try:
        yield SftpServer("asyncssh", server.get_port(), public, folder, "", login, drop)
    finally:
        drop()
        loop.call_soon_threadsafe(server.close)
        on_loop(server.wait_closed())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[SftpServer]:
    """Run OpenSSH's own server: it lets in by a key, and shows the whole machine."""
    program = installed("sshd", "openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "keys").write_text((folder / "client.pub").read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/keys\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    )
    process = subprocess.Popen(
        [program, "-D", "-f", folder / "config", "-E", folder / "log"], stdin=subprocess.DEVNULL
    )

    def is_up() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as one:
            return one.recv(3) == b"SSH"
        return False

    data = folder / "data"
    data.mkdir()
    try:
        wait_until(is_up, "sshd", 30)
        login = {"username": os.environ.get("USER") or "root", "private_key": str(folder / "client")}
        public = " ".join((folder / "host.pub").read_text().split()[:2])
        yield SftpServer("sshd", port, public, data, f"{str(data).strip('/')}/", login)
    finally:
        process.terminate()
        process.wait(10)


def on_sftp(server: SftpServer) -> Ground:
    """A folder of its own below what the server shows."""
    name = uuid.uuid4().hex[:12]
    folder = server.folder / name
    folder.mkdir()
    storage = {**QUICK, "sftp": {"host_key": server.host_key, **server.login}}
    return Ground(
        server.kind,
        f"sftp://127.0.0.1:{server.port}",
        storage,
        writes_into(folder),
        lambda name: (folder / name).unlink(),
        below=f"{server.below}{name}/",
        secrets=[server.login.get("password", "no password")],
        grows=True,
        window=1 << 18,
    )


_NGINX = """
{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off; types {{ text/html html; }} default_type text/csv; keepalive_timeout 5s;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}/data; autoindex on; charset utf-8;
        location /closed/ {{ alias {folder}/data/; if ($http_authorization != "Bearer {token}") {{ return 401; }} }}
        location /whole/ {{ alias {folder}/data/; max_ranges 0; }}
        location /away/ {{ return 302 {away}$request_uri; }}
        location /round/ {{ return 302 /round/; }}
        location /busy/ {{ return 503; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, away: str = "http://localhost:1") -> Iterator[tuple[str, Path]]:
    """Run nginx; return its URL and the folder that it shows. What is asked of `/away/` is sent on to ``away``."""
    program = installed("nginx", "nginx-light")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    data.mkdir()
    text = _NGINX.format(
        user="user root; " if os.geteuid() == 0 else "",
        folder=folder,
        port=port,
        token=canary("http token"),
        away=away,
    )
    (folder / "nginx.conf").write_text(text)
    process = subprocess.Popen(
        [program, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"],
        stdin=subprocess.DEVNULL,
    )

    def is_up() -> bool:
        assert process.poll() is None, (folder / "error.log").read_text()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 5).close()
            return True
        return False

    try:
        wait_until(is_up, "nginx", 30)
        yield f"http://127.0.0.1:{port}", data
    finally:
        process.terminate()
        process.wait(10)


def on_http(server: tuple[str, Path]) -> Ground:
    """A folder of its own in that of nginx, which asks for a token and lists what is in it."""
    url, data = server
    name = uuid.uuid4().hex[:12]
    folder = data / name
    folder.mkdir()
    said = {"base_url": url, "token": canary("http token"), "listing": "links"}
    return Ground(
        "nginx",
        url,
        {**QUICK, "http": said},
        writes_into(folder),
        lambda name: (folder / name).unlink(),
        below=f"closed/{name}/",
        secrets=[canary("http token")],
        grows=True,
        window=8 << 20,
        tells_at_end=True,
    )


def writes_into(folder: Path) -> Callable[[str, bytes], None]:
    """Return what puts a file there as a program does that writes it anew; a name that ends with `/` is a folder."""

    def put(name: str, content: bytes) -> None:
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat().st_mtime if path.exists() else time.time() - 4
        path.write_bytes(content)
        # Seconds before now at first: one that is written anew has another one from its first byte on, by which SFTP tells it from that.
        os.utime(path, (before + 1, before + 1))

    return put
