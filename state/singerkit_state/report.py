"""What `singerkit-state` prints: text for people, JSON for scripts (numbers exact, times in UTC)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from singerkit_state.diff import Difference, Differences
from singerkit_state.edit import others_of, streams_of
from singerkit_state.history import Entry, state_of
from singerkit_state.readas import READ_AS
from singerkit_state.store import Change, Holder, Snapshot
from singerkit_state.value import encode, is_empty

__all__ = [
    "change_json",
    "change_text",
    "diff_json",
    "diff_text",
    "history_json",
    "history_text",
    "holder_json",
    "show_json",
    "show_text",
    "table_text",
]

_CONTINUATION = "_singerkit_continuation"
_WIDEST = 72  # characters of a value for people

# show


def show_json(found: Snapshot) -> dict[str, Any]:
    """Return all that is known of a state."""
    return {**_about(found), "state": found.value}


def _about(found: Snapshot) -> dict[str, Any]:
    mark = found.mark
    return {
        "where": found.where,
        "kind": found.kind,
        "pipeline": found.pipeline,
        "epoch": found.epoch,
        "sequence": found.sequence,
        "run_id": found.run_id,
        "committed_at": _iso(found.committed_at),
        "complete": None if mark is None else mark.complete,
        "lock": None if found.holder is None else holder_json(found.holder),
    }


def holder_json(holder: Holder) -> dict[str, Any]:
    return {
        "pid": holder.pid,
        "host": holder.host,
        "since": holder.since,
        "run_id": holder.run_id,
        "server_process": holder.session,
        "application": holder.application,
    }


def show_text(found: Snapshot) -> str:
    """Return a state for people: where it stands, then a line per stream."""
    mark = found.mark
    facts = [
        ("pipeline", found.pipeline),
        ("where", found.where),
        ("epoch", found.epoch),
        ("sequence", found.sequence),
        ("run", found.run_id),
        ("committed", _moment(found.committed_at)),
        (
            "complete",
            None if mark is None else "yes" if mark.complete else "no: the run has not said that it finished",
        ),
        ("lock", "free" if found.holder is None else f"held by {found.holder}"),
    ]
    lines = [f"{name:<10} {_printable(str(value))}" for name, value in facts if value is not None]
    if is_empty(found.value):
        return "\n".join([*lines, "", "No state yet: the next run is a first run."])
    streams = [(name, _bookmark(part)) for name, part in streams_of(found.value).items()]
    others = [(f"({name})", _shown(part)) for name, part in others_of(found.value).items()]
    return "\n".join([*lines, "", *_table(("stream", "bookmark"), streams + others)])


def _bookmark(part: Any) -> str:
    """Word the part of a stream: its bookmark, as our taps and those of singer-sdk write it."""
    if isinstance(part, dict) and part.get("replication_key_value") is not None:
        return f"{part.get('replication_key', 'bookmark')} = {_plain(part['replication_key_value'])}"
    if isinstance(part, dict) and isinstance(part.get("partitions"), list):
        count = len(part["partitions"])
        return f"{count} partition{'' if count == 1 else 's'}"
    if isinstance(part, dict) and isinstance(part.get(_CONTINUATION), dict):
        return _continuation(part[_CONTINUATION])
    return _shown(
        {key: item for key, item in part.items() if key != READ_AS} if isinstance(part, dict) else part
    )


def _continuation(said: Mapping[str, Any]) -> str:
    """Word what a source has left: a token, or the version of its answer, of the stream or of each partition."""
    whole, partitions = said.get("whole"), said.get("partitions")
    if isinstance(whole, dict):
        return ", ".join(f"{name} = {_shown(value)}" for name, value in whole.items() if name != "of")
    count = len(partitions) if isinstance(partitions, dict) else 0
    return f"goes on below {count} partition{'' if count == 1 else 's'}"


def table_text(found: Sequence[Snapshot]) -> str:
    """Return the pipelines of a table for people, a line each."""
    if not found:
        return "No pipeline has a state here yet."
    rows = [
        (
            str(one.pipeline),
            str(one.epoch),
            str(one.sequence),
            _moment(one.committed_at) or "never",
            str(len(streams_of(one.value))),
            "free" if one.holder is None else f"held by {one.holder}",
        )
        for one in found
    ]
    return "\n".join(_table(("pipeline", "epoch", "sequence", "committed", "streams", "lock"), rows))


# history


def history_json(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return the history, newest first."""
    return [{**_about_entry(entry), **state_of(entry)} for entry in entries]


