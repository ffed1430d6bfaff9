"""docs/quality.md: its config is one that a target takes, with its sentences, and every rule stands there."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE

from singerkit_quality.settings import ROW_RULES, SET_RULES
from singerkit_shell.errors import BadDataError
from target_jsonl.target import TargetJsonl

PAGE = (Path(__file__).parents[2] / "docs" / "quality.md").read_text("utf-8")


def test_the_config_does_what_the_page_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    [config] = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    properties = {
        "id": {"type": "integer"},
        "customer_id": {"type": ["integer", "null"]},
        "qty": {"type": "integer"},
        "status": {"type": "string"},
    }

    def load(*orders: dict[str, Any]) -> None:
        records = [
            RECORD("orders", {"id": number, "customer_id": 1, "qty": 1, "status": "paid", **more})
            for number, more in enumerate(orders)
        ]
        lines = "".join(
            json.dumps(one) + "\n"
            for one in [SCHEMA("orders", properties, ["id"]), *records, STATE({"a": 1})]
        )
        TargetJsonl(config={"destination_path": str(tmp_path), **json.loads(config)})._load(
            io.BytesIO(lines.encode())
        )

    load({}, {"qty": 0}, {"status": "lost"})
    stored = [json.loads(line)["id"] for line in (tmp_path / "orders.jsonl").read_text().splitlines()]
    assert stored == [0, 2]
    assert "rule `accepted` of `status` (`checks.orders[2]`) is broken by 1 of 3 records" in caplog.text
    with pytest.raises(BadDataError) as caught:
        load({}, {"customer_id": None})
    shown = re.search(r"    (Expected records that keep rule .*?); what was", PAGE)
    assert shown is not None
    shape = re.sub(r"`[^`]*`", "`.`", shown[1]).replace("id = 3, line 5", "K")
    assert shape in re.sub(r"`[^`]*`", "`.`", str(caught.value)).replace("id = 1, line 3", "K")


def test_every_rule_stands_in_its_table() -> None:
    tables = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    assert [name for name in tables if name in {*ROW_RULES, *SET_RULES}] == [*ROW_RULES, *SET_RULES]
