"""Our own executables against the suite, as a table: rule, text, pass, FAIL or waived.

    python tests/conformance/run.py [--rule ID] [--details]

Anybody's executable: ``singerkit-check --tap COMMAND`` or ``--target COMMAND``, which are taken here too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from conformance.drivers import distribution_executables  # noqa: E402  needs the path above

from singerkit_check import command  # noqa: E402
from singerkit_check.rules import RULES  # noqa: E402
from singerkit_check.suite.run import run_suite  # noqa: E402
from singerkit_shell.errors import BadDataError  # noqa: E402


def main() -> int:
    if any(word.startswith(("--tap", "--target")) for word in sys.argv[1:]):
        command.main()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rule", action="append", default=[], type=str.upper, choices=RULES, metavar="ID")
    parser.add_argument("--details", action="store_true", help="show pytest's own report of each failure")
    given = parser.parse_args()
    try:
        options = ["--rootdir", str(HERE.parents[1])]
        return run_suite(
            distribution_executables()[0], HERE, options, rules=given.rule, details=given.details
        )
    except BadDataError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
