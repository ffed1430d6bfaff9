"""What is peculiar to tap-acme; the rules of Singer are tests/conformance's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, run
from taps.acme.driver import StoreOfAcme

TAP = [sys.executable, "-m", "tap_acme.tap"]


@pytest.fixture
def store(tmp_path: Path) -> StoreOfAcme:
    folder = tmp_path / "store"
    folder.mkdir()
    return StoreOfAcme(folder)


def read(store: StoreOfAcme, folder: Path, **settings: Any) -> Outcome:
    config = folder / "config.json"
    config.write_text(json.dumps(store.config | settings))
    return run([*TAP, "--config", str(config)])


def test_all_rows_are_read_with_each_digit(store: StoreOfAcme, tmp_path: Path) -> None:
    sent = [message for message in read(store, tmp_path).expect(0).messages if message["type"] == "RECORD"]
    assert len(sent) == sum(len(store.rows(name)) for name in store.streams)
    orders = [message["record"] for message in sent if message["stream"] == "orders"]
    assert [row["amount"] for row in orders] == [row["amount"] for row in store.rows("orders")]


# TODO(acme): what your source can answer that no other one does, and what a config for it can get wrong.
def test_a_wrong_config_is_one_sentence(store: StoreOfAcme, tmp_path: Path) -> None:
    refused = read(store, tmp_path, page_rows=0).expect(78)
    assert refused.last_words.startswith("CRITICAL tap-acme: The config ")
    assert "`page_rows`" in refused.last_words
