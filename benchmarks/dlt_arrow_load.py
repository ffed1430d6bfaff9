"""Load the CSV of orders with dlt, as tables of Arrow that go into PostgreSQL by ADBC: ``dlt_arrow_load.py CSV COLUMNS URL SCHEMA WORK_FOLDER append|merge``.

Runs in dlt's own environment. Arrow reads the CSV with declared types; a parquet file is what dlt loads by ADBC.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.csv

TYPES = {
    "bigint": pa.int64(),
    "text": pa.string(),
    "numeric": pa.decimal128(38, 9),
    "boolean": pa.bool_(),
    "timestamptz": pa.timestamp("us", "UTC"),
    "jsonb": pa.string(),
}


def read(path: str, columns: dict[str, str]) -> Iterator[Any]:
    """Yield the rows of a CSV file without a head in tables."""
    types = {name: TYPES[kind] for name, kind in columns.items()}
    with pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(column_names=list(types), block_size=8 << 20),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
    ) as batches:
        for batch in batches:
            yield pa.Table.from_batches([batch])


def main(path: str, columns: str, url: str, schema: str, work_folder: str, disposition: str) -> None:
    kinds = json.loads(columns)
    destination = dlt.destinations.postgres(credentials=url, create_indexes=True)
    pipeline = dlt.pipeline(
        f"bench_{schema}", destination=destination, dataset_name=schema, pipelines_dir=work_folder
    )
    resource = dlt.resource(
        read(path, kinds),
        name="orders",
        primary_key="id",
        write_disposition=disposition,
        columns={name: {"data_type": "json"} for name, kind in kinds.items() if kind == "jsonb"},
    )
    pipeline.run(resource, loader_file_format="parquet").raise_on_failed_jobs()


if __name__ == "__main__":
    main(*sys.argv[1:])
