"""What both demos share: their sentences, and processes joined by pipes as a shell joins them."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from singerkit_shell.errors import SingerkitError

__all__ = [
    "END_SECONDS",
    "METRICS_FILE",
    "PROJECT",
    "DemoError",
    "ended",
    "pipeline",
    "program",
    "quiet",
    "say",
]

PROJECT = Path(__file__).parents[2]
END_SECONDS = 60
METRICS_FILE = "metrics.log"


class DemoError(Exception):
    """A step failed; the message is a sentence that says what to do."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def quiet(folder: Path, *programs: str) -> dict[str, str]:
    """Return the environment in which ``programs`` log their metrics into a file of ``folder``."""
    # On a terminal the progress lines say enough; a log keeps everything.
    level = "WARNING" if sys.stderr.isatty() else "INFO"
    logging = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"metrics": {"class": "logging.FileHandler", "filename": str(folder / METRICS_FILE)}},
        "loggers": {
            "singer_sdk.metrics": {"handlers": ["metrics"], "propagate": False},
            **{program: {"level": level} for program in programs},
        },
    }
    (folder / "logging.json").write_text(json.dumps(logging), encoding="utf-8")
    return {"SINGER_SDK_LOG_CONFIG": str(folder / "logging.json")}


def exit_on_sigterm() -> None:
    """Let SIGTERM end the demo as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)


def ended(name: str, work: Callable[[], None], *errors: type[Exception]) -> int:
    """Run a demo by its ``name``; return its exit code. ``errors``: besides ours, those whose message is a sentence for the user."""
    exit_on_sigterm()
    try:
        work()
    except (DemoError, SingerkitError, *errors) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: stopped; run it again, it begins anew.", file=sys.stderr)
        return 130
    return 0


def _interrupt(_signum: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


@contextlib.contextmanager
def pipeline(
    commands: Sequence[Sequence[str]], environment: Mapping[str, str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start processes joined by pipes; whatever happens, none of them outlives the block."""
    processes: list[subprocess.Popen[bytes]] = []
    source_of_next: IO[bytes] | int = subprocess.DEVNULL
    try:
        for number, command in enumerate(commands, 1):
            is_last = number == len(commands)
            output = subprocess.DEVNULL if is_last else subprocess.PIPE  # the target prints the state there
            process = subprocess.Popen(
                [program(command[0]), *command[1:]],
                stdin=source_of_next,
                stdout=output,
                env=environment,
                cwd=PROJECT,
            )
            processes.append(process)
            if not isinstance(source_of_next, int):
                source_of_next.close()  # so that the end of one process is seen by its neighbour
            source_of_next = process.stdout or subprocess.DEVNULL
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            process.kill()


def program(name: str) -> str:
    """The executable beside the Python that runs this, else that on the PATH (tee)."""
    ours = Path(sys.executable).with_name(name)
    found = str(ours) if ours.exists() else shutil.which(name)
    if found is None:
        raise DemoError(f"{name} is not installed in {ours.parent}; run: make demo, which installs it.")
    return found
