"""``make test-places``: the cases of all places (tests/taps/files/places/test_places.py) on s3rver, Azurite and a real HDFS.

HDFS is that of the jars in the sdist of pyspark 2.4.8 (Hadoop 2.7.3), on the Java that is installed.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from taps.files.places.grounds import QUICK, Ground
from taps.files.places.test_places import *  # noqa: F403  the same cases

sys.path.insert(0, str(Path(__file__).parent))

from npm import ENVS, packages
from processes import free_ports, running

from singerkit_shell.errors import NotAuthorisedError, RetryableError
from tap_files.places.choosing import place_of

KEY = base64.b64encode(b"a key of Azurite, which it is told, of sixty-four bytes in all..").decode()
ACCOUNT = "readers"
OPENED = ("java.lang", "java.nio", "java.util", "sun.nio.ch", "java.net")
"""Packages of Java that Hadoop 2 reaches into."""


@pytest.fixture(scope="session")
def s3rver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, (port,) = tmp_path_factory.mktemp("s3rver"), free_ports(1)
    program = packages("s3rver@3.7.1") / "node_modules/.bin/s3rver"
    with running(
        [program, "-d", folder, "-a", "127.0.0.1", "-p", str(port)],
        f"http://127.0.0.1:{port}/",
        folder / "log",
    ):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, (port,) = tmp_path_factory.mktemp("azurite"), free_ports(1)
    program = packages("azurite@3") / "node_modules/.bin/azurite-blob"
    command = [
        program,
        "--location",
        folder,
        "--blobPort",
        str(port),
        "--skipApiVersionCheck",
        "--disableTelemetry",
    ]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    with running(command, f"http://127.0.0.1:{port}/", folder / "log", env=environment):
        yield f"http://127.0.0.1:{port}/{ACCOUNT}"


def on_s3rver(url: str) -> Ground:
    """s3rver looks at signatures, so that obstore writes, too. It gives the ETag of a file for a moment longer than its content."""
    from obstore.store import S3Store

    bucket = f"b{uuid.uuid4().hex[:12]}"
    keys = {"access_key_id": "S3RVER", "secret_access_key": "S3RVER"}
    assert requests.put(f"{url}/{bucket}", timeout=10).ok
    store: Any = S3Store(
        bucket, endpoint=url, region="us-east-1", client_options={"allow_http": True}, **keys
    )
    storage = {**QUICK, "s3": {"endpoint": url, "region": "us-east-1", **keys}}
    return Ground(
        "s3rver", f"s3://{bucket}", storage, store.put, store.delete, has_folders=False, tells_at_end=True
    )


def signed(url: str, method: str, path: str, query: str = "") -> requests.Response:
    """Ask Azurite for something by its shared key."""
    when = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    own = {"x-ms-date": when, "x-ms-version": "2021-08-06"}
    text = f"{method}\n\n\n\n\n\n\n\n\n\n\n\n" + "".join(f"{name}:{value}\n" for name, value in own.items())
    text += f"/{ACCOUNT}/{ACCOUNT}/{path}" + query.replace("&", "\n").replace("=", ":").join(
        ["\n", ""] if query else ["", ""]
    )
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    header = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    return requests.request(
        method, f"{url}/{path}?{query}", headers=own | {"Authorization": header}, timeout=10
    )


def on_azurite(url: str) -> Ground:
    from obstore.store import AzureStore

    container = f"c{uuid.uuid4().hex[:12]}"
    assert signed(url, "PUT", container, "restype=container").status_code == 201
    store: Any = AzureStore(
        container, account_name=ACCOUNT, account_key=KEY, endpoint=url, client_options={"allow_http": True}
    )
    said = {"account": ACCOUNT, "endpoint": url, "account_key": KEY}
    return Ground(
        "azurite",
        f"az://{container}",
        {**QUICK, "azure": said},
        store.put,
        store.delete,
        secrets=[KEY],
        has_folders=False,
    )


@pytest.fixture(scope="session")
def jars() -> Path:
    """The jars of the sdist of pyspark 2.4.8, which pip brings; its setup needs an old pypandoc."""
    folder = ENVS / "hadoop-2.7.3"
    if not (folder / ".ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "constraints").write_text("pypandoc<1.8\n")
        options = ["-q", "--no-deps", "--no-binary", ":all:", "-d", folder]
        constraints = str(folder / "constraints")
        # Of what a setup needs, older ones of pip are told by the first, newer ones by the second.
        told = {"PIP_CONSTRAINT": constraints, "PIP_BUILD_CONSTRAINT": constraints}
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, "pyspark==2.4.8"],
            check=True,
            timeout=900,
            env={**os.environ, **told},
        )
        with tarfile.open(folder / "pyspark-2.4.8.tar.gz") as archive:
            for member in archive:
                if "/deps/jars/" in member.name and member.name.endswith(".jar"):
                    member.name = Path(member.name).name
                    archive.extract(member, folder / "jars", filter="data")
        (folder / "pyspark-2.4.8.tar.gz").unlink()
        (folder / ".ready").touch()
    return folder / "jars"


def as_xml(settings: dict[str, Any]) -> str:
    rows = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>" for name, value in settings.items()
    )
    return f"<configuration>{rows}</configuration>"


@pytest.fixture(scope="session")
def hdfs(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A name node and a data node."""
    from hdfs_native import Client

    folder = tmp_path_factory.mktemp("hdfs")
    ports = [f"127.0.0.1:{port}" for port in free_ports(5)]
    conf = folder / "conf"
    for page in ("hdfs", "datanode"):
        (conf / "webapps" / page).mkdir(parents=True)
    (conf / "core-site.xml").write_text(
        as_xml({"fs.defaultFS": f"hdfs://{ports[0]}", "hadoop.tmp.dir": folder / "tmp"})
    )
    names = (
        "namenode.rpc-address",
        "namenode.http-address",
        "datanode.address",
        "datanode.http.address",
        "datanode.ipc.address",
    )
    settings = {f"dfs.{name}": port for name, port in zip(names, ports, strict=True)}
    settings |= {
        "dfs.replication": 1,
        "dfs.webhdfs.enabled": "false",
        "dfs.datanode.hostname": "127.0.0.1",
        "dfs.heartbeat.interval": 1,
    }
    (conf / "hdfs-site.xml").write_text(as_xml(settings))
    opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED]
    java = ["java", *opened, "-Xmx256m", "-cp", f"{conf}:{jars}/*"]
    server = "org.apache.hadoop.hdfs.server"
    node = f"{server}.namenode.NameNode"
    subprocess.run([*java, node, "-format", "-nonInteractive"], check=True, capture_output=True, timeout=120)
    with contextlib.ExitStack() as ends:
        for program in (node, f"{server}.datanode.DataNode"):
            log = ends.enter_context((folder / f"{program.rpartition('.')[2]}.log").open("wb"))
            process = subprocess.Popen([*java, program], stdout=log, stderr=log, start_new_session=True)
            ends.callback(process.wait, 30)
            ends.callback(os.killpg, process.pid, signal.SIGKILL)
        client = Client(f"hdfs://{ports[0]}")
        until = time.monotonic() + 120
        while True:  # until the data node has told the name node of itself
            try:
                write(client, "/begun", b"x")
                break
            except Exception:
                assert time.monotonic() < until
                time.sleep(0.2)
        yield f"hdfs://{ports[0]}"


