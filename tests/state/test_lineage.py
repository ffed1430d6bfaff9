"""Where a tap starts against what the target has committed: the target wins, and says what to do (DESIGN 5)."""

from __future__ import annotations

import io
import logging
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_state import statefile
from singerkit_state.lineage import WaysOut, check_start
from singerkit_state.value import Mark, decode, digest, encode, with_mark
from singerkit_target.publish import Publisher

MARK = Mark("run-8", "orders", False)
OLD = {"bookmarks": {"a": 1}}
NEW = {"bookmarks": {"a": 2}}
LOG = logging.getLogger("lineage")
WAYS = WaysOut(("target-x", "--config", "my config.json"), place="pipeline=orders&schema=s")


def ours(value: dict[str, Any], pipeline: str = "orders") -> dict[str, Any]:
    return with_mark(value, Mark("run-7", pipeline, True))


def check(
    stored: dict[str, Any] | None,
    start: Any,
    mark: Mark | None,
    state_file: Path | None = None,
    printed: io.StringIO | None = None,
    former: Sequence[Any] = (OLD,),
) -> bool:
    text = None if stored is None else encode(stored)
    publisher = Publisher(None if state_file is None else str(state_file), printed or io.StringIO())
    return check_start("orders", text, start, mark, publisher, former.__contains__, WAYS, LOG)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.mark.parametrize(
    ("stored", "start", "in_file"),
    [
        (None, {}, None),
        ({}, {}, {}),
        (ours(NEW), NEW, ours(NEW)),
        (ours(NEW), NEW, None),
    ],
)
def test_a_run_goes_on_when_both_agree_or_one_says_nothing(file, caplog, stored, start, in_file):
    if in_file is not None:
        statefile.write(file, encode(in_file))
    check(stored, start, MARK, file)
    assert not caplog.records


@pytest.mark.parametrize(("stored", "start"), [(NEW, OLD)])
def test_a_file_behind_the_target_is_brought_up_to_date(file, stored, start):
    """Killed between COMMIT and the file: the committed state counts."""
    statefile.write(file, encode(ours(start)))
    with pytest.raises(RetryableError, match="run again") as caught:
        check(ours(stored), start, MARK, file)
    assert str(file) in str(caught.value)
    assert decode(file.read_text()) == ours(stored)
    check(ours(stored), stored, MARK, file)


def test_a_state_of_another_place_is_another_pipelines(file):
    """Two configs with the default name: what one has committed is no state to go on from for the other."""

    def read_from(where: str, at: int) -> dict[str, Any]:
        return {
            "bookmarks": {"a": {"replication_key_value": at, "_singerkit_read": {"source": {"where": where}}}}
        }

    mine, others = read_from("here", 1), read_from("there", 2)
    statefile.write(file, encode(ours(mine)))
    with pytest.raises(ConfigurationError, match=r"another place than the tap's: stream `a`.*`pipeline`"):
        check(ours(others), mine, MARK, file, former=(mine,))
    assert decode(file.read_text()) == ours(mine)
    with pytest.raises(RetryableError, match="If another pipeline has that name"):
        check(ours(read_from("here", 2)), mine, MARK, file, former=(mine,))


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        ({"bookmarks": {"a": {"id": 2}}}, {"bookmarks": {"b": {"id": 2}}}),
        ({"a": 2}, {"b": 2}),
        ({"a": 2, "bookmarks": {}}, {"b": 2, "currently_syncing": None, "bookmarks": {}}),
    ],
    ids=["bookmarks", "a shape of its own", "both"],
)
@pytest.mark.parametrize("mark", [None, MARK])
def test_a_state_of_other_streams_is_another_pipelines(file, mark, mine, others):
    """Two taps by others in one schema, none with a `pipeline`: neither's file is written over by the other's state."""
    mine, others = (ours(mine), ours(others)) if mark else (mine, others)
    statefile.write(file, encode(mine))
    with pytest.raises(
        ConfigurationError, match=r"of other streams .*name of its own with `pipeline`.*--adopt"
    ):
        check(others, mine, mark, file, former=(mine,))
    assert decode(file.read_text()) == mine
    both = {key: {**part, **others.get(key, {})} for key, part in mine.items() if isinstance(part, dict)}
    with pytest.raises(RetryableError, match="has committed last"):
        check({**others, **mine, **both}, mine, mark, file, former=(mine,))


