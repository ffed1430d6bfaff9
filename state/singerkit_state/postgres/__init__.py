"""The STATE value in a row of the target database: one row per pipeline, committed with the data (DESIGN 5).

url.py       what a state URL names, and a connection to it
session.py   a transaction of ours, names in statements
errors.py    what an error of the server means, and its wording
table.py     the state table: made, completed, checked for rights
row.py       what the row of a pipeline says, and notes besides
lock.py      who holds the pipeline
fencing.py   the life of a run: epoch, commits, an answer that got lost
history.py   former values
store.py     the row as `singerkit-state` changes it
"""
