"""A job of AWS Glue 5 that runs a file of pipelines, or some of it.

Of the type `glueetl`, whose Python is 3.11; that of Python shell jobs is 3.9, which singerkit does not run on. Its parameters:

    --additional-python-modules  singerkit
    --extra-files                s3://bucket/shop/singerkit.yaml,s3://bucket/shop/orders.json,s3://bucket/shop/warehouse.json
    --singerkit-file             singerkit.yaml
    --singerkit-pipelines        orders,items        (all where it is left out)
    --singerkit-secret           shop/warehouse      (a secret of Secrets Manager, an object of variables)

Nothing is kept on the machine: the state is where the target keeps it, and the file says `${NAME}` for what the secret has. A failed run fails with its last line; `retries` in the file say
what is worth another try, so the job has `MaxRetries` 0, and `MaxConcurrentRuns` 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--singerkit-file", required=True)
    parser.add_argument("--singerkit-pipelines", default="")
    parser.add_argument("--singerkit-secret")
    given, _ = parser.parse_known_args(arguments)  # Glue has many of its own
    environment = {**os.environ, **variables_in(given.singerkit_secret)}
    names = [name for name in given.singerkit_pipelines.split(",") if name]
    beside_python = os.path.join(os.path.dirname(sys.executable), "singerkit")
    singerkit = shutil.which("singerkit") or beside_python
    last = "it said nothing"
    command = [singerkit, "run", given.singerkit_file, *names]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        for line in process.stderr or ():
            last = line.rstrip() or last
            print(line, end="", file=sys.stderr, flush=True)
    if process.returncode != 0:
        raise RuntimeError(f"singerkit run ended with {process.returncode}: {last}")


def variables_in(secret: str | None) -> dict[str, str]:
    """Return what a secret holds; it is never printed, and in no argument."""
    if secret is None:
        return {}
    import boto3

    answer = boto3.client("secretsmanager").get_secret_value(SecretId=secret)
    return {str(name): str(value) for name, value in json.loads(answer["SecretString"]).items()}


if __name__ == "__main__":
    main(sys.argv[1:])