def _about_entry(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": _iso(entry.at),
        "why": entry.why,
        "by": entry.by,
        "pid": entry.pid,
        "run_id": entry.run_id,
        "epoch": entry.epoch,
        "sequence": entry.sequence,
    }


def history_text(entries: Sequence[Entry]) -> str:
    """Return the history for people, newest first, a line for each value that was replaced or begun with."""
    if not entries:
        return "No former values are kept here yet."
    rows = [
        (
            str(entry.number),
            _moment(entry.at) or "",
            entry.why,
            f"{entry.by or 'somebody'}, pid {entry.pid}",
            "" if entry.epoch is None else str(entry.epoch),
            "" if entry.sequence is None else str(entry.sequence),
            _summary(entry),
        )
        for entry in entries
    ]
    return "\n".join(_table(("number", "at", "why", "by", "epoch", "sequence", "former value"), rows))


def _summary(entry: Entry) -> str:
    state = state_of(entry)
    if "torn" in state:
        return "(torn)"
    return "(none)" if state["state"] is None else _shown(state["state"])


# diff


def diff_json(found: Differences) -> dict[str, Any]:
    """Return differences: per stream, the paths that were added, removed and changed."""
    return {
        "equal": not found,
        "streams": {name: _by_kind(items) for name, items in found.streams.items()},
        "others": _by_kind(found.others),
    }


def _by_kind(items: Iterable[Difference]) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {"added": {}, "removed": {}, "changed": {}}
    for item in items:
        match item.what:
            case "added":
                kinds["added"][item.path] = item.new
            case "removed":
                kinds["removed"][item.path] = item.old
            case _:
                kinds["changed"][item.path] = {"from": item.old, "to": item.new}
    return kinds


def diff_text(found: Differences) -> str:
    """Return differences for people: ``-`` what was, ``+`` what is."""
    lines = []
    for name, items in found.streams.items():
        lines += [_printable(name), *(line for item in items for line in _diff_lines(item))]
    if found.others:
        lines += ["(outside of bookmarks)", *(line for item in found.others for line in _diff_lines(item))]
    return "\n".join(lines)


def _diff_lines(item: Difference) -> list[str]:
    name = f"{_printable(item.path)}: " if item.path else ""
    lines = [] if item.what == "added" else [f"  - {name}{_shown(item.old)}"]
    return lines if item.what == "removed" else [*lines, f"  + {name}{_shown(item.new)}"]


# changes


def change_json(change: Change, difference: Differences) -> dict[str, Any]:
    """Return a change: what stands there now, what was there, and whose run is fenced by it."""
    before, after = _about(change.before), _about(change.after)
    fenced = before.pop("lock")
    after.pop("lock")
    return {
        "before": before,
        "after": after,
        "fenced": fenced,
        "history": change.number,
        "diff": diff_json(difference),
    }


def change_text(change: Change, difference: Differences) -> str:
    """Return a change for people."""
    lines = [diff_text(difference) or "The value is the one that was there."]
    if change.after.epoch is not None:
        lines.append(f"Epoch {change.after.epoch}, sequence {change.after.sequence} in {change.after.where}.")
    lines.append(f"The former value is number {change.number} of the history.")
    if change.before.holder is not None:
        lines.append(
            f"At work was {change.before.holder}: it is fenced and ends at its next commit (exit code 76)."
        )
    return "\n".join(lines)


# pieces


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rows = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in [head, *rows]) for index in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]


def _shown(value: Any) -> str:
    text = _plain(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _plain(value: Any) -> str:
    return _printable(value if isinstance(value, str) else encode(value))


def _printable(text: str) -> str:
    """Escape what a terminal would act on."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(sep=" ", timespec="seconds")
