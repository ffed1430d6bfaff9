"""`python -m singerkit_shell.dotenv FILE`: what stands in a `.env` beside FILE, as lines for a shell, which would read that file otherwise."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator

from singerkit_shell.configfile import variables_beside
from singerkit_shell.errors import SingerkitError

__all__ = ["exports"]


def exports(path: str) -> Iterator[str]:
    """Yield a line for each variable of the file `.env` beside ``path`` that the environment does not have, which comes first.

    Raises:
        ConfigurationError: it cannot be read.
    """
    for name, value in variables_beside(path).items():
        if name.isidentifier() and name.isascii() and name not in os.environ:
            yield f"export {name}={shlex.quote(value)}"


def main() -> None:
    try:
        lines = list(exports(sys.argv[1]))
    except SingerkitError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
