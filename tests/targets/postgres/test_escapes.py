"""Every way to write a character in JSON arrives as that character, whatever else is in its block."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

EXECUTABLE = Path(sys.executable).with_name("target-postgres")
TEXTS = [
    r'"a\/b"',
    r'"\\/"',
    r'"\\\/"',
    r'"\u002f\u0041\u00e9\ud83d\ude00"',
    r'"\\u0041"',
    r'"\b\f\n\r\t"',
    r'"\\b\\f\\n\\r\\t"',
    r'"\"\\\""',
    r'"\u0001\u001f"',
    r'"\\."',
    r'"\\.\n\\."',
    '"null"',
    '"]"',
    r'"]\n["',
    '"é 日本 😀"',
    '""',
]


@pytest.mark.parametrize("blocks", ["one", "each"])
def test_text_arrives_as_json_means_it(database: str, tmp_path: Path, blocks: str) -> None:
    """Together in one block, and each alone: a block is encoded by what is in it."""
    schema = {
        "properties": {"n": {"type": "integer"}, "t": {"type": ["string", "null"]}, "u": {"type": "string"}}
    }
    message = json.dumps({"type": "SCHEMA", "stream": "t", "schema": schema, "key_properties": []})
    between = (
        "" if blocks == "one" else message.replace('"integer"', '["integer", "null"]') + "\n" + message + "\n"
    )
    lines = [
        f'{{"type": "RECORD", "stream": "t", "record": {{"n": {n}, "t": {text}, "u": {text}}}}}\n'
        for n, text in enumerate(TEXTS)
    ]
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"dsn": database}))
    done = subprocess.run(
        [EXECUTABLE, "--config", config],
        input=(message + "\n" + between.join(lines)).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    connection = psycopg2.connect(database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT t, u FROM t ORDER BY n")
        rows = cursor.fetchall()
    connection.close()
    assert rows == [(json.loads(text), json.loads(text)) for text in TEXTS]
