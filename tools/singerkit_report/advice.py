"""What to do about a run that has not ended well, by what it ended with (the exit codes are those of docs/operations.md)."""

from __future__ import annotations

import re

from singerkit_state.runs import Run

__all__ = ["advice_for"]

_BY_CODE = {
    64: "Correct the command line, which is the `args` of the pipeline, or what starts it; then run again.",
    65: "Mend the data at its source, or have such records set aside (`on_invalid: quarantine` of the target); then run again.",
    69: "Look whether the source and the target can be reached, then run again; it goes on where it was. Where this happens often, let it try again by itself (`retries`).",
    70: "This is a fault of singerkit: please report it, with the log of a run with `--debug`. What was committed is safe.",
    73: "Give it a place to write to, or the right to; then run again.",
    74: "Make room on the disk, or mend it; then run again.",
    75: "Another run was at work. Where it happens each time, runs take longer than the time between them.",
    76: "A newer run has taken over: nothing is to be done, unless nobody started one.",
    77: "Renew the credentials, or have the rights given; then run again.",
    78: "Correct the config as the sentence says; `singerkit run --dry-run` looks at it without running anything.",
    137: "It was killed: by somebody, or for its memory. Look into the log of the system or of the container; then run again.",
    143: "It was told to stop. The next run goes on where it was.",
    130: "It was told to stop. The next run goes on where it was.",
}
_BY_RESULT = {
    "killed": _BY_CODE[137],
    "stopped": _BY_CODE[143],
    "skipped": "Mend the pipeline that it stands on; the next run does both.",
}
_OF_STATE = "See to the state as the sentence says, or bring back a former value with `singerkit-state restore`; then run again."
_ELSE = "Its log says more; what was committed is safe, and the next run goes on where it was."


def advice_for(run: Run) -> str:
    """Return a sentence or two; "" for a run that has ended well, or is at work."""
    if run.result in ("complete", "running"):
        return ""
    if run.exit_code == 78 and re.match(r"The state\b", run.reason):
        return _OF_STATE
    return _BY_RESULT.get(run.result) or _BY_CODE.get(run.exit_code or 0, _ELSE)
