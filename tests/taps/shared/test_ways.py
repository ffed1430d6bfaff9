"""The commands that a tap advises, for each place where its state may be; tests/pipes/test_ways_out.py follows them."""

from __future__ import annotations

from singerkit_tap.ways import go_on, start_over

URL = "postgresql://h/db?pipeline=p&schema=s"


def test_a_stream_is_started_over_where_its_state_is() -> None:
    assert start_over(None, "p", "my rows") == "`singerkit-state reset STATE --stream 'my rows'`"
    assert start_over(URL, "p", "rows") == f"`singerkit-state reset '{URL}' --stream rows --yes`"
    assert start_over("my state.json", "my p", "rows") == (
        "the target's command line, its config and all, to which `--state-file 'my state.json' --start-over --stream rows "
        "--pipeline 'my p'` is added (where it keeps no state itself, with `singerkit-state reset 'my state.json' --stream rows --yes`)"
    )


def test_only_a_file_is_brought_to_what_is_committed() -> None:
    assert go_on(None, "p") == go_on(URL, "p") == ""
    assert go_on("my state.json", "my p") == (
        "bring the file to what is committed with the target's command line, its config and all, to which "
        "`--state-file 'my state.json' --last-state --pipeline 'my p'` is added, "
    )