@pytest.mark.parametrize("start", [{"source": {"where": "here"}}, {"source": {}}, {}])
def test_a_state_that_does_not_say_where_it_was_read_is_no_other_pipelines(file, start):
    """As one that an older tap wrote, and what a newer one has committed since; or the other way round."""

    def read_as(said: dict[str, Any], at: int) -> dict[str, Any]:
        return {"bookmarks": {"a": {"replication_key_value": at, "_singerkit_read": said}}}

    silent = {"bookmarks": {"a": {"replication_key_value": 2}}}
    for stored, began in ((silent, read_as(start, 1)), (read_as(start, 2), {"bookmarks": {"a": {"at": 1}}})):
        with pytest.raises(RetryableError, match="has committed last"):
            check(ours(stored), began, MARK, file, former=(began,))


@pytest.mark.parametrize("start", [None, {}, {"bookmarks": None}])
def test_a_start_that_says_nothing_is_brought_up_to_date(file, start):
    with pytest.raises(RetryableError, match="has committed last"):
        check(ours(NEW), start, replace(MARK, resumes="file"), file, former=(start,))


def published(
    stored: Any, start: Any, mark: Mark | None, file: Path | None = None, **known: Any
) -> list[str]:
    """What is printed when a run is refused that running again will mend."""
    said = io.StringIO()
    with pytest.raises(RetryableError, match="nothing was written") as caught:
        check(stored, start, mark, file, said, **known)
    assert "run again" in str(caught.value)
    return said.getvalue().splitlines()


@pytest.mark.parametrize("in_file", [None, ours(NEW), ours({"bookmarks": {"a": 3}})])
def test_another_start_than_the_committed_one_is_refused_and_the_committed_one_told(file, in_file):
    if in_file is not None:
        statefile.write(file, encode(in_file))
    assert published(ours(NEW), OLD, MARK, file) == [encode(ours(NEW))]


def test_a_state_saved_from_stdout_that_is_behind_is_printed_anew():
    assert published(ours(NEW), OLD, replace(MARK, resumes="file")) == [encode(ours(NEW))]


@pytest.mark.parametrize("start", [OLD, {}, {"bookmarks": {}}])
def test_a_state_that_changed_after_the_tap_read_it_from_the_database_is_read_again(start):
    assert published(ours(NEW), start, replace(MARK, resumes="url")) == []


@pytest.mark.parametrize("mark", [replace(MARK, resumes="missing"), None], ids=["ours", "others"])
def test_a_first_run_that_is_killed_after_its_first_commit_leaves_a_file_that_says_so(file, mark):
    check(None, {} if mark else None, mark, file)
    assert decode(file.read_text())["bookmarks"] == {}
    # Killed between COMMIT and the file: the target holds a state, the file says nothing.
    again = None if mark is None else replace(mark, resumes="file")
    assert published(ours(NEW), {} if mark else None, again, file) == [encode(ours(NEW))]
    assert decode(file.read_text()) == ours(NEW)


def test_the_start_of_a_tap_of_ours_is_printed_before_anything_is_committed(file):
    """The plain habit keeps it, and the run after a kill between COMMIT and print is known to be behind."""
    said = io.StringIO()
    check(None, {"bookmarks": {}}, replace(MARK, resumes="missing", location="s.json"), None, said)
    kept = decode(said.getvalue())
    assert kept == with_mark({"bookmarks": {}}, replace(MARK, resumes="missing"))
    assert published(ours(NEW), kept, replace(MARK, resumes="file")) == [encode(ours(NEW))]
    said = io.StringIO()
    check(ours(NEW), NEW, replace(MARK, resumes="file"), None, said)
    assert decode(said.getvalue())["bookmarks"] == NEW["bookmarks"]


def test_a_state_file_that_was_never_kept_is_no_start_over():
    """The plain habit with `&&`: after a kill between COMMIT and print there is no file at all."""
    assert published(ours(NEW), {}, replace(MARK, resumes="missing")) == [encode(ours(NEW))]


