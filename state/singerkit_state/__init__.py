"""How far a run got: the STATE value, the places that keep it, their locks and their history (DESIGN 5).

value.py       the STATE value: the mark of a run, what counts as empty, text that keeps numbers exact
instants.py    the one reader of times: ISO 8601, e-mail dates, patterns, local times
order.py       which of two replication key values is later
others.py      states of other taps: recognised or refused
bookmarks.py   how far a stream has been read: ties, sorted and unsorted sources, partitions
readas.py      what was sent of a stream, and what its source was asked for
nostate.py     what is certainly no state, so that no mistyped path is replaced by one
statefile.py   a STATE value in a file: atomic write, lock beside it
manifest.py    a STATE value in the manifest of a folder: what of its files is committed, epoch, sequence
postgres/      a STATE value in a row of the target database: advisory lock, epoch, sequence
history.py     former values beside a file; beside a state table in postgres/history.py
runs.py        what a run was, for whoever asks later: counts by stream, the end it had, its sentence
urls.py        what the URLs of all places have in common
store.py       the contract of a place; store_files.py and postgres/store.py keep it
location.py    what ``--state`` may name: one table of the kinds of places
lineage.py     which of file, tap and target to believe
reached.py     of which streams a state says that rows were read

`singerkit-state`: cli.py (commands) -> location.py -> edit.py (changes) -> diff.py, report.py (what is printed).
"""

from singerkit_shell.imports import begin_importing

begin_importing("singerkit-state")
