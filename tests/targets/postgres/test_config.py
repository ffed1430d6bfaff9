"""A wrong config is told by key, file and expectation, before anything is connected to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("executable", "config", "words"),
    [
        ("target-postgres", {"port": "a"}, 'Expected `integer`, got `"a"` at `port`'),
        ("target-postgres", {"on_invalid": "skip"}, "Expected one of `fail`, `quarantine`"),
        ("target-postgres", {"dsn": "this is no dsn"}, "Expected a libpq connection string or URL at `dsn`"),
        ("target-postgres", {"column_types": {"a.b": 5}}, "at `column_types.a.b`"),
        (
            "target-postgres",
            {"hots": "db"},
            "There is no setting `hots`; did you mean `host`? Nothing was read.",
        ),
        (
            "target-postgres",
            {"default_target_schema": "x"},
            'or `"embedded": true` for one that the target starts',
        ),
        (
            "target-postgres",
            {"host": "db", "default_target_schema": "ü" * 32},
            "at `default_target_schema`, got one that has 64 bytes, and PostgreSQL cuts names at 63",
        ),
        ("target-postgres", {"host": "db", "database": "d" * 64}, "at `database`, got one that has 64 bytes"),
        ("target-postgres", {"dsn": f"postgresql://db/{'d' * 64}"}, "at `dsn`, got one that has 64 bytes"),
        ("target-postgres", {"user": "me", "password": "x"}, "Expected `dsn`, `host` or `service`"),
        ("target-postgres", {"embedded": False}, "Expected `dsn`, `host` or `service`"),
        (
            "target-postgres",
            {"embedded": True, "host": "db"},
            "`embedded` asks for the embedded PostgreSQL, `host`",
        ),
        (
            "target-postgres",
            {"embedded_folder": "f", "user": "me"},
            "`user` for another one; remove one of them",
        ),
        ("target-postgres", {"embedded_folder": "f", "embedded": False}, "and `embedded` is false"),
        ("target-postgres", {"host": "db", "sslrootcert": "/nowhere"}, "at `sslrootcert`, got `/nowhere`"),
        ("target-postgres", {"dsn": f"host=db sslrootcert={__file__}"}, "it holds no certificate in PEM"),
        ("target-postgres", {"host": "db", "passfile": "/nowhere"}, "at `passfile`, got `/nowhere`"),
        (
            "target-postgres",
            {"host": "db", "passfile": "/etc/passwd"},
            "others than its owner have access to it",
        ),
        (
            "target-postgres",
            {"host": "db", "passfile": "/etc/passwd", "password": "x"},
            "`passfile` has no effect beside a password",
        ),
        ("target-postgres", {"host": "db", "sslcert": "/nowhere"}, "at `sslcert`, got `/nowhere`"),
        ("target-jsonl", {"destination_path": 5}, "Expected `string`, got `5` at `destination_path`"),
        ("tap-rest", {"base_url": "http://127.0.0.1:1", "streams": [{"name": "a"}]}, "`streams[0].path`"),
        (
            "tap-rest",
            {"base_url": "http://x", "streams": [{"name": "a", "path": "/"}], "pagnation": {}},
            "did you mean `pagination`?",
        ),
    ],
)
def test_a_wrong_config_names_key_file_and_expectation(
    tmp_path: Path, executable: str, config: dict[str, object], words: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(config))
    done = subprocess.run(
        [BIN / executable, "--config", path],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 78, done.stderr
    assert last.startswith(f"CRITICAL {executable}: The config in {path} is not valid: ")
    assert words in last
    assert "?." not in last
    assert "Traceback" not in done.stderr