def test_nothing_is_handed_over_to_a_tap_of_others_but_a_missing_file(file):
    """`tail -1` must not lose the state that such a tap may have started from."""
    said = io.StringIO()
    check(None, None, None, None, said)
    check(None, None, None, file, said)
    assert said.getvalue() == ""
    assert decode(file.read_text()) == {"bookmarks": {}}


def test_a_file_of_others_that_is_behind_is_brought_up_to_date(file):
    """Killed between COMMIT and the rename; it was 78 on every later run."""
    statefile.write(file, encode(OLD))
    assert published(NEW, None, None, file) == [encode(NEW)]
    assert decode(file.read_text()) == NEW
    check(NEW, None, None, file)


REPLACED = [
    replace(MARK, resumes="file", location="s.json"),
    replace(MARK, resumes="url", location="postgresql://h/d?pipeline=p"),
]


@pytest.mark.parametrize("mark", [*REPLACED, None], ids=["file", "url", "others"])
@pytest.mark.parametrize("stored", [None, {}])
def test_an_empty_target_under_an_old_state_is_refused_until_somebody_says_which(file, stored, mark):
    said = io.StringIO()
    mine = None if mark else file
    file.write_text(encode(OLD))
    with pytest.raises(RetryableError, match="holds none of the pipeline `orders`") as caught:
        check(stored, OLD if mark else None, mark, mine, said, former=())
    place = str(file) if mark is None else mark.location
    assert f"{shlex.join([*WAYS.command, '--adopt', place])}`" in str(caught.value)
    everything = {
        "file": "`singerkit-state reset --yes s.json`",
        "url": "`pipeline=orders&schema=s` of its database",
        None: f"--state-file {file} --start-over`",
    }
    assert everything[mark and mark.resumes] in str(caught.value)
    assert (said.getvalue(), file.read_text()) == ("", encode(OLD))


def test_a_target_whose_state_was_reset_brings_the_file_to_the_beginning(file):
    statefile.write(file, encode(ours(OLD)))
    mark = replace(MARK, resumes="file")
    assert published(None, OLD, mark, file) == [encode(with_mark({"bookmarks": {}}, mark))]
    assert decode(file.read_text())["bookmarks"] == {}
    check(None, {"bookmarks": {}}, mark, file)


def test_a_start_that_was_never_committed_here_is_refused_by_name_and_not_reverted(file):
    """`meltano state set`, `singerkit-state set` on the file alone, a database that was brought back from a copy."""
    statefile.write(file, encode(NEW))
    said = io.StringIO()
    with pytest.raises(RetryableError, match="has never committed here") as caught:
        check(ours(OLD), NEW, replace(MARK, resumes="file"), file, said, former=())
    words = str(caught.value)
    assert "`target-x --config 'my config.json' --adopt" in words
    assert words.index("--last-state`, and what was loaded since then is read again") < words.index(
        "--adopt"
    ), "the way that loses nothing comes first"
    assert "rows between the two that this target does not have are not read then" in words
    assert (said.getvalue(), decode(file.read_text())) == ("", NEW)


def test_a_state_that_differs_is_told_by_where_it_differs():
    """The beginnings of both were shown, which are the same where a state is long."""

    def state(day: int, others: int) -> dict[str, Any]:
        part = {"replication_key": "at", "replication_key_value": f"2024-01-{day:02}"}
        seen = {"at": f"2024-01-{day:02}", "rows": ["ghpSPCdyLy8"] * 100, "others": others}
        return {"bookmarks": {"first": 1, "orders": {"_singerkit_seen": seen} | part}}

    mark = replace(MARK, resumes="file")
    for start, told in (
        (
            state(5, 0),
            "`orders`: replication_key_value is `2024-01-05` for the tap, `2024-01-20` for the target",
        ),
        (state(20, 1), "`orders`: other rows are remembered at the bookmark"),
    ):
        with pytest.raises(RetryableError) as caught:
            check(ours(state(20, 0)), start, mark, former=())
        assert f"never committed here ({told}), as when" in str(caught.value)


