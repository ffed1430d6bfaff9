"""How far a run got: the STATE value, the file and the Postgres row that keep it, and their locks (DESIGN 5).

value.py      the STATE value: the mark of a run, what counts as empty, text that keeps numbers exact
statefile.py  a STATE value in a file: atomic write, lock beside it
postgres.py   a STATE value in a row of the target database: advisory lock, epoch, sequence
location.py   what ``--state`` may name: a file or a state URL; which of file and row to believe
"""
