"""Run the shards of a pipeline on Dask: over processes of this machine, or on a cluster whose scheduler is named.

    pip install 'dask[distributed]'
    python with_dask.py singerkit.yaml orders 8 [tcp://scheduler:8786]

The workers need singerkit, the file of pipelines under the same path, and the environment with its secrets.
"""

import subprocess
import sys

STOPPED = (130, 143)


def run_shard(file: str, pipeline: str, number: int, of: int) -> int:
    """Run one shard where Dask says; its exit code, which says whether to try again, is its result."""
    return subprocess.run(
        ["singerkit", "run", file, pipeline, "--shard", f"{number}/{of}"], check=False
    ).returncode


def main(file: str, pipeline: str, shards: str, scheduler: str | None = None) -> int:
    from dask.distributed import Client

    of = int(shards)
    # A process has one shard at a time: it waits for two others, which work.
    with Client(scheduler) if scheduler else Client(threads_per_worker=1) as client:
        runs = client.map(run_shard, [file] * of, [pipeline] * of, range(of), [of] * of, pure=False)
        codes = client.gather(runs)
    failed = {number: code for number, code in enumerate(codes) if code}
    if failed:
        print(f"{len(failed)} of {of} shards failed (shard: exit code): {failed}", file=sys.stderr)
    return max(failed.values(), default=0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
