"""Copy a table of PostgreSQL with dlt: ``dlt_postgres_load.py URL SOURCE_SCHEMA SCHEMA WORK_FOLDER``.

Runs in dlt's own environment. Its source sql_database, with Arrow as the backend, is the fastest way found.
"""

from __future__ import annotations

import sys

import dlt
from dlt.sources.sql_database import sql_table


def main(url: str, source: str, schema: str, work_folder: str) -> None:
    pipeline = dlt.pipeline(
        f"bench_{schema}",
        destination=dlt.destinations.postgres(credentials=url, create_indexes=True),
        dataset_name=schema,
        pipelines_dir=work_folder,
    )
    resource = sql_table(
        url.replace("postgresql://", "postgresql+psycopg2://"),
        table="orders",
        schema=source,
        backend="pyarrow",
        chunk_size=50_000,
        reflection_level="full_with_precision",
    )
    resource.apply_hints(primary_key="id", write_disposition="append")
    pipeline.run(resource, loader_file_format="csv").raise_on_failed_jobs()


if __name__ == "__main__":
    main(*sys.argv[1:])
