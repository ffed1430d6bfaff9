"""A signal is heard in every phase of a run, also where a library waits in C, and the exit code tells it (P4, P6).

Each case starts a real process, lets it wait for something that never comes, and sends SIGTERM. The times are
bounds for a busy machine; on a quiet one a second is enough.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.loads import connected, query
from taps.rest.api_server import Reply, json_reply, serving
from waiting import wait_until

BIN = Path(sys.executable).parent
SECONDS = 6.0
ENVIRONMENT = {**os.environ, "NO_PROXY": "*"}
STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}

# A resolver that never answers stands in for the name server of a broken network.
SLOW_NAMES = """
import socket, sys, time
def never(*_a, **_k):
    print("RESOLVING", file=sys.stderr, flush=True)
    time.sleep(60)
socket.getaddrinfo = never
from tap_rest.tap import main
main()
"""


@contextlib.contextmanager
def process(
    command: list[str], stdin: bytes | None = None, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    ) as running:
        assert running.stdin is not None
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                running.stdin.write(stdin)
                running.stdin.flush()
        try:
            yield running
        finally:
            running.kill()


def stopped(running: subprocess.Popen[bytes], *codes: int, read: bool = True) -> str:
    """Send SIGTERM; return what was printed on stderr when it ended in time with one of ``codes``."""
    began = time.monotonic()
    running.send_signal(signal.SIGTERM)
    if not read:
        running.wait(SECONDS * 3)
    _, errors = running.communicate(timeout=SECONDS * 3)
    took = time.monotonic() - began
    text = errors.decode()
    assert running.returncode in (codes or (143,)), text
    assert took < SECONDS, f"{took:.1f} s\n{text}"
    assert "Traceback" not in text
    return text


def tap_config(folder: Path, **config: Any) -> list[str]:
    path = folder / "config.json"
    path.write_text(json.dumps({"streams": [STREAM], **config}))
    return ["--config", str(path)]


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[socket.socket, int]]:
    """It takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, server.getsockname()[1]


