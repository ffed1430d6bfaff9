"""A pipeline of Kubeflow from a file of pipelines: a container each, behind those that it names in `after`.

    python singerkit_kfp.py singerkit.yaml registry.example/shop:1 shop.yaml

The image has singerkit, the file and the configs in it, at the path that is given here (`FROM` the one of deploy/). Secrets come as variables or files of the pod, as your
cluster gives them (kfp-kubernetes: `use_secret_as_env`); none is an argument. What is worth another try says `retries` in the file: Kubeflow tries
again whatever has failed, a wrong config, too.
"""
# No `from __future__ import annotations` here: kfp reads the annotations of a component as types.

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl


def pipelines_in(file: str) -> Mapping[str, Any]:
    """Return what a file says of each pipeline, as it stands there; what is wrong in it a run tells."""
    path = Path(file)
    read: Any = {".toml": tomllib.loads, ".json": json.loads}.get(path.suffix, yaml.safe_load)
    return dict(read(path.read_text("utf-8"))["pipelines"])


def pipeline_of(file: str, image: str, name: str = "singerkit") -> Any:
    """Return the pipeline, for the compiler."""
    pipelines = pipelines_in(file)

    @dsl.container_component
    def singerkit_run(path: str, pipeline: str):  # type: ignore[no-untyped-def]  # kfp reads the annotations
        return dsl.ContainerSpec(image=image, command=["singerkit", "run"], args=[path, pipeline])

    @dsl.pipeline(name=name)
    def all_pipelines() -> None:
        tasks = {one: singerkit_run(path=file, pipeline=one) for one in pipelines}
        for one, task in tasks.items():
            task.set_display_name(one)
            task.set_caching_options(False)  # else it is not run again, since its arguments are the same
            task.after(*(tasks[before] for before in pipelines[one].get("after", [])))

    return all_pipelines


if __name__ == "__main__":
    compiler.Compiler().compile(pipeline_of(sys.argv[1], sys.argv[2]), sys.argv[3])