def write(client: Any, path: str, content: bytes) -> None:
    from hdfs_native import WriteOptions

    with client.create(path, WriteOptions(overwrite=True, create_parent=True)) as file:
        file.write(content)


def on_hdfs(url: str) -> Ground:
    from hdfs_native import Client

    client, name = Client(url), uuid.uuid4().hex[:12]

    def put(path: str, content: bytes) -> None:
        if path.endswith("/"):
            client.mkdirs(f"/{name}/{path}", create_parent=True)
        else:
            write(client, f"/{name}/{path}", content)

    return Ground(
        "hdfs",
        url,
        QUICK,
        put,
        lambda path: client.delete(f"/{name}/{path}"),
        below=f"{name}/",
        keeps_old=True,
    )


@pytest.fixture(params=["s3rver", "azurite", "hdfs"])
def ground(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ground:
    for module, name in (("objects", "_RANGE"), ("hdfs", "_PIECE")):
        monkeypatch.setattr(f"tap_files.places.{module}.{name}", 1 << 16)
    make = {"s3rver": on_s3rver, "azurite": on_azurite, "hdfs": on_hdfs}[request.param]
    return make(request.getfixturevalue(request.param))


def test_azure_refuses_a_wrong_key(azurite: str) -> None:
    made = on_azurite(azurite)
    made.put("in/a.csv", b"id\n")
    wrong = {"azure": {**made.storage["azure"], "account_key": base64.b64encode(b"another key").decode()}}
    with pytest.raises(NotAuthorisedError):
        list(place_of(made.address, QUICK | wrong).files("in/"))


def test_a_cluster_that_is_away_is_given_up() -> None:
    (port,) = free_ports(1)
    with pytest.raises(RetryableError, match="no answer"):
        list(place_of(f"hdfs://127.0.0.1:{port}", QUICK | {"retries": {"total": 1}}).files("in/"))
