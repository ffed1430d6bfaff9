"""Exceptions, grouped by what the caller must do, and the exit code each of them becomes (DESIGN 7).

SingerkitError                     70  our fault
├── ConfigurationError             78  change the configuration
│   ├── UsageError                 64
│   └── NotAuthorisedError         77
├── RetryableError                 69  try again
│   ├── CannotWriteError           74
│   ├── LockHeldError              75
│   └── FencedError                76
├── BadDataError                   65  reject the row, or the input
├── ReaderGone                     69  nobody takes what is written
└── Stopped                   128 + n  a signal asked us to stop
"""

from __future__ import annotations

import signal

__all__ = [
    "BadDataError",
    "CannotWriteError",
    "ConfigurationError",
    "FencedError",
    "LockHeldError",
    "NotAuthorisedError",
    "ReaderGone",
    "RetryableError",
    "SingerkitError",
    "Stopped",
    "UsageError",
]


class SingerkitError(Exception):
    """A failure in one sentence: what failed, what is safe, what to do. No row content, no secret."""

    exit_code = 70


class ConfigurationError(SingerkitError):
    """The user must change the configuration, the catalog or the state file. Running again is useless."""

    exit_code = 78


class UsageError(ConfigurationError):
    """The command line is wrong."""

    exit_code = 64


class NotAuthorisedError(ConfigurationError):
    """Credentials or privileges are missing or refused."""

    exit_code = 77


class RetryableError(SingerkitError):
    """Source or target is unavailable after retries; the same command may succeed later."""

    exit_code = 69


class CannotWriteError(RetryableError):
    """Output, state file or storage cannot be written."""

    exit_code = 74


class LockHeldError(RetryableError):
    """Another run of the same pipeline holds the lock."""

    exit_code = 75


class FencedError(RetryableError):
    """A newer run has taken over; nothing of this run may be committed any more."""

    exit_code = 76


class BadDataError(SingerkitError):
    """The input is not what the protocol or its schema promises."""

    exit_code = 65


class ReaderGone(SingerkitError):
    """The reader of our output has gone. Not a `RetryableError`, which may be of one request: nothing is worth a try."""

    exit_code = 69


class Stopped(SingerkitError):
    """SIGTERM or SIGINT asked for an orderly stop."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum

    @property
    def name(self) -> str:
        return signal.Signals(self.signum).name
