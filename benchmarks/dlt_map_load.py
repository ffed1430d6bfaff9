"""Load a Singer file of orders with dlt, five operations by its `add_map` in Python: ``dlt_map_load.py FILE URL SCHEMA WORK_FOLDER``.

Runs in dlt's own environment, as `dlt_load.py` does, whose types and way to read it has. `add_map` is given one record at a time.
"""

from __future__ import annotations

import hashlib
import hmac
import sys
from typing import Any

import dlt
from dlt_load import columns, read

KEY = b"00112233445566778899aabbccddeeff"


def mapped(record: dict[str, Any]) -> dict[str, Any]:
    """The five operations of the row, as somebody writes them by hand."""
    record.pop("coupon_id", None)
    record["number"] = record.pop("order_no")
    customer, note, price = record["customer"], record["note"], record["price"]
    if customer is not None:
        record["customer"] = hmac.new(KEY, customer.encode(), hashlib.sha256).hexdigest()
    if note is not None:
        record["note"] = note[:40]
    if price is not None:
        record["price"] = str(price)
    return record


def main(path: str, url: str, schema: str, work_folder: str) -> None:
    pipeline = dlt.pipeline(
        f"bench_{schema}",
        destination=dlt.destinations.duckdb(credentials=url.removeprefix("duckdb:///")),
        dataset_name=schema,
        pipelines_dir=work_folder,
    )
    types = columns(path)
    types["number"] = types.pop("order_no")
    types["price"] = {"data_type": "text"}
    del types["coupon_id"]
    resource = dlt.resource(
        read(path),
        name="orders",
        primary_key="id",
        write_disposition="append",
        columns=types,
        max_table_nesting=0,
    ).add_map(mapped)
    pipeline.run(resource, loader_file_format="parquet").raise_on_failed_jobs()


if __name__ == "__main__":
    main(*sys.argv[1:])