def test_streams_and_bookmarks_are_told_and_not_what_our_taps_keep_beside_them():
    """Behind four streams with other fields stood the one that counts, or did not stand there at all."""

    def part(at: int, field: str) -> dict[str, Any]:
        read = {"fields": {field: "integer"}, "source": {"where": "here"}}
        return {"replication_key_value": at, "_singerkit_read": read, "_singerkit_driven_by": field}

    both = {name: part(1, "old") for name in ("a", "b", "c", "d")}
    here = {name: part(2 if name == "c" else 1, "new") for name in both}
    with pytest.raises(ConfigurationError) as caught:
        check(ours({"bookmarks": both}), {"bookmarks": here | {"tickets": part(1, "x")}}, MARK, former=())
    assert (
        "(`tickets`: the tap alone has it; `c`: replication_key_value is `2` for the tap, `1` for the target); nothing"
        in str(caught.value)
    )
    del here["c"], both["c"]
    with pytest.raises(RetryableError) as reserved:
        check(ours({"bookmarks": both}), {"bookmarks": here}, MARK, former=())
    assert "(`a`: it was read in another way; `b`: it was read in another way;" in str(reserved.value)


def test_a_state_url_that_is_of_another_place_is_told_which_is_the_right_one():
    """A URL without `&schema=`: the table of another schema was empty, and the sentence spoke of the database."""
    with pytest.raises(RetryableError, match="has changed since the tap read it") as caught:
        check(ours(NEW), {}, replace(MARK, resumes="url"))
    assert "another place than the target's (`pipeline=orders&schema=s` of its database)" in str(caught.value)


def test_a_file_that_another_run_made_meanwhile_is_no_start_over(file):
    """Two first runs at once: the tap found no file, the target finds one."""
    statefile.write(file, encode(ours(NEW)))
    assert published(ours(NEW), {}, replace(MARK, resumes="missing"), file) == [encode(ours(NEW))]


@pytest.mark.parametrize(("resumes", "in_file"), [(None, None), (None, NEW), ("missing", None)])
def test_whoever_gives_no_state_or_removes_the_file_starts_over(file, caplog, resumes, in_file):
    if in_file is not None:
        file.write_text(encode(ours(in_file)))
    check(ours(NEW), {}, replace(MARK, resumes=resumes), file)
    assert "`orders` has a committed state" in caplog.text


def test_the_state_of_other_streams_is_another_pipelines(file):
    start = {"bookmarks": {"customers": 9}}
    statefile.write(file, encode(ours(start)))
    with pytest.raises(ConfigurationError, match="`pipeline`") as caught:
        check(ours(NEW), start, MARK, file)
    assert "(`customers`: the tap alone has it; `a`: the target alone has it)" in str(caught.value)
    assert decode(file.read_text()) == ours(start)


def test_a_stream_without_a_bookmark_is_no_sign_of_another_pipeline():
    start = {"bookmarks": {"a": 1, "new": {}}}
    published(ours(NEW), start, MARK, former=[start])


def test_the_file_of_another_pipeline_stops_the_run(file):
    statefile.write(file, encode(ours(OLD, "customers")))
    with pytest.raises(ConfigurationError, match="`customers`"):
        check(ours(NEW), OLD, MARK, file)


def test_a_file_that_does_not_say_whose_it_is_must_agree(file):
    statefile.write(file, encode(OLD))
    check(OLD, None, None, file)
    with pytest.raises(ConfigurationError, match="does not say which pipeline") as caught:
        check(NEW, None, None, file, former=())
    assert "(`a`: `1` for the file, `2` for the target)" in str(caught.value)
    assert decode(file.read_text()) == OLD


def test_a_state_of_others_is_the_same_when_our_tap_has_read_it():
    theirs = {"bookmarks": {"a": {"at": "2024", "gone": None}}, "currently_syncing": None}
    ours_now = {
        "bookmarks": {"a": {"replication_key": "at", "replication_key_value": "2024"}},
        "currently_syncing": None,
    }
    assert digest(theirs) == digest(ours_now) == digest(ours(ours_now))
    check(theirs, ours_now, replace(MARK, resumes="file"))
    assert digest(theirs) != digest({"bookmarks": {"a": {"at": "2025"}}, "currently_syncing": None})


@pytest.mark.parametrize("named", [(), ("--pipeline", "two")])
def test_the_state_of_another_pipeline_is_forgotten_without_this_ones_file(named: tuple[str, ...]):
    ways = WaysOut(("target", "--config", "c.json", *named), state_file="state.json")
    assert ways.start_over_as("one") == "`target --config c.json --pipeline one --start-over`"
