"""Names that come from the environment stand in what a target advises: a statement with `***` cannot be run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import run
from conformance.singer import RECORD, SCHEMA, STATE, lines
from conftest import run_sql

TARGET = str(Path(sys.executable).with_name("target-postgres"))
INTEGER, TEXT = {"type": "integer"}, {"type": "string"}


def sent(schema: dict[str, Any], value: Any) -> bytes:
    return lines(SCHEMA("shop_env", {"a": schema}, []), RECORD("shop_env", {"a": value}), STATE({"n": 1}))


@pytest.mark.parametrize("way", ["--config ENV", "env"])
def test_the_statement_that_is_advised_names_the_schema(way: str, database: str, tmp_path: Path) -> None:
    """The stream has the name of the schema, and nothing of the password is seen."""
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {"default_target_schema": {"env": "NAME"}, "dsn": {"env": "PLACE"}, "on_type_conflict": "fail"}
        )
    )
    command, environment = (
        (
            "ENV",
            {
                "TARGET_POSTGRES_DSN": database,
                "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "shop_env",
                "TARGET_POSTGRES_ON_TYPE_CONFLICT": '{"*": "fail"}',
            },
        )
        if way == "--config ENV"
        else (str(config), {"NAME": "shop_env", "PLACE": database})
    )

    def load(text: bytes) -> Any:
        return run([TARGET, "--config", command], stdin=text, environment=environment)

    load(sent(INTEGER, 1)).expect(0)
    refused = load(sent(TEXT, "x")).expect(65)
    assert "***" not in refused.last_words
    (advised,) = set(re.findall("`(ALTER TABLE [^`]*)`", refused.last_words))
    assert advised.startswith('ALTER TABLE "shop_env"."shop_env" ')
    run_sql(database, advised)
    load(sent(TEXT, "x")).expect(0)
