"""The shards of a pipeline as mapped tasks of Airflow 3, eight at most at a time; map_index is the number of the shard."""

import subprocess
from datetime import datetime, timedelta

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

FILE, PIPELINE, SHARDS = "/pipelines/singerkit.yaml", "orders", 8
HELD, NO_SECOND_TRY = 75, (64, 65, 70, 77, 78)


@dag(schedule="@hourly", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1)
def orders_in_shards():
    @task(retries=3, retry_delay=timedelta(minutes=1), max_active_tis_per_dag=8)
    def shard(number: int) -> None:
        process = subprocess.Popen(["singerkit", "run", FILE, PIPELINE, "--shard", f"{number}/{SHARDS}"])
        try:
            code = process.wait()
        finally:  # somebody stops the task: what is committed is safe
            process.terminate()
            process.wait()
        if code == HELD:
            raise AirflowSkipException("Another run of this shard is at work.")
        if code in NO_SECOND_TRY:
            raise AirflowFailException(f"The shard ended with {code}; another try ends the same way.")
        if code:
            raise RuntimeError(f"The shard ended with {code}.")

    shard.expand(number=list(range(SHARDS)))


orders_in_shards()