@contextlib.contextmanager
def full_server() -> Iterator[int]:
    """It takes no connection any more, so that whoever comes waits."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port
        for one in waiting:
            one.close()


def connecting(port: int) -> bool:
    """Whether a connection to ``port`` has been begun and not answered, besides those of the test."""
    state_of_syn_sent = "02"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    wanted = f"0100007F:{port:04X}"
    found = [line for line in lines if line.split()[2] == wanted and line.split()[3] == state_of_syn_sent]
    return len(found) > CONNECTING_BEFORE.get(port, 0)


CONNECTING_BEFORE: dict[int, int] = {}


def test_p06_while_a_name_is_looked_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_NAMES, *tap_config(tmp_path, base_url="http://api.invalid")]
    with process(command, env=ENVIRONMENT) as tap:
        assert tap.stderr is not None
        for line in tap.stderr:
            if b"RESOLVING" in line:
                break
        assert "SIGTERM" in stopped(tap)


def test_p06_while_connecting(tmp_path: Path) -> None:
    with full_server() as port:
        time.sleep(0.1)
        CONNECTING_BEFORE[port] = sum(
            line.split()[2] == f"0100007F:{port:04X}" and line.split()[3] == "02"
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        )
        arguments = tap_config(tmp_path, base_url=f"http://127.0.0.1:{port}", timeout={"connect": 60})
        with process([str(BIN / "tap-rest"), *arguments], env=ENVIRONMENT) as tap:
            wait_until(lambda: connecting(port), "a connection")
            stopped(tap)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_p06_while_the_server_says_nothing(scheme: str, tmp_path: Path) -> None:
    """With https: in mid-handshake."""
    with silent_server() as (server, port):
        arguments = tap_config(tmp_path, base_url=f"{scheme}://127.0.0.1:{port}", timeout={"connect": 60})
        with process([str(BIN / "tap-rest"), *arguments], env=ENVIRONMENT) as tap:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1)
                stopped(tap)


def test_p06_while_a_byte_comes_now_and_then_or_the_api_asks_to_wait(tmp_path: Path) -> None:
    slow = Reply(b" " * 1000, drip=0.3)
    later = json_reply({}, 429, Retry_After="200")
    for reply in (slow, later):
        with serving({"/rows": lambda _, reply=reply: reply}) as api:
            arguments = tap_config(tmp_path, base_url=api.url)
            with process([str(BIN / "tap-rest"), *arguments], env=ENVIRONMENT) as tap:
                wait_until(lambda api=api: api.asked, "a request")
                time.sleep(0.5)
                stopped(tap)


@pytest.mark.parametrize(
    "reply",
    [Reply(b" " * 10000, drip=0.3), json_reply({}, 429, Retry_After="200")],
    ids=["a request", "a pause"],
)
@pytest.mark.parametrize("schema", [{}, {"schema": STREAM["schema"]}], ids=["inferred", "given"])
def test_a_reader_that_leaves_ends_what_is_waited_for(
    tmp_path: Path, reply: Reply, schema: dict[str, Any]
) -> None:
    """The target ends by itself, and its last line is not to be buried under those of a tap that tries again and again."""
    with serving({"/rows": lambda _: reply}) as api:
        arguments = tap_config(
            tmp_path, base_url=api.url, streams=[{"name": "rows", "path": "/rows", **schema}]
        )
        with process([str(BIN / "tap-rest"), *arguments], env=ENVIRONMENT) as tap:
            wait_until(lambda: api.asked, "a request")
            assert tap.stdout is not None
            assert tap.stderr is not None
            tap.stdout.close()
            assert tap.wait(30) == 69
            said = tap.stderr.read().decode()
    assert said.splitlines()[-1].startswith("CRITICAL tap-rest: The reader of our output has gone")
    assert "Traceback" not in said
    assert len(api.asked) == 1


def test_p06_while_discovering(tmp_path: Path) -> None:
    """Nothing is printed before the end of a discovery, so the process may simply end."""
    with serving({"/rows": lambda _: Reply(b" " * 1000, drip=0.3)}) as api:
        arguments = tap_config(tmp_path, base_url=api.url, streams=[{"name": "rows", "path": "/rows"}])
        with process([str(BIN / "tap-rest"), *arguments, "--discover"], env=ENVIRONMENT) as tap:
            wait_until(lambda: api.asked, "a request")
            stopped(tap, 143, -signal.SIGTERM)


def test_p06_while_nobody_reads_the_output(tmp_path: Path) -> None:
    page = json.dumps([{"id": "x" * 1000}] * 3000).encode()
    with serving({"/rows": lambda _: json_reply(page)}) as api:
        arguments = tap_config(tmp_path, base_url=api.url)
        with process([str(BIN / "tap-rest"), *arguments], env=ENVIRONMENT) as tap:
            wait_until(lambda: api.asked, "a request")
            time.sleep(1.5)
            stopped(tap, read=False)


@pytest.mark.usefixtures("really_started")
@pytest.mark.parametrize("executable", ["tap-rest", "target-postgres"])
def test_p06_while_python_imports(executable: str, tmp_path: Path) -> None:
    """No handler stands yet: the default action ends the process, with nothing printed."""
    for module in ("singer_sdk", "click"):
        (tmp_path / f"{module}.py").write_text(
            "import time\nopen('importing', 'w').close()\ntime.sleep(60)\n"
        )
    arguments = tap_config(tmp_path, base_url="http://127.0.0.1:9")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(tmp_path)}
    with process([str(BIN / executable), *arguments], env=environment, cwd=tmp_path) as running:
        wait_until(lambda: (tmp_path / "importing").exists(), "the imports")
        assert stopped(running, 143, -signal.SIGTERM) == ""


@pytest.mark.parametrize(
    "executable", ["tap-rest", "target-postgres", "target-jsonl", "singerkit-state", "singerkit-check"]
)
def test_p06_ctrl_c_while_python_imports(executable: str, tmp_path: Path) -> None:
    """Python would print where in its imports it was."""
    for module in ("singer_sdk", "click"):
        (tmp_path / f"{module}.py").write_text(
            "import os, time\nos.write(2, b'IMPORTING\\n')\ntime.sleep(60)\n"
        )
    with process(
        [str(BIN / executable), "--help"], env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)}
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == b"IMPORTING\n"
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=SECONDS)
    assert (running.returncode, said) == (-signal.SIGINT, b"")


@pytest.mark.parametrize("way", ["dsn", "state URL"])
def test_p04_while_postgres_says_nothing(way: str, tmp_path: Path) -> None:
    """libpq waits in C for the first word of the server."""
    with silent_server() as (server, port):
        url = f"postgresql://127.0.0.1:{port}/db"
        config = tmp_path / "config.json"
        if way == "dsn":
            config.write_text(json.dumps({"dsn": url, "connect_timeout": 60}))
            command = [str(BIN / "target-postgres"), "--config", str(config)]
        else:
            arguments = tap_config(tmp_path, base_url="http://127.0.0.1:9")
            command = [
                str(BIN / "tap-rest"),
                *arguments,
                "--state",
                f"{url}?pipeline=tap-rest&connect_timeout=60",
            ]
        with process(command, SCHEMA if way == "dsn" else None, env=ENVIRONMENT) as running:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1)
                stopped(running)


SCHEMA = b'{"type":"SCHEMA","stream":"t","schema":{"properties":{"id":{"type":"integer"}}},"key_properties":["id"]}\n'
RECORD = b'{"type":"RECORD","stream":"t","record":{"id":1}}\n'
STATE = b'{"type":"STATE","value":{"bookmarks":{"t":1}}}\n'
SLEEPS = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
CREATE TABLE t (id bigint PRIMARY KEY);
CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow();
"""


