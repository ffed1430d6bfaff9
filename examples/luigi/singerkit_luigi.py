"""A Luigi task for each pipeline of a file, behind those that it names in `after`.

    luigi --module singerkit_luigi Pipelines --file /srv/shop/singerkit.yaml --moment 2026-11-29T0600 --local-scheduler

What is done for a moment leaves a mark, so that the same command after a failure runs what is left. What is worth another try says `retries` in
the file; Luigi itself tries none again (`retry_count`), since it cannot tell a wrong config from a source that is away.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import luigi
import yaml


def pipelines_in(file: str) -> Mapping[str, Any]:
    """Return what a file says of each pipeline, as it stands there; what is wrong in it a run tells."""
    path = Path(file)
    read: Any = {".toml": tomllib.loads, ".json": json.loads}.get(path.suffix, yaml.safe_load)
    return dict(read(path.read_text("utf-8"))["pipelines"])


class Pipeline(luigi.Task):
    """One pipeline at a moment. Config and secrets are where `singerkit run` finds them: none is an argument, nor a parameter, which Luigi shows."""

    file = luigi.Parameter()
    name = luigi.Parameter()
    moment = luigi.DateMinuteParameter()
    command = luigi.Parameter(default="singerkit", significant=False)
    retry_count = 1

    def requires(self) -> list[Pipeline]:
        return [self.clone(name=before) for before in pipelines_in(self.file)[self.name].get("after", [])]

    def output(self) -> luigi.LocalTarget:
        mark = f"{self.name}-{self.moment:%Y-%m-%dT%H%M}.done"
        return luigi.LocalTarget(str(Path(self.file).absolute().parent / "luigi" / mark))

    def run(self) -> None:
        # In a session of its own it is asked to stop once: at a second signal it kills both sides of the pipe.
        process = subprocess.Popen([self.command, "run", self.file, self.name], start_new_session=True)
        try:
            code = process.wait()
        finally:  # somebody stops Luigi: what is committed is safe
            process.terminate()
            process.wait()
        if code != 0:
            raise RuntimeError(f"pipeline `{self.name}` ended with {code}; its last line above says why")
        with self.output().open("w") as mark:
            mark.write("done\n")


class Pipelines(luigi.WrapperTask):
    """All pipelines of a file."""

    file = luigi.Parameter()
    moment = luigi.DateMinuteParameter()
    command = luigi.Parameter(default="singerkit", significant=False)

    def requires(self) -> list[Pipeline]:
        return [Pipeline(self.file, name, self.moment, self.command) for name in pipelines_in(self.file)]