@pytest.mark.parametrize("what", ["a lock", "a statement that takes minutes"])
def test_p04_one_signal_cancels_what_takes_long(what: str, database: str, tmp_path: Path) -> None:
    """A statement that ends soon is let end; see `test_p04_sigterm_in_mid_unit_finishes_the_unit`."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"dsn": database}))
    query(database, "CREATE TABLE t (id bigint PRIMARY KEY)" if what == "a lock" else SLEEPS)
    command = [str(BIN / "target-postgres"), "--config", str(config)]
    busy = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'target-postgres' AND state = 'active' "
        "AND datname = current_database() AND "
    )
    busy += "wait_event_type = 'Lock'" if what == "a lock" else "wait_event = 'PgSleep'"
    with connected(database) as other:
        if what == "a lock":
            other.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with process(command, SCHEMA + RECORD + STATE, env=ENVIRONMENT) as target:
            assert target.stdin is not None
            target.stdin.close()
            target.stdin = None
            wait_until(lambda: query(database, busy), "a wait in the database")
            assert "SIGTERM" in stopped(target)
        other.execute("ROLLBACK")
    assert query(database, "SELECT count(*) FROM t") == [(0,)]


def test_p04_while_a_pattern_backtracks(database: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"dsn": database}))
    declared = {"properties": {"t": {"type": "string", "pattern": "^(a+)+$"}}}
    slow = [
        {"type": "SCHEMA", "stream": "t", "schema": declared, "key_properties": []},
        {"type": "RECORD", "stream": "t", "record": {"t": "a" * 60 + "!"}},
    ]
    text = "".join(json.dumps(message) + "\n" for message in slow).encode()
    with process([str(BIN / "target-postgres"), "--config", str(config)], text, env=ENVIRONMENT) as target:
        wait_until(
            lambda: query(database, "SELECT 1 FROM pg_tables WHERE tablename = '_singerkit_state'"), "a start"
        )
        time.sleep(1)
        stopped(target)
